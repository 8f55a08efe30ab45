"""Everything that a report says, from a bundle only; each form of it shows the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from surefoot.bundle import bundle_of, read_environment, read_plan_json, read_verdict_json
from surefoot.bundle.encode import decode_estimate
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding, Outcome, Verdict
from surefoot.core.printable import printable
from surefoot.gate import best
from surefoot.report.bundle import remark_lines
from surefoot.report.envelope import fails_first
from surefoot.report.gallery import NOT_READ, Gallery, gallery
from surefoot.report.places import PlaceLine, place_lines
from surefoot.report.reproduce import reproduce_lines
from surefoot.report.slices import worst_line
from surefoot.report.svg.front import FrontPoint
from surefoot.report.tables import Table
from surefoot.report.terminal import (
    PERCENT,
    WORST_FIRST,
    amount,
    changes,
    decided,
    deciding,
    finding_text,
    limit,
    remark,
    verdict_line,
)
from surefoot.report.timings import Timing, timings
from surefoot.report.untested import Gap, gaps
from surefoot.report.waivers import waived_line, waived_of, waiver_table

WHY = 5
"""Findings that are given as reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One budget in one place of one candidate."""

    subject: str
    """What was judged, for example `accuracy on tweets [short]`."""
    outcome: Outcome
    """PASS, FAIL or INCONCLUSIVE."""
    measured: str
    """The estimate with its interval and unit."""
    limit: str
    """What it is held against, in words."""
    changed: str
    """Answers lost and won, where rows were asked."""
    note: str
    """What would decide it, or why it failed."""
    estimate: Estimate
    """The numbers."""
    held_against: float
    """The limit, in the estimate's unit and direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One candidate."""

    name: str
    """Its name."""
    outcome: Outcome | None
    """Its verdict; None for the baseline."""
    decided: str
    """What kept it from a PASS; empty where nothing did."""
    line: str
    """Its verdict in one line; empty for the baseline."""
    runtime: str
    """What runs it."""
    size_mb: float
    """What has to be shipped."""
    p50_ms: Estimate | None
    """Median latency at the smallest batch; None where none was measured."""
    recipe: str
    """Its steps in words."""
    budgets: tuple[BudgetLine, ...]
    """Every budget in every place, in the order of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What candidates cost against what they lost."""

    cost: str
    """What the cost is."""
    gain: str
    """What the gain is: of a metric, below 0 where it was lost."""
    limit: float | None
    """What the gain is held against, in its unit; None where nothing is."""
    points: tuple[FrontPoint, ...]
    """The baseline first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A report."""

    task: str
    """The task's name in the plan."""
    kind: str
    """Its kind."""
    key: str
    """The hash of everything that went into the run."""
    candidate: str
    """The candidate that the verdict is about: the best one."""
    baseline: str
    """What it is compared with."""
    outcome: Outcome
    """The verdict."""
    line: str
    """The verdict in one line; who signed for it, where somebody did."""
    waivers: Table
    """Who answers for what was not shown to hold, and whether it counts; no row where nobody."""
    reasons: tuple[str, ...]
    """Why, what weighs most first."""
    doubts: tuple[str, ...]
    """Why the baseline may be broken; empty where nothing says so."""
    standings: tuple[Standing, ...]
    """The baseline, then the candidates, the leanest first."""
    places: tuple[PlaceLine, ...]
    """Every candidate in every place."""
    front: Front
    """What candidates cost against what they lost."""
    timings: tuple[Timing, ...]
    """Latencies, call by call and under load."""
    gallery: Gallery
    """The answers that changed most."""
    gaps: tuple[Gap, ...]
    """What was not tested."""
    remarks: tuple[str, ...]
    """What to know of the measurements."""
    environment: Mapping[str, Any]
    """What it was made with."""
    reproduce: tuple[str, ...]
    """How to do it again."""
    data: Mapping[str, Any]
    """All of verdict.json, for tables."""


