"""Where something stops holding along an axis: halving between what holds and what fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from surefoot.core.envelope import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """Two points that a crossing lies between, by their positions."""

    holds_to: int | None
    """The furthest point that is shown to hold; None where none is."""
    fails_at: int | None
    """The nearest point that is shown to fail; None where none is."""


def bracket(decide: Callable[[int], Side], last: int) -> Bracket:
    """Find where points stop holding, if none holds again after one that fails.

    Both ends first, then halving, twice: for the furthest point that is shown to hold, and for the
    nearest that is shown to fail. Where every point is decided both take the same steps; from one
    that is not, one goes back and the other on.

    A point can be shown to hold falsely only beyond the crossing, and to fail falsely only before
    it. Until the first such error, the points where one could occur lie on the one path that leads
    to the crossing: whoever takes the wrong turn at an undecided point never again meets a point
    where its own claim would be false. So the crossing lies outside with probability
    `probes_needed(last)` times that of an error at one point, at most, however the points depend on
    each other.

    Args:
        decide: What is shown at a point; asked once for each, the easiest is 0.
        last: The hardest point, at least 1.
    """
    known: dict[int, Side] = {}

    def at(point: int) -> Side:
        if point not in known:
            known[point] = decide(point)
        return known[point]

    if at(0) != "holds":
        # Where the easiest point does not hold, none does; that one alone can still fail.
        fails = 0 if at(0) == "fails" else _halved(lambda p: at(p) == "fails", last)
        return Bracket(holds_to=None, fails_at=fails)
    if at(last) == "holds":
        return Bracket(holds_to=last, fails_at=None)
    fails_at = _halved(lambda p: at(p) == "fails", last)
    left = _halved(lambda p: at(p) != "holds", last) or last
    return Bracket(holds_to=left - 1, fails_at=fails_at)


def probes_needed(last: int) -> int:
    """How many points lie on the path to a crossing, both ends included.

    Args:
        last: The hardest point, at least 1; the easiest is 0.
    """
    return 2 + (last - 1).bit_length()


def _halved(beyond: Callable[[int], bool], last: int) -> int | None:
    """The first point beyond, if 0 is not; None where the last one is not either."""
    if not beyond(last):
        return None
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high
