"""Which answers of a lean model may stand: held against simulated deployments and plain counts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import BudgetError, BundleError
from surefoot.core.plan import ServePlan
from surefoot.data.columns import write_parquet
from surefoot.serve.cascade import (
    GRID,
    Answers,
    cascade,
    cascade_or_alone,
    choose,
    policy,
    promised_plan,
)


def drawn(rng, n, *, slices=False):
    """A lean model that is right as often as it is confident, and a fallback right in 95 %."""
    confidence = 0.5 + 0.5 * rng.beta(2, 0.7, n)
    right, behind = rng.random(n) < confidence, rng.random(n) < 0.95
    return Answers(
        confidence=confidence[None],
        right=right[None],
        fallback_right=behind,
        slices={"short": rng.random(n) < 0.4} if slices else {},
    )


def test_the_grid_goes_from_strict_to_lax_and_ends_with_every_answer():
    assert (np.diff(GRID) < 0).all()
    assert GRID[0] > 0.999999
    assert GRID[-1] == 0


@pytest.mark.parametrize("n", [300, 1_000])
def test_the_promise_is_broken_no_more_often_than_it_says(n):
    """The risk of every threshold is known from a million rows."""
    rng = np.random.default_rng(7)
    truth = drawn(rng, 1_000_000)
    order = np.argsort(-truth.confidence[0])
    beyond = np.cumsum(truth.lost[0, order]) / len(order)
    at = np.searchsorted(-truth.confidence[0, order], -GRID, side="right")
    risk = np.append(0, beyond)[at]
    broken = 0
    for _ in range(400):
        shown, _ = choose(drawn(rng, n), max_error=0.02, delta=0.1)
        broken += shown > 0 and risk[shown - 1] > 0.02
    assert stats.proportion_at_least(broken, 400, 0.1) > 0.001  # no evidence of more than 10 %


def test_a_loss_counts_where_the_answer_stands_and_the_fallback_was_right():
    answers = Answers(
        confidence=np.array([[0.99, 0.9, 0.8, 0.7]]),
        right=np.array([[True, False, False, True]]),
        fallback_right=np.array([True, True, False, False]),
        slices={},
    )
    _, losses = choose(answers, max_error=0.02, delta=0.1)
    assert losses[GRID > 0.9].max() == 0
    assert (losses[GRID <= 0.9] == 1).all()


def test_a_promised_slice_holds_the_threshold_back():
    rng = np.random.default_rng(0)
    answers = drawn(rng, 4_000, slices=True)
    # The slice is where the lean model is wrong and sure of it.
    lost = answers.lost | (answers.slices["short"] & (rng.random(4_000) < 0.1))
    both = Answers(
        confidence=answers.confidence, right=~lost & answers.right,
        fallback_right=answers.fallback_right | lost[0], slices=answers.slices,
    )  # fmt: skip
    alone = replace(both, slices={})
    assert choose(both, max_error=0.05, delta=0.1)[0] < choose(alone, max_error=0.05, delta=0.1)[0]


@pytest.fixture
def bundle(contents, tmp_path):
    """A bundle whose candidate `same` is wrong where it is unsure; `turned` is always wrong."""
    from surefoot.bundle import write_bundle

    path = tmp_path / "bundle"
    write_bundle(path, "key", contents)
    rng = np.random.default_rng(1)
    n, confidence = 2_000, 0.4 + 0.6 * rng.beta(3, 0.5, 2_000)
    (path / "calibration").mkdir()
    ids = np.array([str(i) for i in range(n)], np.dtypes.StringDType())
    for name, right in {
        "baseline": rng.random(n) < 0.97,
        "same": rng.random(n) < confidence,
        "turned": np.zeros(n, dtype=bool),
    }.items():
        write_parquet(
            path / "calibration" / f"{name}.parquet",
            {"id": ids, "correct": right, "confidence": confidence.astype(np.float32),
             "slice_odd": np.arange(n) % 2 == 1},
        )  # fmt: skip
    return path


def test_the_curve_says_what_a_plain_count_says(bundle):
    from surefoot.data.columns import read_parquet

    found = cascade(bundle, ServePlan(), "same")
    lean = read_parquet(bundle / "calibration" / "same.parquet")
    big = read_parquet(bundle / "calibration" / "baseline.parquet")["correct"]
    assert found.rows == 2_000
    assert found.needed == 114
    assert found.fallback_accuracy == big.mean()
    for one in (*found.curve, found.chosen):
        stands = lean["confidence"] >= one.threshold
        assert one.share.value == stands.mean()
        assert one.lost.value == (stands & ~lean["correct"] & big).mean()
        assert one.accuracy == np.where(stands, lean["correct"], big).mean()
        assert one.lost.low <= one.lost.value <= one.lost.high
    assert found.chosen.shown
    assert found.chosen.lost.value < 0.02
    assert [one.shown for one in found.curve] == sorted(
        (one.shown for one in found.curve), reverse=True
    )


def test_where_nobody_stands_behind_every_wrong_answer_counts(bundle):
    found = cascade(bundle, ServePlan(fallback="abstain"), "same")
    assert found.fallback_ms is None
    assert found.fallback_accuracy == 0
    assert found.chosen.threshold >= cascade(bundle, ServePlan(), "same").chosen.threshold


def test_of_a_model_that_is_always_wrong_nothing_is_deployed(bundle):
    """The strictest thresholds keep any promise, since no answer reaches them."""
    from surefoot.data.columns import read_parquet
    from surefoot.serve.terms import safety_terms

    file = bundle / "calibration" / "turned.parquet"
    kept = read_parquet(file)
    write_parquet(file, {**kept, "confidence": np.full(2_000, 0.9, np.float32)})
    found = cascade(bundle, ServePlan(), "turned")
    assert found.chosen is None
    assert not found.curve[-1].shown
    why = safety_terms(bundle, ServePlan(), found)[1]
    assert why == "nothing is promised that could be broken"


def test_of_rows_in_groups_one_of_each_counts(bundle):
    from surefoot.data.columns import read_parquet

    for name in ("baseline", "same"):
        file = bundle / "calibration" / f"{name}.parquet"
        write_parquet(file, {**read_parquet(file), "group": np.arange(2_000) // 10})
    found = cascade(bundle, ServePlan(), "same")
    assert (found.rows, found.grouped) == (200, True)


def test_rows_in_another_order_are_no_pairs(bundle):
    from surefoot.data.columns import read_parquet

    file = bundle / "calibration" / "same.parquet"
    write_parquet(file, {key: column[::-1].copy() for key, column in read_parquet(file).items()})
    with pytest.raises(BundleError, match=r"other calibration rows"):
        cascade(bundle, ServePlan(), "same")


def test_a_slice_without_rows_is_named(bundle):
    from surefoot.data.columns import read_parquet

    file = bundle / "calibration" / "same.parquet"
    write_parquet(file, {**read_parquet(file), "slice_odd": np.zeros(2_000, dtype=bool)})
    with pytest.raises(BundleError, match=r"no calibration row is in slice 'odd'"):
        cascade(bundle, ServePlan(slices=["odd"]), "same")


def test_a_slice_is_promised_by_name(bundle):
    found = cascade(bundle, ServePlan(slices=["odd"]), "same")
    assert found.rows == 1_000
    with pytest.raises(BundleError, match=r"no slice 'od'.*odd"):
        cascade(bundle, ServePlan(slices=["od"]), "same")


def test_too_few_rows_promise_nothing_and_say_how_many_would(bundle):
    found = cascade(bundle, ServePlan(max_error_over_fallback=0.001), "same")
    assert found.chosen is None
    assert found.needed == 2_302


def test_what_is_asked_is_the_plans_unless_an_option_wins(bundle):
    plan = json.loads((bundle / "plan.json").read_text())
    plan["serve"] = {"max_error_over_fallback": 0.03, "slices": ["odd"]}
    (bundle / "plan.json").write_text(json.dumps(plan))
    found = promised_plan(bundle, max_error=None, delta=0.2, abstain=True)
    assert found == ServePlan(
        fallback="abstain", max_error_over_fallback=0.03, delta=0.2, slices=["odd"]
    )
    with pytest.raises(BudgetError, match=r"max_error_over_fallback is 1.5"):
        promised_plan(bundle, max_error=1.5, delta=None, abstain=False)


def test_models_that_there_are_not_are_named(bundle):
    data = json.loads((bundle / "verdict.json").read_text())
    data["failed"] = {"int8": "no step 'quantise'"}
    (bundle / "verdict.json").write_text(json.dumps(data))
    for plan, said in (
        ({"candidate": "int8"}, r"candidate 'int8' failed: no step 'quantise'; mend it"),
        ({"candidate": "same", "between": ["int8"]}, r"candidate 'int8' failed"),
        ({"candidate": "same", "between": ["turnt"]}, r"'turnt'; did you mean 'turned'\?"),
    ):
        with pytest.raises(BundleError, match=said):
            cascade(bundle, ServePlan(**plan))
        with pytest.raises(BundleError, match=said):
            cascade_or_alone(bundle, ServePlan(**plan), data)
    with pytest.raises(BundleError, match=r"'turnt' gave no answers.*did you mean 'turned'\?"):
        policy(bundle, ServePlan(between=["turnt"]), "same")


def test_only_without_any_calibration_rows_the_lean_model_is_alone(bundle):
    data = json.loads((bundle / "verdict.json").read_text())
    plan = ServePlan(candidate="same")
    (bundle / "calibration" / "same.parquet").unlink()
    with pytest.raises(BundleError, match=r"'same' gave no answers to calibration rows"):
        cascade_or_alone(bundle, plan, data)
    for file in (bundle / "calibration").iterdir():
        file.unlink()
    assert cascade_or_alone(bundle, plan, data).void == "the bundle has no calibration rows"


def test_bundles_without_what_it_takes_are_refused(bundle):
    with pytest.raises(BundleError, match=r"no candidate 'sane'.*same"):
        cascade(bundle, ServePlan(), "sane")
    (bundle / "calibration" / "same.parquet").unlink()
    with pytest.raises(BundleError, match=r"no answers to calibration rows"):
        cascade(bundle, ServePlan(), "same")
