"""Every candidate in every place: what it differs by, and what the budgets there said."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.bundle.encode import decode_estimate
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding, Outcome, Verdict, place
from surefoot.core.parts import speaks_of
from surefoot.report.terminal import PERCENT, WORST_FIRST

LEVEL = 0.95
"""Of the intervals of places that no budget speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLine:
    """One candidate in one place, by one metric."""

    candidate: str
    """The candidate."""
    metric: str
    """The metric."""
    dataset: str
    """The test set."""
    shift: str
    """How its inputs were changed; empty where they were not."""
    severity: float
    """How far."""
    slice: str | None
    """The slice; None for all rows."""
    n: int
    """Rows."""
    lost: int
    """Answers that were right and are wrong now."""
    won: int
    """Answers that were wrong and are right now."""
    baseline: float | None
    """The baseline's metric."""
    value: float | None
    """The candidate's."""
    delta: Estimate | None
    """Candidate minus baseline; None where it cannot be told with an interval."""
    outcome: Outcome | None
    """The worst outcome of the budgets on rows of this place; None where none speaks of it."""
    higher_is_better: bool = True
    """The direction of the metric."""

    @property
    def name(self) -> str:
        """As in a verdict: `tweets + typos 3 [short]`."""
        return place(self.dataset, self.shift, self.severity, self.slice)

    @property
    def under(self) -> str:
        """The shift alone: `typos 3`, or `as it came`."""
        return f"{self.shift} {self.severity:g}" if self.shift else "as it came"

    @property
    def rows_of(self) -> str:
        """The test set and slice alone."""
        return place(self.dataset, "", 0.0, self.slice)

    @property
    def may_lose(self) -> float:
        """How much worse it may be: the end of its interval on that side, 0 if it has none."""
        if self.delta is None:
            return 0.0
        return -self.delta.low if self.higher_is_better else self.delta.high


def place_lines(
    data: Mapping[str, Any], verdicts: Sequence[Verdict], plan: Mapping[str, Any]
) -> tuple[PlaceLine, ...]:
    """All places of all candidates, in the order of the bundle.

    Where a budget limits the drop of the metric the interval is the verdict's own; elsewhere it is
    one of 95 % on its own. A bundle without `differences` is of an older surefoot: what its
    counts tell is told, which rows in groups do not.

    Args:
        data: As `verdict.json` holds it.
        verdicts: All of them.
        plan: As `plan.json` holds it.
    """
    judged = _judged(verdicts)
    comparisons = data["comparisons"]
    known = data.get("differences") or list(_counted(comparisons, plan))
    lines = []
    for one, own in zip(comparisons, known, strict=True):
        findings = judged.get(_key(one), [])
        drop = next((f.estimate for f in findings if f.budget.max_drop is not None), None)
        keys = ("candidate", "metric", "dataset", "shift", "severity", "slice")
        lines.append(
            PlaceLine(
                **{key: one[key] for key in (*keys, "n", "lost", "won", "baseline", "value")},
                delta=drop or _estimate(own),
                higher_is_better=one["higher_is_better"],
                outcome=min((f.outcome for f in findings), key=WORST_FIRST.get, default=None),  # type: ignore[arg-type]
            )
        )
    return tuple(lines)


def shown_change(line: PlaceLine, *, ends: bool = True) -> str:
    """A difference in percentage points, or as it is: `-3.1 [-4.8, -1.5]`.

    Args:
        line: The place.
        ends: Whether to show the interval.
    """
    if line.delta is None:
        if line.value is None or line.baseline is None:
            return "not computed"
        return f"{change_text(line.value - line.baseline, line.metric)} (no interval)"
    e = line.delta
    value, low, high = (change_text(v, line.metric) for v in (e.value, e.low, e.high))
    return f"{value} [{low}, {high}]" if ends else value


def change_text(value: float, metric: str) -> str:
    """A difference of a metric, in percentage points where it is a share.

    Args:
        value: The difference.
        metric: The metric.
    """
    if math.isinf(value):
        return "none"
    if metric not in PERCENT:
        return f"{value + 0.0:+.3g}"
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def _judged(verdicts: Sequence[Verdict]) -> dict[tuple[Any, ...], list[Finding]]:
    """Findings on rows by place; the one that limits the drop of the metric itself first."""
    found: dict[tuple[Any, ...], list[Finding]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            p = finding.paired
            if p is not None:
                key = (p.candidate, p.metric, p.dataset, p.shift, p.severity, p.slice)
                found.setdefault(key, []).append(finding)
    return found


def _key(one: Mapping[str, Any]) -> tuple[Any, ...]:
    keys = ("candidate", "metric", "dataset", "shift", "severity", "slice")
    return tuple(one[key] for key in keys)


def _estimate(own: Mapping[str, Any] | None) -> Estimate | None:
    return None if own is None or own["value"] is None else decode_estimate(own)


def _counted(
    comparisons: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]
) -> Iterator[dict[str, Any] | None]:
    """Intervals of shares from the counts alone (Tango 1998), where rows are independent."""
    tests = plan.get("task", {}).get("test", {})
    grouped = [name for name, call in tests.items() if call.get("group")]
    sets = {one["dataset"] for one in comparisons}
    in_groups = {name for name in sets if any(speaks_of(source, name) for source in grouped)}
    lost, won, rows = (np.array([one[k] for one in comparisons]) for k in ("lost", "won", "n"))
    found = stats.paired_proportions(lost, won, rows, level=LEVEL)
    for one, value, low, high in zip(comparisons, found.value, found.low, found.high, strict=True):
        if one["metric"] != "accuracy" or one["dataset"] in in_groups or one["seeds"]:
            yield None
            continue
        ends = {"value": float(value), "low": float(low), "high": float(high)}
        yield {**ends, "level": LEVEL, "method": "Tango score", "n": one["n"]}