def read_content(folder: Path, *, shown: Path | None = None, drawn: bool = True) -> Content:
    """Everything that a report of a bundle says.

    Args:
        folder: The bundle's.
        shown: What the user called it, for commands; the folder by default.
        drawn: Whether cells and calls are read, for the forms that show more of them than
            verdict.json tells.

    Raises:
        BundleError: There is no bundle that can be read.
    """
    data = read_verdict_json(folder)
    bundle = bundle_of(folder, data)
    plan, made = read_plan_json(folder), read_environment(folder)
    first = best(bundle.verdicts, data["costs"])
    waived = waived_of(data, bundle.verdicts, folder)
    verdicts = sorted(bundle.verdicts, key=lambda v: data["costs"].get(v.candidate, math.inf))
    places = place_lines(data, bundle.verdicts, plan)
    standings = (_baseline(data), *(_standing(v, data) for v in verdicts))
    task = plan.get("task", {})
    return Content(
        task=str(task.get("name", "task")),
        kind=str(task.get("kind", "")),
        key=bundle.key,
        candidate=first.candidate,
        baseline=data["candidates"][0]["name"],
        outcome=first.outcome,
        line=verdict_line(first) + waived_line(first, waived),
        waivers=waiver_table(waived),
        reasons=tuple(_reasons(first, data)),
        doubts=tuple(data.get("doubts", ())),
        standings=standings,
        places=places,
        front=_front(standings, places, verdicts),
        timings=timings(folder, data, [first], [s.name for s in standings]) if drawn else (),
        gallery=gallery(folder, data, places, first.candidate) if drawn else NOT_READ,
        gaps=gaps(data, bundle.verdicts, plan),
        remarks=tuple(remark_lines(bundle, data)),
        environment=made,
        reproduce=reproduce_lines(made, shown or folder),
        data=data,
    )


def _reasons(verdict: Verdict, data: Mapping[str, Any]) -> Iterator[str]:
    """The findings that decided it, then what fails first and where most was lost."""
    open_ = [f for f in verdict.findings if f.outcome == verdict.outcome]
    if verdict.outcome == "PASS":
        yield f"every budget was shown to hold; the closest: {finding_text(deciding(verdict))}"
    else:
        order = sorted(open_, key=lambda f: f.p_fail if f.outcome == "FAIL" else -f.p_pass)
        yield from (finding_text(finding) for finding in order[:WHY])
        if len(order) > WHY:
            yield f"and {len(order) - WHY:,} more, in the table of budgets"
    yield from fails_first(data.get("envelopes", ()))
    yield from worst_line(data.get("worst", ()), verdict.candidate)


def _baseline(data: Mapping[str, Any]) -> Standing:
    entry = data["candidates"][0]
    return Standing(
        name=entry["name"],
        outcome=None,
        decided="",
        line="",
        runtime=entry["runtime"],
        size_mb=entry["size_bytes"] / 1e6,
        p50_ms=_p50(entry["name"], data),
        recipe="the model as it is",
        budgets=(),
    )


def _standing(verdict: Verdict, data: Mapping[str, Any]) -> Standing:
    entry = next(c for c in data["candidates"] if c["name"] == verdict.candidate)
    return Standing(
        name=verdict.candidate,
        outcome=verdict.outcome,
        decided=decided(verdict),
        line=verdict_line(verdict),
        runtime=entry["runtime"],
        size_mb=entry["size_bytes"] / 1e6,
        p50_ms=_p50(verdict.candidate, data),
        recipe=" → ".join(_step(*step) for step in entry["steps"]) or "no step",
        budgets=tuple(map(budget_line, verdict.findings)),
    )


def budget_line(finding: Finding) -> BudgetLine:
    """A finding in words, with its numbers.

    Args:
        finding: The finding.
    """
    return BudgetLine(
        subject=finding.subject,
        outcome=finding.outcome,
        measured=amount(finding),
        limit=limit(finding),
        changed=changes(finding),
        note=remark(finding),
        estimate=finding.estimate,
        held_against=finding.limit,
    )


def worst_first(lines: Sequence[BudgetLine]) -> list[BudgetLine]:
    """Budgets, those that failed first; of an outcome in the order of the plan.

    Args:
        lines: Those of one candidate.
    """
    return sorted(lines, key=lambda one: WORST_FIRST[one.outcome])


