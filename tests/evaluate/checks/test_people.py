"""Checks of what is told about training rows, and of whom compression harms."""

import numpy as np
import pytest

from surefoot import plugins

COMMON = plugins.module("check", "group_harm").halves


def confident(scored):
    """A model that is handed its confidence in the second class."""
    return lambda rows: scored(rows[:, 0])


def numbers(values):
    return np.asarray(values, np.float32)[:, None]


def test_a_model_that_learned_by_heart_gives_every_row_away(ask, scored, drawn):
    rng = np.random.default_rng(0)
    train = drawn(numbers(rng.uniform(0.95, 1, 300)), np.ones(300), "train")
    tests = numbers(rng.uniform(0.5, 0.9, 200))
    found = ask("membership", confident(scored), tests, np.ones(200), train=train)
    # Half of either is judged, as many of each: the 100 of the smaller half.
    assert len(found.failed) == 200
    assert found.failed.all()
    assert sum(name.startswith("train/") for name in found.ids.tolist()) == 100


def test_equal_confidence_gives_nothing_away(ask, scored, drawn):
    rng = np.random.default_rng(1)
    rates = []
    for seed in range(40):
        train = drawn(numbers(rng.uniform(0.5, 1, 400)), np.ones(400), "train")
        tests = numbers(rng.uniform(0.5, 1, 400))
        found = ask("membership", confident(scored), tests, np.ones(400), train=train, seed=seed)
        rates.append(found.failed.mean())
    # 40 runs of 400 guesses: a standard error of 0.4 points. The fit on the other half is no help.
    assert np.mean(rates) == pytest.approx(0.5, abs=0.016)


def test_a_test_set_of_the_same_source_can_be_named(ask, scored, drawn):
    rng = np.random.default_rng(2)
    train = drawn(numbers(rng.uniform(0.8, 1, 200)), np.ones(200), "train")
    near, far = rng.uniform(0.8, 1, 200), rng.uniform(0.1, 0.3, 200)
    tests, sets = numbers([*near, *far]), ["near"] * 200 + ["far"] * 200

    def rate(**options):
        found = ask(
            "membership", confident(scored), tests, np.ones(400), train=train, sets=sets, **options
        )
        return found.failed.mean()

    assert rate(dataset="far") == 1.0
    assert rate(dataset="near") == pytest.approx(0.5, abs=0.15)
    assert rate() > 0.7


def planted(scored, rows, lost_in, rate, seed=0):
    """Labels, slices, and a candidate that loses answers in one slice alone."""
    rng = np.random.default_rng(seed)
    slices = {"left": np.arange(rows) % 4 == 0, "late": np.arange(rows) > rows // 2}
    lost = slices[lost_in] & (rng.random(rows) < rate)
    # The input carries what the candidate says; the baseline is always right.
    return numbers(np.where(lost, 0.1, 0.9)), np.ones(rows), slices, lost


def test_the_slice_that_is_harmed_is_found_and_measured_elsewhere(ask, scored):
    inputs, labels, slices, lost = planted(scored, 2000, "left", 0.3)
    found = ask(
        "group_harm", confident(scored), inputs, labels, columns={"slices": slices},
        baseline=lambda rows: scored(np.full(len(rows), 0.9)),
    )  # fmt: skip
    assert found.note.startswith("slice left, which lost 27.4%")
    rows = np.array([int(name.removeprefix("main/")) for name in found.ids.tolist()])
    assert slices["left"][rows].all()
    assert 150 < len(rows) < 350
    assert (found.failed == lost[rows]).all()


def test_choosing_the_worst_group_does_not_blacken_the_figure(ask, scored):
    """Twenty slices that are harmed alike: the worst looks worse, but only where it is chosen."""
    chosen, judged, rng = [], [], np.random.default_rng(4)
    for seed in range(60):
        lost = rng.random(1000) < 0.1
        slices = {f"s{i}": rng.random(1000) < 0.2 for i in range(20)}
        found = ask(
            "group_harm", confident(scored), numbers(np.where(lost, 0.1, 0.9)), np.ones(1000),
            columns={"slices": slices}, seed=seed,
            baseline=lambda rows: scored(np.full(len(rows), 0.9)),
        )  # fmt: skip
        judged.append(found.failed.mean())
        chosen.append(float(found.note.split("lost ")[1].split("%")[0]) / 100)
    # About 100 rows a time: a standard error of 0.4 points.
    assert np.mean(judged) == pytest.approx(0.1, abs=0.016)
    assert np.mean(chosen) > 0.13


def test_the_baseline_loses_nothing_to_itself_and_few_rows_are_no_group(ask, scored):
    inputs = numbers(np.random.default_rng(0).uniform(0, 1, 100))
    same = confident(scored)
    found = ask("group_harm", same, inputs, np.ones(100), baseline=same)
    assert len(found.failed)
    assert not found.failed.any()
    few = ask("group_harm", same, inputs[:30], np.ones(30), baseline=same)
    assert (len(few.failed), few.note) == (0, "no class or slice has 20 rows to choose on")


def test_halves_keep_groups_whole(drawn):
    groups = np.array([f"g{i // 5}" for i in range(100)], np.dtypes.StringDType())
    dataset = drawn(numbers(np.zeros(100)), np.zeros(100), groups=groups)
    first, second = COMMON(dataset, np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(100))
    assert len(first) == 50
    assert not {*groups[first].tolist()} & {*groups[second].tolist()}
