"""Which answers of lean models may stand before a fallback, and what that is worth.

The threshold is chosen by Learn-then-Test (Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn
then test: calibrating predictive algorithms to achieve risk control") on calibration rows that no
training and no choice of a candidate has seen. It compares confidence as models give it:
temperatures are fitted on these rows too, and a promise may not rest on what was fitted on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.estimate import Estimate
from surefoot.core.plan import ServePlan
from surefoot.core.serving import Tradeoff

GRID = 1 / (1 + np.exp(-np.append(np.arange(140, -60, -1) / 10, -np.inf)))
"""Thresholds from strict to lax, even in log-odds: what is too sure of itself differs near 1. Fixed
before any row is looked at, as the test wants it; the last one lets every answer stand."""
LEVEL = 0.9
"""Of intervals."""
STEPS = 10
"""Into so many parts the curve cuts the requests."""
PLANNED = 3
"""With several models one of so many rows says how their thresholds go together; it tests none."""
RISKS = np.append(np.arange(-140, 41) / 10, np.inf)
"""Log-odds of a loss from strict to lax: where the thresholds of several models stand together."""
TINY = 1e-6
"""Logarithms and odds have an end: what is nearer to 0 than this counts as this."""
SLOPE, WEAK = -0.5, 0.3
"""How wrong answers fall with confidence where nothing tells, as for a model twice as sure as it
should be; and how much that is trusted: little."""
FLATTEST = -0.1
"""Risk falls so much at least: else a model would answer nothing, and then all rows at once."""
STRANGE = 0.05
"""The share of rows in scope that may be called out of scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the models of a cascade say of the same rows."""

    confidence: np.ndarray
    """(stages, n) of each model in its answer, in the order in which they are asked."""
    right: np.ndarray
    """(stages, n) whether it is right."""
    fallback_right: np.ndarray
    """(n,) whether the fallback is; nowhere for `abstain`."""
    abstain: bool = False
    """Whether nobody stands behind them, so that every wrong answer is a loss."""
    slices: Mapping[str, np.ndarray]
    """Name to (n,) mask of those that are promised."""

    @property
    def lost(self) -> np.ndarray:
        """(stages, n) whether an answer that stands costs a loss."""
        return ~self.right & (self.fallback_right | self.abstain)


def too_few(plan: ServePlan, rows: Dataset | None) -> Iterator[tuple[str | None, int, int, int]]:
    """Where calibration rows are so few that no promise can come of them, whatever the models say.

    Args:
        plan: What is to be promised.
        rows: The calibration rows, where there are any; of those in groups one of each counts.

    Yields:
        The slice, None for all rows; how many test it; how many it takes at least; and how many
        more say how the thresholds of several models go together.
    """
    needed = _tested(plan)
    everyone = np.ones(0 if rows is None else len(rows), dtype=bool)
    slices, groups = ({}, None) if rows is None else (rows.slices, rows.groups)
    counted = one_of_each(len(everyone), groups)
    tests = counted[_cut(len(counted))[1]] if plan.between else counted
    for name in (None, *plan.slices):
        mask = everyone if name is None else slices[name]
        count = int(mask[tests].sum())
        if count < needed:
            yield name, count, needed, int(mask[counted].sum()) - count


def one_of_each(n: int, groups: np.ndarray | None) -> np.ndarray:
    """Positions of rows that are independent: a test that counts rows takes no more.

    Args:
        n: How many rows there are.
        groups: (n,) what each belongs to; None where each stands for itself.

    Returns:
        One of each group, drawn at random and always the same.
    """
    if groups is None:
        return np.arange(n)
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def rows_needed(plan: ServePlan) -> int:
    """The fewest calibration rows that could promise anything, without one loss.

    Args:
        plan: What is to be promised.
    """
    tested = _tested(plan)
    return tested if not plan.between else (tested * PLANNED - 1) // (PLANNED - 1)


def _tested(plan: ServePlan) -> int:
    """The fewest rows that could test anything."""
    return int(stats.calibration_rows_needed(plan.max_error_over_fallback, plan.delta))


def planned_apart(answers: Answers) -> tuple[Answers, Answers]:
    """The rows that plan a path, and those that test it; no row is both.

    Args:
        answers: On all calibration rows.
    """
    plans, tests = _cut(len(answers.fallback_right))
    return _chosen(answers, plans), _chosen(answers, tests)


def _cut(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the rows that plan, and of those that test."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[: n // PLANNED]), np.sort(order[n // PLANNED :])


def _chosen(answers: Answers, rows: np.ndarray) -> Answers:
    return Answers(
        confidence=answers.confidence[:, rows],
        right=answers.right[:, rows],
        fallback_right=answers.fallback_right[rows],
        abstain=answers.abstain,
        slices={name: mask[rows] for name, mask in answers.slices.items()},
    )


def choose(
    answers: Answers, path: np.ndarray = GRID[:, None], *, max_error: float, delta: float
) -> tuple[int, np.ndarray]:
    """How many thresholds of a path are shown, and how many rows each of them costs.

    A promised slice is a sequence of its own beside that of all rows, and a threshold is shown
    where all of them show it. Delta need not be shared: to deploy a threshold that breaks the
    promise somewhere, the first that does would have to pass in the very sequence that it breaks.

    Args:
        answers: On calibration rows.
        path: (thresholds, stages) from strict to lax, fixed before these rows were looked at.
        max_error: The most that may be lost, as a share of all rows.
        delta: How often the promise may be broken.

    Returns:
        The number of thresholds, from the strictest; and (thresholds,) rows lost at each.
    """
    losses = np.stack([_lost(answers, thresholds) for thresholds in path])
    grids = [np.ones(losses.shape[1], dtype=bool), *answers.slices.values()]
    shown = min(
        int(
            stats.thresholds_passed(
                losses[:, mask].sum(axis=1), int(mask.sum()), alpha=max_error, delta=delta
            )
        )
        for mask in grids
    )
    return shown, losses.sum(axis=1)


def shared_path(answers: Answers, costs: Sequence[float]) -> np.ndarray:
    """Thresholds of several models that go together, from strict to lax.

    Equal confidence is not equal risk: a model that nearly always agrees with the fallback may be
    wrong half of the time where it is unsure, and lose nothing by it. So each model's chance of a
    loss at a confidence is fitted (logistic regression on the log-odds of confidence; Cox 1958,
    "The Regression Analysis of Binary Sequences"), and the models are held to one chance, times
    what going on would cost: where that is dear, more risk is worth taking. Losses are few, wrong
    answers more: how these fall with confidence is what the fit of those leans on. A fit that is
    off makes for a worse path, and not for a broken promise, as long as other rows test it.

    Args:
        answers: On rows that test none of these thresholds.
        costs: Of each model after the first, and of the fallback: what asking it costs.

    Returns:
        (thresholds, stages).
    """
    dearest = max(costs)
    worth = [cost / dearest if dearest > 0 else 1.0 for cost in costs]
    columns = []
    stages = zip(answers.confidence, answers.right, answers.lost, worth, strict=True)
    for confidence, right, lost, value in stages:
        odds = _odds(confidence)
        _, falls = _risk(odds, ~right, SLOPE, WEAK)
        # The slope of losses may well be another one: its spread is taken to be as large as it is.
        level, slope = _risk(odds, lost, falls, 1 / falls**2)
        at = (RISKS + np.log(max(value, TINY)) - level) / slope
        columns.append(1 / (1 + np.exp(-np.clip(at, -700, 700))))
    path = np.stack(columns, axis=1)
    path[-1] = 0  # the last one lets every answer stand
    return path


def _odds(confidence: np.ndarray) -> np.ndarray:
    sure = np.clip(confidence.astype(np.float64), TINY, 1 - TINY)
    return np.asarray(np.log(sure / (1 - sure)))


def _risk(odds: np.ndarray, lost: np.ndarray, slope: float, trust: float) -> tuple[float, float]:
    """Level and slope of the log-odds of a loss, which falls with confidence, by Newton's method.

    Half a loss at the mean keeps the level finite where there was none.

    Args:
        odds: (n,) of confidence, logarithms.
        lost: (n,) whether there is a loss.
        slope: What the fitted one leans on.
        trust: How much; the square of 1 by its spread.
    """
    middle = odds.mean() if len(odds) else 0.0
    x = np.stack([np.ones(len(odds) + 1), np.append(odds, middle)], axis=1)
    y, prior = np.append(lost.astype(np.float64), 0.5), np.diag([1e-9, trust])
    start = found = np.array([0.0, slope])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-x @ found))
        first = x.T @ (chance - y) + prior @ (found - start)
        second = (x * (chance * (1 - chance))[:, None]).T @ x + prior
        move = np.clip(np.linalg.solve(second, first), -1, 1)
        found = found - move
        if np.abs(move).max() < 1e-10:
            break
    return float(found[0]), min(float(found[1]), FLATTEST)


def stands(confidence: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(n,) which model's answer stands, as its place in the order; the number of them: nobody's.

    Args:
        confidence: (stages, n) of each model.
        thresholds: (stages,) from which its answer stands.
    """
    # In 64 bits, as the thresholds are: rounded to 32 they would let other answers stand.
    sure = np.asarray(confidence, dtype=np.float64) >= thresholds[:, None]
    return np.asarray(np.where(sure.any(axis=0), sure.argmax(axis=0), len(sure)))


