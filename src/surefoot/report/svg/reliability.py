"""The reliability diagram, and the curve of accuracy by how many answers are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surefoot.report.svg.plot import MARKS, Scale, grid, line, linear, mark, path, svg, text

SIZE, LEFT, TOP, BOTTOM = 352, 48, 30, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """What the confidence of one model is worth in one place."""

    name: str
    """Its name."""
    bins: tuple[tuple[float, float, float, float, int], ...]
    """Mean confidence, share right, both ends of the bar of what is consistent, and rows."""
    curve: tuple[tuple[float, float, float, float], ...]
    """Share answered, share right of them, both ends of its interval."""


def reliability_plot(shown: Sequence[Confidence], title: str) -> str:
    """How often it is right by how sure it is; on the diagonal confidence is true.

    Args:
        shown: The baseline and a candidate.
        title: Where.
    """
    x = Scale(low=0, high=1, start=LEFT, end=SIZE - 12)
    y = Scale(low=0, high=1, start=BOTTOM, end=TOP)
    parts = [grid(x, y, "confidence", "share right")]
    parts.append(line(x.at(0), y.at(0), x.at(1), y.at(1), "limit"))
    for i, one in enumerate(shown):
        for confidence, _, low, high, _ in one.bins:
            at = x.at(confidence) + 2 * i
            parts.append(line(at, y.at(low), at, y.at(high), f"bar s{i}"))
        points = [(x.at(b[0]), y.at(b[1])) for b in one.bins]
        parts += [path(points, f"curve s{i}"), *(mark(*p, MARKS[i], f"s{i}") for p in points)]
        parts.append(_key(one.name, i, LEFT + 14, TOP + 14 + 18 * i))
    return svg(SIZE, BOTTOM + 42, parts, title=f"reliability diagram, {title}")


def coverage_plot(shown: Sequence[Confidence], title: str) -> str:
    """How often it is right if it abstains from the answers that it is least sure of.

    Args:
        shown: The baseline and a candidate.
        title: Where.
    """
    x = Scale(low=0, high=1, start=LEFT, end=SIZE - 12)
    ends = [v for one in shown for point in one.curve for v in point[1:]]
    y = linear(ends, BOTTOM, TOP, zero=False)
    y = Scale(low=max(y.low, 0), high=min(y.high, 1), start=BOTTOM, end=TOP)
    parts = [grid(x, y, "share answered", "share right of those")]
    for i, one in enumerate(shown):
        for at, _, low, high in one.curve:
            parts.append(
                line(x.at(at) + 2 * i, y.at(low), x.at(at) + 2 * i, y.at(high), f"bar s{i}")
            )
        points = [(x.at(p[0]), y.at(p[1])) for p in one.curve]
        parts += [path(points, f"curve s{i}"), *(mark(*p, MARKS[i], f"s{i}") for p in points)]
        parts.append(_key(one.name, i, LEFT + 14, BOTTOM - 30 + 18 * i))
    return svg(SIZE, BOTTOM + 42, parts, title=f"risk-coverage curve, {title}")


def _key(name: str, i: int, x: float, y: float) -> str:
    short = name if len(name) < 26 else f"{name[:24]}…"
    return mark(x, y - 4, MARKS[i], f"s{i}") + text(x + 12, y, short)
