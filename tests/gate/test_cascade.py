"""Which answers of several models may stand: held against loops, scipy and simulations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.plan import ServePlan
from surefoot.gate.cascade import (
    GRID,
    SLOPE,
    WEAK,
    Answers,
    _odds,
    _risk,
    choose,
    curve_places,
    one_of_each,
    planned_apart,
    rows_needed,
    scope_threshold,
    shared_path,
    stands,
    too_few,
    tradeoff,
)

COSTS = (1.0, 3.0)
"""Of asking the second model, and the fallback."""


def drawn(rng, n, *, slices=False):
    """A weak model, and a strong one that agrees with the fallback nearly always, sure or not."""
    hard = rng.beta(1, 3, n)
    behind = rng.random(n) > 0.6 * hard**2
    agrees = rng.random(n) > 0.1 * hard
    right = np.stack([rng.random(n) > hard, np.where(agrees, behind, ~behind)])
    noise = rng.normal(0, 0.5, (2, n))
    sure = 1 / (1 + np.exp(np.log(hard / (1 - hard)) * np.array([[2.0], [1.5]]) - 1 + noise))
    return Answers(
        confidence=np.maximum(sure, 0.5).astype(np.float32),
        right=right,
        fallback_right=behind,
        slices={"odd": np.arange(n) % 2 == 1} if slices else {},
    )


@pytest.fixture
def answers():
    return drawn(np.random.default_rng(3), 500, slices=True)


def by_hand(answers, thresholds):
    """Who answers each row and what that costs, one row after the other."""
    who, lost = [], []
    for i in range(len(answers.fallback_right)):
        sure = [
            stage
            for stage, least in enumerate(thresholds)
            if float(answers.confidence[stage, i]) >= least
        ]
        who.append(sure[0] if sure else len(thresholds))
        wrong = bool(sure) and not answers.right[sure[0], i]
        lost.append(wrong and (answers.abstain or bool(answers.fallback_right[i])))
    return np.array(who), np.array(lost)


@pytest.mark.parametrize("abstain", [False, True])
def test_who_answers_and_what_it_costs_are_what_a_loop_counts(answers, abstain):
    answers = replace(answers, abstain=abstain)
    path = shared_path(answers, COSTS)
    _, losses = choose(answers, path, max_error=0.05, delta=0.1)
    for place in (0, 60, 100, len(path) - 1):
        who, lost = by_hand(answers, path[place])
        assert (stands(answers.confidence, path[place]) == who).all()
        assert losses[place] == lost.sum()
        found = tradeoff(answers, path, place, lost=int(losses[place]), shown=True)
        assert found.share.value == (who == 0).mean()
        assert found.between == ((who == 1).mean(),)
        assert (found.threshold, *found.thresholds) == tuple(path[place])
        every = np.stack([*answers.right, answers.fallback_right])
        assert found.accuracy == every[who, np.arange(500)].mean()


def test_one_model_walks_the_grid(answers):
    alone = replace(answers, confidence=answers.confidence[:1], right=answers.right[:1])
    shown, losses = choose(alone, max_error=0.05, delta=0.1)
    assert len(losses) == len(GRID)
    n, odd = 500, alone.slices["odd"]
    loss = [by_hand(alone, [least])[1] for least in GRID]
    counts = [[row.sum(), row[odd].sum()] for row in loss]
    passed = [
        all(stats.proportion_at_most(k, m, 0.05) <= 0.1 for k, m in zip(c, (n, 250), strict=True))
        for c in counts
    ]
    assert shown == passed.index(False)


def test_a_path_goes_from_strict_to_lax_and_ends_with_every_answer(answers):
    path = shared_path(answers, COSTS)
    assert (np.diff(path, axis=0) <= 0).all()
    assert path[0].min() > 0.9
    assert (path[-1] == 0).all()


def test_where_going_on_is_dear_a_model_is_believed_sooner(answers):
    cheap, dear = (shared_path(answers, (cost, 3.0))[100, 0] for cost in (0.1, 3.0))
    assert dear < cheap


def test_a_model_that_loses_nothing_is_believed_where_a_weak_one_is_not(answers):
    """At one confidence for both, the weak one would hold the strong one back."""
    rng = np.random.default_rng(5)
    answers = drawn(rng, 4_000)
    apart, tests = planned_apart(answers)
    path = shared_path(apart, COSTS)
    shown, _ = choose(tests, path, max_error=0.02, delta=0.1)
    equal, _ = choose(tests, np.repeat(GRID[:, None], 2, axis=1), max_error=0.02, delta=0.1)
    one, other = path[shown - 1], np.repeat(GRID[equal - 1], 2)
    asked = [float((stands(tests.confidence, at) == 2).mean()) for at in (one, other)]
    assert asked[0] < 0.5 * asked[1]
    assert one[0] > one[1]


def test_the_fit_is_that_of_a_general_optimiser(answers):
    odds, wrong = _odds(answers.confidence[0]), ~answers.right[0]
    x, y = np.append(odds, odds.mean()), np.append(wrong.astype(float), 0.5)

    def worse(found):
        level, slope = found
        at = level + slope * x
        likely = np.logaddexp(0, at) - y * at
        return likely.sum() + WEAK * (slope - SLOPE) ** 2 / 2 + 1e-9 * level**2 / 2

    wanted = minimize(worse, [0.0, SLOPE], method="BFGS", options={"gtol": 1e-8}).x
    assert np.allclose(_risk(odds, wrong, SLOPE, WEAK), wanted, atol=1e-5)


@pytest.mark.parametrize("lost", [np.zeros(50, bool), np.ones(50, bool)])
def test_rows_that_tell_nothing_still_give_a_path(lost):
    confidence = np.linspace(0.5, 1, 50, dtype=np.float32)
    answers = Answers(
        confidence=np.stack([confidence, np.ones(50, np.float32)]),
        right=np.stack([~lost, ~lost]), fallback_right=np.ones(50, bool), slices={},
    )  # fmt: skip
    path = shared_path(answers, (0.0, 0.0))
    assert np.isfinite(path).all()
    assert (np.diff(path, axis=0) <= 0).all()


def test_the_rows_that_plan_are_not_those_that_test(answers):
    apart, tests = planned_apart(answers)
    kept = [a.confidence[0].tolist() for a in (apart, tests)]
    assert sorted(kept[0] + kept[1]) == sorted(answers.confidence[0].tolist())
    assert len(apart.fallback_right) == 166
    assert apart.slices["odd"].sum() + tests.slices["odd"].sum() == 250


@pytest.mark.parametrize("n", [600, 2_000])
def test_the_promise_of_several_models_is_broken_no_more_often_than_it_says(n):
    """The risk of every point of a path is known from 200,000 rows."""
    rng = np.random.default_rng(11)
    truth = drawn(rng, 200_000)
    broken, runs = 0, 150
    for _ in range(runs):
        apart, tests = planned_apart(drawn(rng, n))
        path = shared_path(apart, COSTS)
        shown, _ = choose(tests, path, max_error=0.02, delta=0.1)
        if shown:
            deployed = path[shown - 1][None]
            broken += choose(truth, deployed, max_error=0.02, delta=0.1)[1][0] > 4_000
    assert stats.proportion_at_least(broken, runs, 0.1) > 0.001  # no evidence of more than 10 %


def test_the_curve_crosses_each_tenth_once(answers):
    path = shared_path(answers, COSTS)
    places = curve_places(answers, path)
    shares = [(stands(answers.confidence, path[i]) < 2).mean() for i in places]
    assert places[-1] == len(path) - 1
    assert shares == sorted(shares)
    before = [(stands(answers.confidence, path[i - 1]) < 2).mean() for i in places[:-1]]
    for low, high in zip(before, shares[:-1], strict=True):
        assert int(low * 10 + 1e-9) < int(high * 10 + 1e-9)


@pytest.mark.parametrize("n", [19, 100, 999])
def test_at_most_one_row_in_scope_of_twenty_is_called_strange(n):
    """The share of new rows below the threshold, over many sets of calibration rows."""
    rng = np.random.default_rng(n)
    least = np.array([scope_threshold(rng.random(n)) for _ in range(4_000)])
    # A uniform confidence is below a threshold with a chance of just that threshold.
    spread = least.std() / np.sqrt(len(least))
    assert least.mean() <= 0.05 + 4 * spread
    assert least.mean() >= 0.05 - 1 / (n + 1) - 4 * spread


def test_too_few_rows_call_nothing_strange():
    assert scope_threshold(np.linspace(0, 1, 18)) is None
    assert scope_threshold(np.linspace(0, 1, 19)) == 0
    assert scope_threshold(np.full(100, 0.7)) == 0.7  # and nothing lies below it


def rows(n, groups=None):
    ids = np.array([str(i) for i in range(n)], np.dtypes.StringDType())
    return Dataset(
        name="calibration", ids=ids, inputs=np.zeros((n, 1), np.float32),
        labels=np.zeros(n, np.int64), classes=("a", "b"),
        slices={"few": np.arange(n) < 100, "many": np.arange(n) >= 100}, groups=groups,
    )  # fmt: skip


def test_how_many_rows_it_takes_is_said_for_each_place():
    plan = ServePlan(slices=["few", "many"])
    assert list(too_few(plan, rows(300))) == [("few", 100, 114, 0)]
    assert list(too_few(ServePlan(), None)) == [(None, 0, 114, 0)]
    groups = np.array([str(i // 3) for i in range(300)], np.dtypes.StringDType())
    assert list(too_few(ServePlan(), rows(300, groups))) == [(None, 100, 114, 0)]
    assert list(too_few(ServePlan(), rows(114))) == []


def test_a_slice_has_the_rows_that_the_walk_counts():
    """Of a group one row counts, and that one need not be in the slice that another one is in."""
    groups = np.array([str(i // 2) for i in range(600)], np.dtypes.StringDType())
    mixed = replace(rows(600, groups), slices={"even": np.arange(600) % 2 == 0})
    counted = one_of_each(600, groups)
    assert sorted(groups[counted]) == sorted(set(groups.tolist()))
    wanted = int((counted % 2 == 0).sum())
    assert wanted < 200
    plan = ServePlan(slices=["even"], max_error_over_fallback=0.01)
    assert list(too_few(plan, mixed))[-1] == ("even", wanted, 230, 0)
    several = replace(plan, candidate="a", between=["b"])
    everyone, even = too_few(several, mixed)
    assert everyone == (None, 200, 230, 100)
    assert even[1] + even[3] == wanted
    assert even[1] == planned_apart(
        Answers(
            confidence=np.ones((2, 300)), right=np.ones((2, 300), bool),
            fallback_right=np.ones(300, bool), slices={"even": counted % 2 == 0},
        )
    )[1].slices["even"].sum()  # fmt: skip


def test_with_several_models_it_takes_those_that_plan_too():
    plan = ServePlan(candidate="a", between=["b"])
    assert rows_needed(plan) == 170
    assert list(too_few(plan, rows(169))) == [(None, 113, 114, 56)]
    assert list(too_few(plan, rows(170))) == []
    n = 170
    sure = Answers(
        confidence=np.ones((2, n)), right=np.ones((2, n), bool),
        fallback_right=np.ones(n, bool), slices={},
    )  # fmt: skip
    _, tests = planned_apart(sure)
    path = np.zeros((1, 2))
    assert choose(tests, path, max_error=0.02, delta=0.1)[0] == 1


@pytest.mark.parametrize("stages", [1, 2])
def test_whoever_answers_one_row_of_twenty_is_called_strange_at_most(stages):
    """Each model by a threshold of its own, and the cascade by what the same rows chose."""
    rng, n, new, found = np.random.default_rng(stages), 300, 2_000, []
    for _ in range(120):
        old, fresh = drawn(rng, n), drawn(rng, new)
        alone = replace(old, confidence=old.confidence[:stages], right=old.right[:stages])
        path, tests = GRID[:, None], alone
        if stages > 1:
            apart, tests = planned_apart(alone)
            path = shared_path(apart, COSTS)
        shown, _ = choose(tests, path, max_error=0.05, delta=0.1)
        at = path[shown - 1] if shown else np.full(stages, 2.0)
        behind = [np.clip(a.confidence[1] + rng.normal(0, 0.1, len(a.fallback_right)), 0, 1)
                  for a in (old, fresh)]  # fmt: skip
        least = np.array([scope_threshold(c) for c in (*alone.confidence, behind[0])])
        who = stands(fresh.confidence[:stages], at)
        sure = np.stack([*fresh.confidence[:stages], behind[1]])[who, np.arange(new)]
        found.append(float((sure < least[who]).mean()))
    assert np.mean(found) <= 0.05 + 4 * np.std(found) / np.sqrt(len(found))