def _step(name: str, options: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key}={value}" for key, value in options.items())
    return f"{name}({said})" if said else name


def _p50(name: str, data: Mapping[str, Any]) -> Estimate | None:
    entries = [e for e in data["latencies"] if e["candidate"] == name]
    if not entries:
        return None
    found = min(entries, key=lambda e: e["batch"])["p50_ms"]
    estimate = decode_estimate(found)
    if math.isinf(estimate.value):
        return None
    return replace(estimate, low=max(estimate.low, 0.0))


def _front(
    standings: Sequence[Standing], places: Sequence[PlaceLine], verdicts: Sequence[Verdict]
) -> Front:
    """Candidates where their budgets on the drop of a metric are most in doubt."""
    timed = all(s.p50_ms is not None for s in standings)
    drops = {v.candidate: d for v in verdicts if (d := _doubtful(v)) is not None}
    metric = places[0].metric if places else ""
    limits = {d.limit for d in drops.values()}
    held = len(drops) == len(verdicts) and len({d.budget.quantity for d in drops.values()}) == 1
    first = {p.candidate: p for p in reversed(places) if p.metric == metric}
    points = [_point(standings[0], None, "", timed=timed)]
    for standing in standings[1:]:
        if held:
            found = drops[standing.name]
            points.append(_point(standing, found.estimate, found.subject, timed=timed))
        elif standing.name in first and first[standing.name].delta is not None:
            line = first[standing.name]
            points.append(_point(standing, line.delta, f"{metric} on {line.name}", timed=timed))
    quantity = next(iter(drops.values())).budget.quantity if held and drops else metric
    where = "where its budget is most in doubt" if held else "on the first test set"
    scale, unit = (100, ", pp") if quantity in PERCENT else (1, "")
    rises = next((p.higher_is_better for p in places if p.metric == quantity), True)
    return Front(
        cost="median milliseconds a call" if timed else "MB",
        gain=f"{quantity}, candidate minus baseline{unit}, {where}",
        limit=scale * limits.pop() if held and len(limits) == 1 else None,
        points=tuple(_scaled(p, scale) for p in _marked(points, rises=rises)),
    )


def _doubtful(verdict: Verdict) -> Finding | None:
    """Of the budgets on a drop, the finding that comes nearest to not passing."""
    drops = [f for f in verdict.findings if f.budget.max_drop is not None]
    main = [f for f in drops if f.budget.quantity == drops[0].budget.quantity]
    return max(main, key=lambda f: (f.p_pass, -f.p_fail), default=None)


def _point(standing: Standing, change: Estimate | None, subject: str, *, timed: bool) -> FrontPoint:
    p50 = standing.p50_ms
    size = standing.size_mb
    cost = (p50.value, p50.low, p50.high) if timed and p50 else (size, size, size)
    ends = (0.0, 0.0, 0.0) if change is None else (change.value, change.low, change.high)
    return FrontPoint(
        name=standing.name,
        outcome=standing.outcome,
        cost=cost[0],
        cost_low=cost[1],
        cost_high=cost[2],
        gain=ends[0],
        low=ends[1],
        high=ends[2],
        subject=subject,
    )


def _scaled(point: FrontPoint, scale: float) -> FrontPoint:
    ends = {key: scale * getattr(point, key) for key in ("gain", "low", "high")}
    return replace(point, **ends)


def _marked(points: Sequence[FrontPoint], *, rises: bool) -> Iterator[FrontPoint]:
    """Points, with those that no other one beats in both measured numbers marked."""
    sign = 1 if rises else -1
    for p in points:
        beaten = any(
            q.cost <= p.cost
            and sign * (q.gain - p.gain) >= 0
            and (q.cost, q.gain) != (p.cost, p.gain)
            for q in points
        )
        yield replace(p, on_front=not beaten)


def title(content: Content) -> str:
    """The report's name: outcome, candidate, task.

    Args:
        content: The report.
    """
    return printable(f"{content.outcome}: {content.candidate}, {content.task}")