def _lost(answers: Answers, thresholds: np.ndarray) -> np.ndarray:
    """(n,) whether the answer that stands is one that the fallback would have had right."""
    who = stands(answers.confidence, thresholds)
    behind = np.zeros((1, len(who)), dtype=bool)
    return _of(np.concatenate([answers.lost, behind]), who)


def _of(rows: np.ndarray, who: np.ndarray) -> np.ndarray:
    """(n,) of each row what belongs to whoever answers it."""
    return np.asarray(rows[who, np.arange(len(who))])


def curve_places(answers: Answers, path: np.ndarray) -> Sequence[int]:
    """The thresholds at which the share of answers that stand crosses each part.

    Args:
        answers: On calibration rows.
        path: What `choose` was given.
    """
    stages = len(answers.right)
    shares = [float((stands(answers.confidence, one) < stages).mean()) for one in path]
    marks = np.arange(1, STEPS) / STEPS
    found = [int(np.searchsorted(shares, mark)) for mark in marks]
    return sorted({*(i for i in found if i < len(path)), len(path) - 1})


def tradeoff(answers: Answers, path: np.ndarray, place: int, *, lost: int, shown: bool) -> Tradeoff:
    """What a cascade would do with one threshold of each model.

    Args:
        answers: On calibration rows.
        path: What `choose` was given.
        place: Which thresholds of it.
        lost: How many rows they cost.
        shown: Whether that is shown to be as promised.
    """
    who, n = stands(answers.confidence, path[place]), len(answers.fallback_right)
    stages = len(answers.right)
    right = _of(np.concatenate([answers.right, answers.fallback_right[None]]), who)
    counts = np.bincount(who, minlength=stages)
    return Tradeoff(
        threshold=float(path[place][0]),
        thresholds=tuple(map(float, path[place][1:])),
        share=_share(int(counts[0]), n),
        between=tuple(float(count / n) for count in counts[1:stages]),
        lost=_share(lost, n),
        accuracy=float(right.mean()),
        shown=shown,
    )


def _share(count: int, n: int) -> Estimate:
    found = stats.proportion_interval(count, n, level=LEVEL)
    return found.estimate(level=LEVEL, method="Clopper-Pearson", n=n)


def scope_threshold(confidence: np.ndarray) -> float | None:
    """The confidence below which a row looks as if it belonged to none of the classes.

    A row in scope is called out of scope in at most one of twenty cases, whatever the model: the
    threshold is that of a conformal p-value of 5 % (Bates, Candes, Lei, Romano and Sesia 2023,
    "Testing for outliers with conformal p-values"), and the score is the confidence that was there
    already (Hendrycks and Gimpel 2017, "A Baseline for Detecting Misclassified and
    Out-of-Distribution Examples in Neural Networks"). How many rows from outside it finds, nobody
    knows without such rows; one of which the model is sure it never finds.

    Args:
        confidence: (n,) of one model on calibration rows, which are in scope.

    Returns:
        None where there are too few rows to tell.
    """
    rank = int(STRANGE * (len(confidence) + 1) + 1e-9)
    return float(np.sort(confidence)[rank - 1]) if rank else None
