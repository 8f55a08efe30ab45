"""How far a model holds along an axis, and what was tried to find it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surefoot.core.estimate import Estimate

Side = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found at one value of an axis."""

    at: float
    """The value."""
    side: Side
    """Whether the limit is shown to be kept there, or to be broken."""
    value: float
    """What was measured: the drop of accuracy, the p99 in milliseconds."""
    n: int
    """Rows or calls that it took."""
    reason: str = ""
    """Why it could not be decided, where it is not for the numbers alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """How far one candidate holds along one axis."""

    axis: str
    """The axis."""
    candidate: str
    """The candidate's name, or the baseline's."""
    dataset: str
    """Where rows were taken from."""
    limit: float
    """What the axis allows: a drop, milliseconds, a share of late answers."""
    holds_to: float | None
    """The furthest value that is shown to hold; None where none is."""
    fails_at: float | None
    """The nearest value that is shown to fail; None where none is."""
    estimate: float | None
    """Where the measured values cross the limit; None where they do not."""
    hardest: float
    """Where the axis ends."""
    harder_is: Literal["more", "less"] = "more"
    """Whether a larger or a smaller value asks more of a model."""
    level: float
    """Confidence that the crossings of all axes and candidates lie between their ends."""
    asked: int
    """Rows or calls that were measured."""
    grid: int
    """Rows that measuring every value on every row would have taken; 0 where calls are timed."""
    probes: tuple[Probe, ...]
    """Every value that was tried, the easiest first."""
    ratio: Estimate | None = None
    """How far it holds over how far the baseline does; below 1 it fails first. None for the
    baseline."""
