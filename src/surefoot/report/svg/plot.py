"""Scales, ticks and marks of a plot; what a plot draws is its own file's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from surefoot.core.printable import printable

MARKS = ("circle", "square", "triangle", "diamond")
"""Shapes of series, so that they can be told apart without colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a value lies on an axis."""

    low: float
    """The value at the start."""
    high: float
    """The value at the end."""
    start: float
    """The position of the start."""
    end: float
    """The position of the end."""
    log: bool = False
    """Whether equal steps are equal ratios."""

    def at(self, value: float) -> float:
        """The position of a value; beyond the ends it is the end.

        Args:
            value: The value; may be infinite.
        """
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values to label: about six, or 1, 2 and 5 of each power of ten."""
        if self.log:
            tens = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            wide = self.high / self.low > 1000
            found = [k * 10.0**e for e in tens for k in ((1,) if wide else (1, 2, 5))]
            return [tick for tick in found if self.low <= tick <= self.high]
        step = _step((self.high - self.low) / 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def linear(values: Iterable[float], start: float, end: float, *, zero: bool = True) -> Scale:
    """A scale with a little room that holds all finite values, and 0 where that is asked.

    Args:
        values: What is drawn; those that are not finite do not count.
        start: The position of the start.
        end: The position of the end.
        zero: Whether 0 belongs to the axis.
    """
    known = [v for v in values if math.isfinite(v)] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = 0.06 * (high - low) or 0.5 * (abs(high) or 1.0)
    return Scale(
        low=low if zero and low == 0 else low - room,
        high=high if zero and high == 0 > low else high + room,
        start=start,
        end=end,
    )


def positive(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale of times or sizes: from 0, or logarithmic where they lie far apart.

    Args:
        values: What is drawn.
        start: The position of the start.
        end: The position of the end.
    """
    known = [v for v in values if math.isfinite(v) and v > 0]
    if known and max(known) / min(known) > 30:
        return Scale(low=min(known) / 1.3, high=max(known) * 1.3, start=start, end=end, log=True)
    return linear(known, start, end)


def number(value: float) -> str:
    """A tick's label: `0.05`, `20`, `1,000`.

    Args:
        value: The tick.
    """
    if value and abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{round(value, 9):,.10g}"


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """A text; whatever it holds is shown and not acted upon.

    Args:
        x: Its place.
        y: Its baseline.
        words: The words.
        anchor: `start`, `middle` or `end`.
        kind: A class of the page's style.
    """
    more = (f' text-anchor="{anchor}"' if anchor != "start" else "") + _class(kind)
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(printable(words))}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    """A straight line.

    Args:
        x1: Its start.
        y1: Its start.
        x2: Its end.
        y2: Its end.
        kind: A class of the page's style.
    """
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f"<line {ends}{_class(kind)}/>"


def box(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    """A rectangle that can be seen however narrow it is.

    Args:
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
        kind: A class of the page's style.
    """
    wide, high = max(width, 1.0), max(height, 1.0)
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"{_class(kind)}/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points.

    Args:
        points: Where it goes.
        kind: A class of the page's style.
    """
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{steps}"{_class(kind)}/>'


def mark(x: float, y: float, shape: str, kind: str = "") -> str:
    """A point as a shape.

    Args:
        x: Its centre.
        y: Its centre.
        shape: One of `MARKS`, or `cross`.
        kind: A class of the page's style.
    """
    r, name = 4.5, _class(f"mark {kind}".strip())
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"{name}/>'
    corners = {
        "square": f"M{x - r:.1f} {y - r:.1f}h{2 * r}v{2 * r}h{-2 * r}z",
        "triangle": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r}h{-2 * r - 2}z",
        "diamond": f"M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}z",
        "cross": f"M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}",
    }
    return f'<path d="{corners[shape]}"{name}/>'


def grid(x: Scale, y: Scale, x_name: str, y_name: str) -> str:
    """Both axes with their ticks, names and lines across.

    Args:
        x: The horizontal scale.
        y: The vertical scale; its start is the lower edge.
        x_name: What the horizontal axis is of.
        y_name: What the vertical axis is of.
    """
    parts = [across(x, x_name, y.end, y.start)]
    for tick in y.ticks():
        at = y.at(tick)
        parts.append(line(x.start, at, x.end, at, "zero" if tick == 0 else "grid"))
        parts.append(text(x.start - 6, at + 4, number(tick), anchor="end"))
    parts.append(text(4, y.end - 10, y_name, kind="axis"))
    return "".join(parts)


def across(x: Scale, name: str, top: float, bottom: float) -> str:
    """A horizontal axis with its ticks, name and lines down.

    Args:
        x: The scale.
        name: What it is of.
        top: Where its lines start.
        bottom: Where they end; labels stand below.
    """
    parts = []
    for tick in x.ticks():
        at = x.at(tick)
        parts.append(line(at, top, at, bottom, "zero" if tick == 0 else "grid"))
        parts.append(text(at, bottom + 16, number(tick), anchor="middle"))
    named = f"{name} (log scale)" if x.log else name
    parts.append(text(x.end, bottom + 34, named, anchor="end", kind="axis"))
    return "".join(parts)


def svg(width: int, height: float, parts: Iterable[str], *, title: str) -> str:
    """The whole plot; its numbers stand in a table beside it.

    Args:
        width: In the plot's own units.
        height: Likewise.
        parts: What was drawn.
        title: What it shows, for who cannot see it.
    """
    size = f'viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}"'
    name = escape(printable(title))
    return f'<svg role="img" aria-label="{name}" {size}>{"".join(parts)}</svg>'


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= rough * 0.999)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
