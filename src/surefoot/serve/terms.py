"""What safe mode starts from: how often both models differ on calibration rows, and the promise.

It is chosen once, by whoever prepares a bundle; workers and the guard read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.errors import BundleError
from surefoot.core.hashing import hash_json
from surefoot.core.plan import ServePlan
from surefoot.core.serving import Cascade
from surefoot.data.columns import read_parquet
from surefoot.gate.cascade import GRID, Answers, choose, one_of_each, stands
from surefoot.models.store import SIGNATURE
from surefoot.serve.safety import Terms


def safety_terms(path: Path, plan: ServePlan, found: Cascade) -> tuple[Terms | None, str]:
    """What safe mode of a bundle starts from; or None, and why there is none.

    Args:
        path: The folder of the bundle.
        plan: What is promised.
        found: What its calibration rows show.

    Returns:
        The terms, and why there are none where there are none.

    Raises:
        BundleError: The calibration rows of its models are not the same.
        BudgetError: A share of the plan is not between 0 and 1.
    """
    if plan.shadow == 0:
        return None, "the plan's serve.shadow is 0"
    if found.fallback == "abstain":
        return None, "nobody stands behind the lean model"
    if found.void or found.chosen is None:
        return None, "nothing is promised that could be broken"
    thresholds = (found.chosen.threshold, *found.chosen.thresholds)
    names = (found.lean, *found.between)
    files = [_calibration(path, name) for name in (*names, found.fallback)]
    if any("predicted" not in file for file in files):
        return None, "the bundle does not hold what both models answered to calibration rows"
    if any(not np.array_equal(file["id"], files[0]["id"]) for file in files):
        raise BundleError("the models answered other calibration rows", where=str(path))
    counted = one_of_each(len(files[0]["id"]), files[0].get("group"))
    stood, differs = (rows[counted] for rows in _answers(files, thresholds))
    accepted, disagreed = int(stood.sum()), int((stood & differs).sum())
    limit = float(stats.highest_rate(disagreed, accepted, plan.false_alarm / 2)) if accepted else 1
    if limit >= 1:
        return None, "on calibration rows the models never agree where the lean one is sure"
    several, slices = len(names) > 1, bool(found.slices)
    strict = None
    if plan.on_alarm == "strict" and not several:
        strict = _strict(files[0], counted, differs, plan)
    asked = (thresholds, asdict(plan), [_fingerprint(path, n) for n in (*names, found.fallback)])
    return Terms(
        key=hash_json([*asked, accepted, disagreed]),
        threshold=thresholds[0],
        strict=None if strict is None else max(strict, thresholds[0]),
        max_error=plan.max_error_over_fallback,
        delta=plan.delta,
        false_alarm=plan.false_alarm,
        accepted=accepted,
        disagreed=disagreed,
        limit=limit,
        shadow=plan.shadow,
        grid=tuple(GRID[thresholds[0] <= GRID].tolist()),
        stuck="of promised slices requests do not tell" * slices
        or "several models are asked in turn" * several,
    ), ""


def safety_line(terms: Terms | None, why: str) -> str:
    """One line for whoever starts a service: what would be an alarm, or why nothing can be one.

    Args:
        terms: Of `safety_terms`.
        why: There are none.
    """
    if terms is None:
        return f"NO SAFE MODE  {why}"
    known = f"{terms.disagreed:,} of {terms.accepted:,} differ on calibration rows"
    again = f"; an alarm lasts until its state is taken away: {terms.stuck}" * bool(terms.stuck)
    return (
        f"SAFE MODE  no promise once more than {terms.limit:.2%} of the answers that stand differ"
        f" from the fallback's ({known}; false alarms {100 * terms.false_alarm:g}%){again}"
    )


def _strict(
    lean: Mapping[str, np.ndarray], counted: np.ndarray, differs: np.ndarray, plan: ServePlan
) -> float | None:
    """The threshold that these rows, and every promised slice of them, show for half the error."""
    answers = Answers(
        confidence=lean["confidence"][counted][None],
        right=~differs[None],
        fallback_right=np.ones(len(counted), dtype=bool),
        slices={name: lean[f"slice_{name}"][counted] for name in plan.slices},
    )
    shown, _ = choose(answers, max_error=plan.max_error_over_fallback / 2, delta=plan.delta)
    return float(GRID[shown - 1]) if shown else None


def _answers(
    files: list[Mapping[str, np.ndarray]], thresholds: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose answer stands, and rows whose answer, or the first model's, is another one's."""
    *asked, behind = files
    who = stands(np.stack([stage["confidence"] for stage in asked]), np.array(thresholds))
    stood = who < len(asked)
    said = np.stack([stage["predicted"] for stage in asked])
    answer = said[np.where(stood, who, 0), np.arange(len(who))]
    return stood, answer != behind["predicted"]


def _calibration(path: Path, name: str) -> Mapping[str, np.ndarray]:
    file = path / "calibration" / f"{name}.parquet"
    return read_parquet(file) if file.is_file() else {}


def _fingerprint(path: Path, name: str) -> Any:
    """What the seal of a model says; nothing for an endpoint."""
    file = path / "models" / name / SIGNATURE
    return json.loads(file.read_text()).get("fingerprint") if file.is_file() else None
