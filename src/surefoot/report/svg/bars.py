"""Differences as bars from 0 with their intervals, and one interval beside its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.report.svg.plot import across, box, line, linear, mark, svg, text

WIDTH, ROW, LEFT = 720, 24, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One difference."""

    name: str
    """What was changed."""
    value: float
    """The difference."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""


def bars_plot(bars: Sequence[Bar], *, name: str, title: str) -> str:
    """Draw bars from 0, each with the interval of its end.

    Args:
        bars: In order.
        name: What they are of.
        title: What it shows.
    """
    x = linear([v for b in bars for v in (b.value, b.low, b.high)], LEFT, WIDTH - 20)
    bottom = 12 + ROW * len(bars)
    parts = [across(x, name, 6, bottom)]
    for i, bar in enumerate(bars):
        y, zero, end = 12 + ROW * i + ROW / 2, x.at(0), x.at(bar.value)
        words = bar.name if len(bar.name) < 42 else f"{bar.name[:40]}…"
        parts.append(text(LEFT - 10, y + 4, words, anchor="end"))
        parts.append(box(min(zero, end), y - 6, abs(end - zero), 12, "bulk"))
        parts.append(line(x.at(bar.low), y, x.at(bar.high), y, "whisker"))
        parts.append(mark(end, y, "circle", "s1"))
    return svg(WIDTH, bottom + 42, parts, title=title)


def interval_glyph(value: float, low: float, high: float, limit: float, outcome: str) -> str:
    """An interval beside its limit, as small as a word; the numbers stand beside it.

    Args:
        value: What was measured.
        low: Lower end of its interval.
        high: Upper end.
        limit: What it is held against.
        outcome: The finding's.
    """
    known = [v for v in (value, low, high, limit) if math.isfinite(v)]
    x = linear(known, 3, 117, zero=False)
    at = f"{x.at(limit):.0f}"
    ends = f"M{x.at(low):.0f} 8H{x.at(high):.0f}"
    dot = f'<circle cx="{x.at(value):.0f}" cy="8" r="3.5"/>' if math.isfinite(value) else ""
    return (
        f'<svg class="glyph {outcome}" aria-hidden="true" viewBox="0 0 120 16">'
        f'<path class="limit" d="M{at} 1V15"/><path d="{ends}"/>{dot}</svg>'
    )
