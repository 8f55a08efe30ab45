"""The cells of a run as coloured tables: difference, interval and outcome in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.core.evidence import Outcome
from surefoot.report.places import PlaceLine, change_text, shown_change
from surefoot.report.terminal import PERCENT

SIGNS: Mapping[Outcome | None, str] = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", None: "·"}
"""Outcomes that need no colour to be told apart."""
STEPS = (0.0025, 0.01, 0.03)
"""Shares from which a difference is shaded, and shaded more."""
ROWS, CELLS = 400, 6_500
"""Rows of one candidate, and cells of all, that a page has room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One candidate in one place."""

    value: str
    """The difference."""
    ends: str
    """Its interval."""
    sign: str
    """The outcome of the budgets there."""
    shade: str
    """A class of the page's style."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """A line of the table."""

    name: str
    """The test set and slice, or the place."""
    n: str
    """Rows, where the line is of one place."""
    cells: tuple[HeatCell | None, ...]
    """One for each column; None where nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A coloured table."""

    caption: str
    """What it shows."""
    columns: tuple[str, ...]
    """Shifts, or candidates."""
    rows: tuple[HeatRow, ...]
    """Its lines."""
    left_out: str
    """What there was no room for."""


def heat_map(places: Sequence[PlaceLine], candidate: str, data: Mapping[str, Any]) -> Heat:
    """One candidate: test sets and slices down, shifts across, by the task's own metric.

    Args:
        places: All places.
        candidate: The candidate.
        data: As `verdict.json` holds it.
    """
    metric = places[0].metric
    mine = [p for p in places if p.candidate == candidate and p.metric == metric]
    cells = {(p.rows_of, p.under): p for p in mine}
    columns = tuple(dict.fromkeys(p.under for p in mine))
    names = _room(mine, lambda p: p.rows_of, ROWS)
    shade = _shades(mine, data)
    rows = [
        HeatRow(name=name, n="", cells=tuple(_cell(cells.get((name, c)), shade) for c in columns))
        for name in names
    ]
    every = len(dict.fromkeys(p.rows_of for p in mine))
    return Heat(
        caption=f"{candidate} minus baseline, {_unit(metric)}, with intervals",
        columns=columns,
        rows=tuple(rows),
        left_out=_left_out(every - len(rows)),
    )


def every_place(places: Sequence[PlaceLine], order: Sequence[str], data: Mapping[str, Any]) -> Heat:
    """All candidates: places down, candidates across, by the task's own metric.

    Args:
        places: All places.
        order: The candidates.
        data: As `verdict.json` holds it.
    """
    metric = places[0].metric
    all_ = [p for p in places if p.metric == metric]
    cells = {(p.name, p.candidate): p for p in all_}
    names = _room(all_, lambda p: p.name, max(CELLS // max(len(order), 1), 20))
    sizes = {p.name: f"{p.n:,}" for p in all_}
    shade = _shades(all_, data)
    rows = [
        HeatRow(name=m, n=sizes[m], cells=tuple(_cell(cells.get((m, c)), shade) for c in order))
        for m in names
    ]
    return Heat(
        caption=f"each candidate minus baseline, {_unit(metric)}, with intervals",
        columns=tuple(order),
        rows=tuple(rows),
        left_out=_left_out(len(sizes) - len(rows)),
    )


def other_metrics(places: Sequence[PlaceLine]) -> list[list[str]]:
    """Rows of a table: every other metric on the whole test sets, which the map does not show.

    Args:
        places: All places.
    """
    main = places[0].metric
    return [
        [p.metric, p.name, p.candidate, _level(p.baseline), _level(p.value), shown_change(p)]
        for p in places
        if p.metric != main and p.slice is None
    ]


def _level(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _unit(metric: str) -> str:
    return f"{metric} in percentage points" if metric in PERCENT else metric


def _left_out(count: int) -> str:
    if count <= 0:
        return ""
    return f"{count:,} more lines, in which less was lost, are in surefoot report --format json."


def _room(places: Iterable[PlaceLine], name: Any, most: int) -> list[str]:
    """The names in their order; where there are too many, those that may have lost most."""
    loss: dict[str, float] = {}
    for p in places:
        loss[name(p)] = max(p.may_lose, loss.get(name(p), 0.0))
    kept = set(sorted(loss, key=loss.__getitem__, reverse=True)[:most])
    return [one for one in loss if one in kept]


def _shades(places: Sequence[PlaceLine], data: Mapping[str, Any]) -> Any:
    """From a difference to a class: how far up or down, as a share or beside the furthest."""
    metric = places[0].metric
    rises = next(
        (c["higher_is_better"] for c in data["comparisons"] if c["metric"] == metric), True
    )
    known = [abs(p.delta.value) for p in places if p.delta is not None]
    top = max(known, default=0.0) or 1.0
    steps = STEPS if metric in PERCENT else tuple(top * x for x in (0.1, 0.35, 0.7))

    def shade(value: float) -> str:
        level = sum(abs(value) >= step for step in steps)
        worse = (value < 0) == rises
        return "d0" if not level else f"{'d' if worse else 'u'}{level}"

    return shade


def _cell(line: PlaceLine | None, shade: Any) -> HeatCell | None:
    if line is None:
        return None
    sign = SIGNS[line.outcome]
    if line.delta is None:
        words = shown_change(line).removesuffix(" (no interval)")
        return HeatCell(value=words, ends="no interval", sign=sign, shade="d0")
    e = line.delta
    ends = f"{change_text(e.low, line.metric)} to {change_text(e.high, line.metric)}"
    value = change_text(e.value, line.metric)
    return HeatCell(value=value, ends=ends, sign=sign, shade=shade(e.value))
