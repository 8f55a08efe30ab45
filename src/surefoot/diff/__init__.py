"""What moved between two runs or bundles: plan, data, environment, models, verdicts, answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from surefoot.bundle import (
    bundle_of,
    changes,
    read_plan_json,
    read_verdict_json,
    recorded_environment,
)
from surefoot.core.diff import USE, Diff
from surefoot.core.drift import Change
from surefoot.core.errors import BundleError
from surefoot.diff.answers import Evidence, answers_moves
from surefoot.diff.plans import plan_changes
from surefoot.diff.verdicts import budget_moves, latency_moves, timed, verdict_moves

MACHINE = ("cpu", "cpu_flags", "cpus", "system", "threads")
"""What latencies depend on beside the libraries, whose effect is what one wants to see."""


def diff_bundles(then: Path, now: Path) -> Diff:
    """Hold two bundles against each other; nothing is run.

    Args:
        then: The folder of the older one.
        now: The folder of the newer.

    Raises:
        BundleError: One of them cannot be read, or is not as surefoot writes it.
        MachineError: One does not say what it was made with.
    """
    old, new = (Evidence(folder=path, told=read_verdict_json(path)) for path in (then, now))
    before, after = (
        {v.candidate: v for v in bundle_of(e.folder, e.told).verdicts} for e in (old, new)
    )
    made = [recorded_environment(path) for path in (then, now)]
    plans = [read_plan_json(path) for path in (then, now)]
    other = [key for key in MACHINE if made[0].get(key) != made[1].get(key)]
    machine = f"another machine: {', '.join(other)}" if other else ""
    try:
        kinds = [plan.get("task", {}).get("kind") for plan in plans]
        other_task = kinds[0] != kinds[1]
        found = Diff(
            plan=(*plan_changes(*plans), *_use(before, after)),
            data=_data(old.told, new.told),
            environment=changes(*made),
            verdicts=verdict_moves(old.told, new.told, before, after),
            budgets=budget_moves(before, after, machine=machine),
            answers=() if other_task else answers_moves(old, new),
            latencies=latency_moves(old.told, new.told, machine=machine),
            incompatible=(f"the task was {kinds[0]} and is {kinds[1]}",) if other_task else (),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
        raise BundleError(
            f"one is not as surefoot writes it: {type(error).__name__}: {error}",
            where=f"{then}, {now}",
            fix="take the folders as their runs left them, or run their plans again",
        ) from error
    return _with_reasons(found, machine)


def _use(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Which use of its test sets each was: a later one is allowed less error."""
    uses = [next(iter(side.values())).use for side in (before, after)]
    told = ["not counted" if use is None else str(use.count) for use in uses]
    return [Change(what=USE, there=told[0], here=told[1])] if told[0] != told[1] else []


def _data(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Change, ...]:
    """Test sets of other rows, by their number and, where both versions kept it, fingerprint."""
    marks = [told.get("rows", {}) for told in (then, now)]
    known = marks[0].keys() & marks[1].keys()
    old, new = (_sets(told, known) for told in (then, now))
    return tuple(
        Change(what=name, there=old.get(name, "none"), here=new.get(name, "none"))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    )


def _sets(told: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    rows = {
        c["dataset"]: c["n"] for c in told["comparisons"] if c["slice"] is None and not c["shift"]
    }
    marks = {name: f" {told['rows'][name][:12]}" for name in known}
    return {name: f"{n:,} rows{marks.get(name, '')}" for name, n in rows.items()}


def _with_reasons(found: Diff, machine: str) -> Diff:
    """The same with every reason why the older evidence does not fit the newer."""
    reasons = list(found.incompatible)
    if not any(one.status != "not compared" for one in found.answers):
        reasons.append("no candidate has answers in a place of both")
    if machine and any(timed(move.now) for move in found.budgets):
        reasons.append(f"budgets on latencies cannot be compared: {machine}")
    return replace(found, incompatible=tuple(reasons))
