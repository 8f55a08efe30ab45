"""A number that never travels alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number that never travels alone."""

    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval; -inf where it has none."""
    high: float
    """Upper end of the interval; inf where it has none."""
    level: float
    """Two-sided confidence of the interval, for example 0.9."""
    method: str
    """How the interval was computed, for example `Tango score`."""
    n: int
    """How many examples, calls or clusters it rests on."""
