"""The place where a candidate lost most."""

import numpy as np
import pytest

from surefoot.core.dataset import ConfirmationSet, Dataset
from surefoot.evaluate import confirmation_evidence
from surefoot.evaluate.cells import cell
from surefoot.gate import worst_slices

T = np.dtypes.StringDType()


def made(n, rates, *, name="main", slices=None, groups=None, seed=0, shift=""):
    """A data set, the baseline's cell and a candidate's: `rates` lost and won by row."""
    rng = np.random.default_rng(seed)
    data = Dataset(
        name=name, ids=np.array([f"{name}{i}" for i in range(n)], T),
        inputs=np.zeros((n, 1), np.float32), labels=rng.integers(0, 2, n), classes=("a", "b"),
        slices=slices or {}, groups=groups, shift=shift, severity=1.0 if shift else 0.0,
    )  # fmt: skip
    right = rng.random(n) < 0.5
    lost, won = rates
    turned = rng.random(n) < np.where(right, 2 * np.asarray(lost), 2 * np.asarray(won))
    before = np.where(right, data.labels, 1 - data.labels)
    answers = (before, np.where(turned, 1 - before, before))
    cells = []
    for who, predicted in zip(("base", "lean"), answers, strict=True):
        scores = np.full((n, 2), 0.2, np.float32)
        scores[np.arange(n), predicted] = 0.8
        cells.append(cell(who, data, scores))
    return ConfirmationSet(data), cells


def worst(*parts, metric="accuracy"):
    cells = {who: [c[i] for _, c in parts] for i, who in enumerate(("base", "lean"))}
    sets = {f"{d.name}{d.shift}": d for d, _ in parts}
    evidence = confirmation_evidence(cells, sets, [metric])
    plain = {d.name: d for d, _ in parts if not d.shift}
    flat = [c for each in cells.values() for c in each]
    return worst_slices(evidence, flat, plain, metric)


def halves(n):
    first = np.arange(n) < n // 2
    return {"first": first, "second": ~first}


def test_the_slice_that_lost_most_is_named_with_its_interval():
    n = 2000
    lost = np.where(halves(n)["second"], 0.12, 0.01)
    (found,) = worst(made(n, (lost, 0.01), slices=halves(n)))
    assert (found.candidate, found.subject) == ("lean", "accuracy on main [second]")
    assert (found.slice, found.slices, found.joint) == ("second", 3, "max-T")
    assert found.estimate.low < -0.11 < found.estimate.high < -0.05
    assert (found.estimate.n, found.estimate.level) == (1000, 0.95)
    assert found.estimate.method == "Tango score"


def test_a_tiny_slice_with_one_lost_answer_does_not_win():
    n = 2000
    tiny = np.zeros(n, bool)
    lost = np.full(n, 0.06)
    _, (base, lean) = made(n, (lost, 0.005))
    where = np.flatnonzero((base.predicted == base.labels) & (lean.predicted != lean.labels))
    tiny[where[0]] = True
    tiny[np.flatnonzero(base.predicted == lean.predicted)[:3]] = True
    (found,) = worst(made(n, (lost, 0.005), slices={"tiny": tiny}))
    assert found.slice is None


def test_shifts_and_test_sets_are_looked_at_too():
    n = 1500
    (found,) = worst(
        made(n, (0.02, 0.02), slices=halves(n)),
        made(n, (0.15, 0.02), slices=halves(n), shift="typos"),
        made(n, (0.02, 0.02), name="other"),
    )
    assert found.shift == "typos"
    assert found.slices == 7
    assert found.subject.startswith("accuracy on main + typos 1")


def test_a_metric_that_falls_where_it_is_good_is_turned_round():
    n = 1000
    lost = np.where(halves(n)["first"], 0.2, 0.01)
    (found,) = worst(made(n, (lost, 0.01), slices=halves(n)), metric="log_loss")
    assert found.slice == "first"
    assert found.estimate.value > 0.1
    assert found.estimate.low < found.estimate.value < found.estimate.high


def test_metrics_of_whole_sets_are_bonferroni():
    n = 400
    lost = np.where(halves(n)["first"], 0.3, 0.01)
    (found,) = worst(made(n, (lost, 0.01), slices=halves(n)), metric="macro_f1")
    assert (found.slice, found.joint) == ("first", "Bonferroni")


def test_groups_are_what_is_counted():
    n = 1200
    groups = np.array([f"g{i // 12}" for i in range(n)], T)
    (plain,) = worst(made(n, (0.1, 0.02), slices=halves(n)))
    (grouped,) = worst(made(n, (0.1, 0.02), slices=halves(n), groups=groups))
    assert grouped.estimate.method == "clustered score"
    assert grouped.estimate.value == pytest.approx(plain.estimate.value, abs=0.03)


@pytest.mark.parametrize("groups", [None, np.array(["x"] * 30 + ["y"] * 30, T)])
def test_no_change_at_all_is_an_interval_and_not_a_point(groups):
    (found,) = worst(made(60, (0.0, 0.0), slices=halves(60), groups=groups))
    assert found.estimate.low < 0 <= found.estimate.high
    assert found.estimate.value == 0


def test_the_interval_allows_for_having_been_chosen():
    """12 slices, the same true drop of 2 points in each: the worst is the unluckiest."""
    rng, n, runs = np.random.default_rng(5), 1200, 120
    slices = {f"s{i}": rng.random(n) < 0.3 for i in range(12)}
    held = 0
    for run in range(runs):
        (found,) = worst(made(n, (0.06, 0.04), slices=slices, seed=run))
        held += found.estimate.low <= -0.02 <= found.estimate.high
    assert held / runs >= 0.93


def test_a_set_of_a_single_group_shows_nothing_and_ends_nothing():
    groups = np.full(400, "g", T)
    (found,) = worst(made(400, (0.1, 0.0), groups=groups))
    assert np.isinf([found.estimate.low, found.estimate.high]).all()
    assert found.estimate.method == "one row or group"
    many = np.array([f"g{i % 80}" for i in range(2000)], T)
    alone = made(400, (0.1, 0.0), groups=groups)
    lost = np.where(halves(2000)["second"], 0.3, 0.01)
    other = made(2000, (lost, 0.01), name="other", slices=halves(2000), groups=many)
    (found,) = worst(alone, other)
    assert found.subject == "accuracy on other [second]"
