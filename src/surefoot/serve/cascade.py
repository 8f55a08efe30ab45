"""Which answers of the lean model may stand, and what that is worth: from a bundle alone.

The threshold is chosen by Learn-then-Test (Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn
then test: calibrating predictive algorithms to achieve risk control") on calibration rows that no
training and no choice of a candidate has seen. It compares confidence as the model gives it:
temperatures are fitted on these rows too, and a promise may not rest on what was fitted on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.bundle import bundle_of, read_plan_json, read_verdict_json
from surefoot.core.errors import BundleError, nearest
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Bundle
from surefoot.core.model import BASELINE
from surefoot.core.plan import ServePlan
from surefoot.core.serving import Cascade, Tradeoff
from surefoot.data.columns import read_parquet
from surefoot.stats.checks import open_share

GRID = 1 / (1 + np.exp(-np.append(np.arange(140, -60, -1) / 10, -np.inf)))
"""Thresholds from strict to lax, even in log-odds: what is too sure of itself differs near 1. Fixed
before any row is looked at, as the test wants it; the last one lets every answer stand."""
LEVEL = 0.9
"""Of intervals."""
STEPS = 10
"""Into so many parts the curve cuts the requests."""
_Times = Mapping[str, tuple[float | None, float | None]]
_UNTIMED = (None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What two models say of the same rows."""

    confidence: np.ndarray
    """(n,) of the lean model in its answer."""
    right: np.ndarray
    """(n,) whether it is right."""
    fallback_right: np.ndarray
    """(n,) whether the fallback is; nowhere for `abstain`."""
    lost: np.ndarray
    """(n,) whether an answer that stands costs a loss."""
    slices: Mapping[str, np.ndarray]
    """Name to (n,) mask of those that are promised."""


def promised_plan(
    path: Path, *, max_error: float | None, delta: float | None, abstain: bool
) -> ServePlan:
    """What is to be promised: the `[serve]` table of the bundle's plan, and what wins over it.

    Args:
        path: The folder of the bundle.
        max_error: In place of the plan's.
        delta: In place of the plan's.
        abstain: Whether there is no fallback, whatever the plan says.

    Raises:
        BundleError: Its plan cannot be read.
        BudgetError: A share outside 0 and 1.
    """
    try:
        plan = ServePlan(**read_plan_json(path).get("serve", {}))
        shares = (plan.max_error_over_fallback, plan.delta)
        sound = all(isinstance(share, int | float) for share in shares)
    except TypeError:
        sound = False
    if not sound:
        raise BundleError("plan.json: its [serve] is none that can be read", where=str(path))
    plan = replace(
        plan,
        fallback="abstain" if abstain else plan.fallback,
        max_error_over_fallback=(plan.max_error_over_fallback if max_error is None else max_error),
        delta=plan.delta if delta is None else delta,
    )
    for key in ("max_error_over_fallback", "delta"):
        open_share(getattr(plan, key), key)
    return plan


def choose(answers: Answers, *, max_error: float, delta: float) -> tuple[int, np.ndarray]:
    """How many thresholds of the grid are shown, and how many rows each of them costs.

    A promised slice is a grid of its own beside that of all rows, and a threshold is shown where
    all of them show it. Delta need not be shared: to deploy a threshold that breaks the promise
    somewhere, the first that does would have to pass on the very grid that it breaks.

    Args:
        answers: On calibration rows.
        max_error: The most that may be lost, as a share of all rows.
        delta: How often the promise may be broken.

    Returns:
        The number of thresholds, from the strictest; and (thresholds,) rows lost at each.
    """
    grids = [np.ones(len(answers.lost), dtype=bool), *answers.slices.values()]
    stands = answers.confidence[:, None] >= GRID
    losses = stands & answers.lost[:, None]
    shown = min(
        int(
            stats.thresholds_passed(
                losses[mask].sum(axis=0), int(mask.sum()), alpha=max_error, delta=delta
            )
        )
        for mask in grids
    )
    return shown, losses.sum(axis=0)


def cascade(path: Path, plan: ServePlan, candidate: str | None = None) -> Cascade:
    """The trade-off of a bundle's lean model and its fallback, and the threshold to deploy.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        candidate: The lean model; None for the plan's, or the one that passed.

    Raises:
        BundleError: No such candidate, none that passed, or no calibration rows.
    """
    lean = _lean(bundle_of(path, read_verdict_json(path)), candidate or plan.candidate)
    times = _times(path)
    return _promised(path, plan, _alone(plan, lean, times), times)


def cascade_or_alone(path: Path, plan: ServePlan, data: Mapping[str, Any]) -> Cascade:
    """As `cascade`; without calibration rows the lean model alone, of which nothing is promised.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        data: The content of its verdict.json.

    Raises:
        BundleError: No such candidate, or none that passed.
    """
    lean, times = _lean(bundle_of(path, data), plan.candidate), _times(path)
    alone = _alone(plan, lean, times)
    return _promised(path, plan, alone, times) if _file(path, lean).is_file() else alone


def _alone(plan: ServePlan, lean: str, times: _Times) -> Cascade:
    """The lean model without a fallback, and without a promise."""
    return Cascade(
        lean=lean,
        fallback="abstain",
        max_error=plan.max_error_over_fallback,
        delta=plan.delta,
        slices=tuple(plan.slices),
        rows=0,
        needed=int(stats.calibration_rows_needed(plan.max_error_over_fallback, plan.delta)),
        chosen=None,
        curve=(),
        fallback_accuracy=0.0,
        lean_ms=times.get(lean, _UNTIMED)[0],
        fallback_ms=None,
        void="the bundle has no calibration rows",
    )


