"""The front: what candidates cost against what they lost, each as a box of two intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from surefoot.core.evidence import Outcome
from surefoot.report.svg.plot import Scale, box, grid, line, linear, mark, positive, svg, text

WIDTH, HEIGHT = 720, 400
SHAPES: dict[str, str] = {"PASS": "circle", "FAIL": "cross", "INCONCLUSIVE": "triangle"}
NAMED = 8
"""With more candidates than this their numbers in the table stand in the plot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPoint:
    """One candidate."""

    name: str
    """Its name."""
    outcome: Outcome | None
    """Its verdict; None for the baseline."""
    cost: float
    """What it costs."""
    cost_low: float
    """Lower end of its interval."""
    cost_high: float
    """Upper end; may be infinite."""
    gain: float
    """Its metric minus the baseline's."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end."""
    subject: str = ""
    """Where that is."""
    on_front: bool = False
    """Whether no other candidate costs less and lost less, as measured."""


def front_plot(points: Sequence[FrontPoint], *, cost: str, gain: str, limit: float | None) -> str:
    """Draw the front.

    Args:
        points: The baseline and the candidates.
        cost: The name of the horizontal axis.
        gain: The name of the vertical axis.
        limit: What it is held against; None where no budget limits it.
    """
    x = positive([v for p in points for v in (p.cost, p.cost_low, p.cost_high)], 62, WIDTH - 20)
    ends = [v for p in points for v in (p.gain, p.low, p.high)]
    y = linear([*ends, *([] if limit is None else [limit])], HEIGHT - 46, 30)
    parts = [grid(x, y, cost, gain)]
    if limit is not None:
        parts.append(line(x.start, y.at(limit), x.end, y.at(limit), "limit"))
        parts.append(text(x.start + 4, y.at(limit) - 4, f"limit {limit:+g}", kind="limit"))
    ahead = sorted((p for p in points if p.on_front), key=lambda p: p.cost)
    parts += [
        line(x.at(a.cost), y.at(a.gain), x.at(b.cost), y.at(b.gain), "front")
        for a, b in pairwise(ahead)
    ]
    parts += [_box(p, x, y) for p in points]
    parts += _labels(points, x, y)
    return svg(WIDTH, HEIGHT, parts, title=f"{gain} against {cost}, one box a candidate")


def _box(point: FrontPoint, x: Scale, y: Scale) -> str:
    kind = point.outcome or "base"
    left, right = x.at(point.cost_low), x.at(point.cost_high)
    top, bottom = y.at(point.high), y.at(point.low)
    shape = SHAPES.get(kind, "square")
    at = x.at(point.cost), y.at(point.gain)
    return box(left, top, right - left, bottom - top, f"box {kind}") + mark(*at, shape, kind)


def _labels(points: Sequence[FrontPoint], x: Scale, y: Scale) -> list[str]:
    """Names or numbers beside the points, moved down where they would cover each other."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    few = len(points) <= NAMED + 1
    for i, point in sorted(enumerate(points), key=lambda one: y.at(one[1].gain)):
        words = (point.name if len(point.name) < 30 else f"{point.name[:28]}…") if few else str(i)
        left, wide, at = x.at(point.cost) + 9, 7.2 * len(words), y.at(point.gain) - 6
        if left + wide > x.end:
            left -= wide + 18
        while any(abs(at - b) < 15 and left < r and left + wide > s for b, s, r in taken):
            at += 15
        taken.append((at, left, left + wide))
        parts.append(text(left, at, words, kind="name"))
    return parts
