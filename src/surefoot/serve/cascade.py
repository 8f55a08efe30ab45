"""The policy of a bundle as it is asked for: as its run wrote it down, or counted anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from surefoot.bundle import bundle_of, read_plan_json, read_verdict_json
from surefoot.bundle.serving import alone, has_calibration, policy, read_policy, serve_plan
from surefoot.core.errors import BundleError, nearest
from surefoot.core.model import BASELINE
from surefoot.core.plan import ServePlan
from surefoot.core.serving import ENDPOINT, Cascade
from surefoot.gate.cascade import GRID, Answers, choose
from surefoot.stats.checks import open_share

__all__ = [
    "GRID",
    "Answers",
    "cascade",
    "cascade_or_alone",
    "choose",
    "promised_plan",
]


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
        plan = serve_plan(read_plan_json(path).get("serve", {}))
        shares = (plan.max_error_over_fallback, plan.delta, plan.shadow, plan.false_alarm)
        sound = all(isinstance(share, int | float) for share in shares)
    except (TypeError, AttributeError):
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


def cascade(path: Path, plan: ServePlan, candidate: str | None = None) -> Cascade:
    """The trade-off of a bundle's lean model and its fallback, and the threshold to deploy.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        candidate: The lean model; None for the plan's, or the one that passed.

    Raises:
        BundleError: No such candidate, none that passed, or no calibration rows.
    """
    data = read_verdict_json(path)
    lean = _lean(path, data, candidate or plan.candidate)
    plan = replace(plan, between=[name for name in plan.between if name != lean])
    _known(path, data, plan.between, (BASELINE,))
    return _written(path, plan, lean) or policy(path, plan, lean)


def cascade_or_alone(path: Path, plan: ServePlan, data: Mapping[str, Any]) -> Cascade:
    """As `cascade`; without calibration rows the lean model alone, of which nothing is promised.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        data: The content of its verdict.json.

    Raises:
        BundleError: No such candidate, none that passed, or models without calibration rows where
            others have them.
    """
    lean = _lean(path, data, plan.candidate)
    _known(path, data, plan.between, (BASELINE,))
    if not any((path / "calibration").glob("*.parquet")):
        return alone(path, plan, lean)
    return _written(path, plan, lean) or policy(path, plan, lean)


def _written(path: Path, plan: ServePlan, lean: str) -> Cascade | None:
    """The policy that the run wrote down, if it is the one that is asked for.

    Then nothing has to be counted again, and neither scipy nor DuckDB be loaded. One whose
    calibration rows are not there is nobody's to check: counting anew says which are missing.
    """
    found = read_policy(path)
    if found is None:
        return None
    behind = () if found.fallback == "abstain" else (found.fallback,)
    if not all(has_calibration(path, name) for name in (*found.stages, *behind)):
        return None
    asked = (
        lean, tuple(plan.between), ENDPOINT if plan.remote else plan.fallback,
        plan.fallback if plan.remote else "", plan.max_error_over_fallback, plan.delta,
        tuple(plan.slices),
    )  # fmt: skip
    there = (
        found.lean, found.between, found.fallback, found.endpoint, found.max_error, found.delta,
        found.slices,
    )  # fmt: skip
    return found if there == asked else None


def _lean(path: Path, data: Mapping[str, Any], asked: str | None) -> str:
    """The name of the lean model: the one that is asked for, or the one that passed."""
    bundle = bundle_of(path, data)
    lean = asked or bundle.winner
    if lean is None:
        named = ", ".join(verdict.candidate for verdict in bundle.verdicts)
        raise BundleError(
            "no candidate passed",
            where=str(path),
            fix=f"name one to look at it all the same: {named}",
        )
    _known(path, data, [lean], ())
    return lean


def _known(
    path: Path, data: Mapping[str, Any], asked: Sequence[str], beside: Sequence[str]
) -> None:
    """Raises unless a bundle has these candidates, or they are among others that it has."""
    named = [verdict["candidate"] for verdict in data["verdicts"]] + [*beside]
    failed = dict(data["failed"])
    for name in asked:
        if name in failed:
            raise BundleError(
                f"candidate '{name}' failed: {failed[name]}",
                where=str(path),
                fix="mend it and run the plan again, or name another one",
            )
        if name not in named:
            fix = nearest(name, named)
            raise BundleError(f"has no candidate '{name}'", where=str(path), fix=fix)