def _promised(path: Path, plan: ServePlan, alone: Cascade, times: _Times) -> Cascade:
    """What calibration rows show of a lean model before its fallback."""
    answers = _answers(path, alone.lean, plan)
    shown, losses = choose(answers, max_error=plan.max_error_over_fallback, delta=plan.delta)
    behind = plan.fallback == BASELINE
    fallback_ms, slow_ms = times.get(BASELINE, _UNTIMED) if behind else _UNTIMED
    return replace(
        alone,
        fallback=plan.fallback,
        rows=min([len(answers.lost), *(int(mask.sum()) for mask in answers.slices.values())]),
        chosen=_tradeoff(answers, shown - 1, losses, shown) if shown else None,
        curve=tuple(_tradeoff(answers, i, losses, shown) for i in _curve_places(answers)),
        fallback_accuracy=float(answers.fallback_right.mean()),
        fallback_ms=fallback_ms,
        fallback_slow_ms=slow_ms,
        void="",
    )


def _lean(bundle: Bundle, asked: str | None) -> str:
    """The name of the lean model: the one that is asked for, or the one that passed."""
    named, where = [verdict.candidate for verdict in bundle.verdicts], str(bundle.path)
    lean = asked or bundle.winner
    if lean is None:
        raise BundleError(
            "no candidate passed",
            where=where,
            fix=f"name one to look at it all the same: {', '.join(named)}",
        )
    if lean not in named:
        raise BundleError(f"has no candidate '{lean}'", where=where, fix=nearest(lean, named))
    return lean


def _answers(path: Path, lean: str, plan: ServePlan) -> Answers:
    """What both say of the calibration rows; of rows that come in groups, one of each."""
    own = _calibration(path, lean)
    behind = np.zeros(len(own["correct"]), dtype=bool)
    if plan.fallback == BASELINE:
        other = _calibration(path, BASELINE)
        if not np.array_equal(own["id"], other["id"]):
            raise BundleError("the models answered other calibration rows", where=str(path))
        behind = other["correct"]
    counted = _one_of_each(own.get("group"), len(behind))
    return Answers(
        confidence=own["confidence"][counted],
        right=own["correct"][counted],
        fallback_right=behind[counted],
        lost=(~own["correct"] & (behind | (plan.fallback == "abstain")))[counted],
        slices={name: _slice(path, own, name)[counted] for name in plan.slices},
    )


def _one_of_each(groups: np.ndarray | None, n: int) -> np.ndarray:
    """Positions of rows that are independent: a test that counts rows takes no more."""
    if groups is None:
        return np.arange(n)
    order = np.random.default_rng(0).permutation(n)
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[first])


def _slice(path: Path, own: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    known = [key.removeprefix("slice_") for key in own if key.startswith("slice_")]
    if name not in known:
        raise BundleError(
            f"its calibration rows have no slice '{name}'",
            where=str(path),
            fix=nearest(name, known) if known else "name it under evaluate.slices",
        )
    if not own[f"slice_{name}"].any():
        raise BundleError(f"no calibration row is in slice '{name}'", where=str(path))
    return own[f"slice_{name}"]


def _file(path: Path, name: str) -> Path:
    return path / "calibration" / f"{name}.parquet"


def _calibration(path: Path, name: str) -> Mapping[str, np.ndarray]:
    file = _file(path, name)
    found = read_parquet(file) if file.is_file() else {}
    lacks = [key for key in ("id", "correct", "confidence") if key not in found]
    if lacks or not len(found["id"]):
        raise BundleError(
            "holds no answers to calibration rows, so nothing can be promised",
            where=str(file),
            fix="name task.calibration or task.train in the plan, and run it again",
        )
    return found


def _curve_places(answers: Answers) -> Sequence[int]:
    """The thresholds at which the share of answers that stand crosses each part."""
    shares = (answers.confidence[:, None] >= GRID).mean(axis=0)
    marks = np.arange(1, STEPS) / STEPS
    found = [int(np.searchsorted(shares, mark)) for mark in marks]
    return sorted({*(i for i in found if i < len(GRID)), len(GRID) - 1})


def _tradeoff(answers: Answers, place: int, losses: np.ndarray, shown: int) -> Tradeoff:
    stands, n = answers.confidence >= GRID[place], len(answers.lost)
    right = np.where(stands, answers.right, answers.fallback_right)
    return Tradeoff(
        threshold=float(GRID[place]),
        share=_share(int(stands.sum()), n),
        lost=_share(int(losses[place]), n),
        accuracy=float(right.mean()),
        shown=place < shown,
    )


def _share(count: int, n: int) -> Estimate:
    found = stats.proportion_interval(count, n, level=LEVEL)
    return found.estimate(level=LEVEL, method="Clopper-Pearson", n=n)


def _times(path: Path) -> _Times:
    """Of each model the median CPU milliseconds of a row and 95 % of those on the clock.

    At the smallest batch that was timed; nothing where nothing was.
    """
    file = path / "latency.parquet"
    if not file.is_file():
        return {}
    columns = read_parquet(file)
    batch = columns["batch"].min()
    smallest, names = columns["batch"] == batch, columns["candidate"]

    def quantile(name: str, column: str, share: float) -> float:
        return float(np.quantile(columns[column][smallest & (names == name)], share) / batch)

    return {
        str(name): (quantile(name, "cpu_ms", 0.5), quantile(name, "wall_ms", 0.95))
        for name in np.unique(names[smallest])
    }
