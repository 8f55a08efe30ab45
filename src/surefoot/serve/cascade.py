"""Who answers what: the policy of a bundle as it is asked for, and as requests are held to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.bundle import bundle_of, read_plan_json, read_verdict_json
from surefoot.bundle.serving import alone, has_calibration, policy, read_policy, serve_plan
from surefoot.core.errors import BundleError, nearest
from surefoot.core.evidence import Bundle
from surefoot.core.plan import ServePlan
from surefoot.core.serving import ENDPOINT, Cascade
from surefoot.gate.cascade import GRID, Answers, choose
from surefoot.stats.checks import open_share

__all__ = [
    "GRID",
    "Answers",
    "Stages",
    "cascade",
    "cascade_or_alone",
    "choose",
    "promised_plan",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The models of a cascade in the order in which they are asked, and what each is held to."""

    names: tuple[str, ...]
    """The lean model, and those between it and the fallback."""
    thresholds: tuple[float, ...]
    """Of each the confidence, as it gives it, from which its answer stands; above 1: none does."""
    scope: Mapping[str, float]
    """Of each model, the fallback too, the confidence that rows in scope have."""

    @classmethod
    def of(cls, found: Cascade) -> Stages:
        """What a policy asks for; without a promise the lean model answers everything.

        Args:
            found: The policy.
        """
        chosen, stages = found.chosen, found.stages
        nobody = (0.0 if found.void else np.inf,) * len(stages)
        return cls(
            names=stages,
            thresholds=(chosen.threshold, *chosen.thresholds) if chosen else nobody,
            scope=found.scope,
        )

    def unsure(self, stage: int, confidence: np.ndarray) -> np.ndarray:
        """Positions of the rows that go on to whoever is next.

        Args:
            stage: The place in `names` of the model that was asked.
            confidence: (n,) of it, as it came: before any temperature.
        """
        # In 64 bits, as thresholds were chosen: rounded to 32 they would let other answers stand.
        return np.flatnonzero(confidence.astype(np.float64) < self.thresholds[stage])

    def strange(self, name: str, confidence: np.ndarray) -> np.ndarray:
        """(n,) whether a row looks as if it belonged to none of the classes.

        Each model has a threshold of its own, and a row is held to that of the model whose answer
        it is given. At most one of twenty rows in scope is called strange, whoever answers: a row
        that was sent on was below the threshold of the cascade before.

        Args:
            name: The model whose answer is given.
            confidence: (n,) of it, as it came.
        """
        return np.asarray(confidence.astype(np.float64) < self.scope.get(name, -np.inf))


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
        shares = (plan.max_error_over_fallback, plan.delta)
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
    lean = _lean(bundle_of(path, read_verdict_json(path)), candidate or plan.candidate)
    return _written(path, plan, lean) or policy(path, plan, lean)


def cascade_or_alone(path: Path, plan: ServePlan, data: Mapping[str, Any]) -> Cascade:
    """As `cascade`; without calibration rows the lean model alone, of which nothing is promised.

    Args:
        path: The folder of the bundle.
        plan: What is to be promised.
        data: The content of its verdict.json.

    Raises:
        BundleError: No such candidate, or none that passed.
    """
    lean = _lean(bundle_of(path, data), plan.candidate)
    if not has_calibration(path, lean):
        return alone(path, plan, lean)
    return _written(path, plan, lean) or policy(path, plan, lean)


def _written(path: Path, plan: ServePlan, lean: str) -> Cascade | None:
    """The policy that the run wrote down, if it is the one that is asked for.

    Then nothing has to be counted again, and neither scipy nor DuckDB be loaded.
    """
    found = read_policy(path)
    if found is None:
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
