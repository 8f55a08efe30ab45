"""Curves along an axis of hardship, with the bracket in which each leaves its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.report.svg.plot import (
    MARKS,
    Scale,
    box,
    grid,
    line,
    linear,
    mark,
    path,
    positive,
    svg,
    text,
)

WIDTH, TOP, BOTTOM, LANE, KEY = 720, 30, 280, 18, 170
SERIES = 6
"""Curves that can be told apart in one plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One candidate along one axis."""

    name: str
    """Its name."""
    points: tuple[tuple[float, float, float, float], ...]
    """Where on the axis, what was measured, and both ends of its interval (the value itself
    where the bracket tells)."""
    bracket: tuple[float, float] | None = None
    """Between which values it leaves the limit; an end that is infinite is not known."""


def curve_plot(
    curves: Sequence[Curve], *, x_name: str, y_name: str, limit: float | None, log: bool = False
) -> str:
    """Draw curves, and below them their brackets.

    Args:
        curves: At most `SERIES` of them.
        x_name: The name of the axis.
        y_name: What was measured.
        limit: What it is held against; None where nothing is.
        log: Whether the axis is one of ratios.
    """
    ats = [p[0] for c in curves for p in c.points]
    x = (positive if log else linear)(ats, 62, WIDTH - KEY)
    values = [v for c in curves for p in c.points for v in p[1:]]
    y = linear([*values, *([] if limit is None else [limit])], BOTTOM, TOP)
    parts = [grid(x, y, x_name, y_name)]
    if limit is not None:
        parts.append(line(x.start, y.at(limit), x.end, y.at(limit), "limit"))
        parts.append(text(x.end, y.at(limit) - 4, f"limit {limit:g}", anchor="end", kind="limit"))
    for i, curve in enumerate(curves):
        parts.append(_series(curve, i, x, y))
    brackets = [(i, c.bracket) for i, c in enumerate(curves) if c.bracket is not None]
    lane = BOTTOM + 50
    for i, bracket in brackets:
        parts.append(_bracket(bracket, i, x, lane))
        lane += LANE
    return svg(WIDTH, lane if brackets else BOTTOM + 42, parts, title=f"{y_name} by {x_name}")


def _series(curve: Curve, i: int, x: Scale, y: Scale) -> str:
    shape, kind = MARKS[i % len(MARKS)], f"s{i}"
    aside = 3 * i if any(low != high for _, _, low, high in curve.points) else 0
    points = [(x.at(at) + aside, y.at(value)) for at, value, _, _ in curve.points]
    parts = [path(points, f"curve {kind}")]
    for at, _, low, high in curve.points:
        if low != high:
            # Aside, so that intervals at one value do not cover each other.
            parts.append(
                line(x.at(at) + aside, y.at(low), x.at(at) + aside, y.at(high), f"whisker {kind}")
            )
    parts += [mark(*point, shape, kind) for point in points]
    key = WIDTH - KEY + 18, TOP + 8 + 20 * i
    name = curve.name if len(curve.name) < 21 else f"{curve.name[:19]}…"
    parts += [mark(key[0], key[1] - 4, shape, kind), text(key[0] + 12, key[1], name)]
    return "".join(parts)


def _bracket(bracket: tuple[float, float], i: int, x: Scale, lane: float) -> str:
    """The range in which the crossing lies, from what holds to what fails."""
    low, high = sorted(bracket)
    left, right = x.at(low), x.at(high)
    held = line(x.start, lane, left, lane, f"held s{i}")
    range_ = box(left, lane - 5, right - left, 10, f"bracket s{i}")
    return held + range_ + mark(x.start - 10, lane, MARKS[i % len(MARKS)], f"s{i}")
