"""How latencies are spread: one line a candidate, with the budget's line through all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from surefoot.report.svg.plot import Scale, across, box, line, mark, positive, svg, text

WIDTH, ROW, LEFT = 720, 26, 170


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The latencies of one candidate in milliseconds."""

    name: str
    """Its name."""
    n: int
    """Calls or requests."""
    p50: tuple[float, float, float]
    """The median and its interval; an end that is infinite has none."""
    p99: tuple[float, float, float]
    """The 99th percentile likewise."""
    quantiles: Mapping[float, float] = field(default_factory=dict)
    """Share of calls to milliseconds; empty where the calls themselves are not at hand."""


def spread_plot(spreads: Sequence[Spread], limits: Mapping[str, float], *, title: str) -> str:
    """Draw the latencies of all candidates.

    Args:
        spreads: The candidates, in order.
        limits: What budgets allow, by the name of the quantity, in milliseconds.
        title: What it shows.
    """
    values = [v for s in spreads for v in (*s.p50, *s.p99, *s.quantiles.values())]
    x = positive([*values, *limits.values()], LEFT, WIDTH - 20)
    bottom = 26 + ROW * len(spreads)
    parts = [across(x, "milliseconds", 20, bottom)]
    for i, spread in enumerate(spreads):
        parts.append(_row(spread, x, 26 + ROW * i + ROW / 2))
    for name, limit in limits.items():
        parts.append(line(x.at(limit), 16, x.at(limit), bottom, "limit"))
        side = "end" if x.at(limit) > WIDTH / 2 else "start"
        words = f"{name} at most {limit:g} ms"
        parts.append(text(x.at(limit), 12, words, anchor=side, kind="limit"))
    return svg(WIDTH, bottom + 42, parts, title=title)


def _row(spread: Spread, x: Scale, y: float) -> str:
    name = spread.name if len(spread.name) < 24 else f"{spread.name[:22]}…"
    parts = [text(LEFT - 10, y + 4, name, anchor="end")]
    q = spread.quantiles
    if q:
        parts.append(line(x.at(q[0.05]), y, x.at(q[0.95]), y, "thin"))
        parts.append(box(x.at(q[0.25]), y - 5, x.at(q[0.75]) - x.at(q[0.25]), 10, "bulk"))
    value, low, high = spread.p99
    parts.append(line(x.at(low), y, x.at(high), y, "whisker"))
    parts.append(line(x.at(value), y - 8, x.at(value), y + 8, "tail"))
    parts.append(mark(x.at(spread.p50[0]), y, "circle", "s1"))
    return "".join(parts)
