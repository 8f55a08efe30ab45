"""What is promised of a lean model that a bigger one stands behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from surefoot.core.estimate import Estimate

ENDPOINT = "fallback"
"""What an endpoint is called where a model would have its name: routes, files of answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """What a cascade would do with one threshold, as calibration rows tell it."""

    threshold: float
    """The confidence from which the lean model's answer stands; 0 where each one does."""
    share: Estimate
    """The share of requests that the lean model answers."""
    lost: Estimate
    """The share of requests, of all, that it answers wrong and the fallback would not have."""
    accuracy: float
    """The share of right answers of the cascade; of abstentions none is right."""
    shown: bool
    """Whether `lost` is shown to be no larger than promised, here and at every stricter one."""
    between: tuple[float, ...] = ()
    """The shares of requests that the models between the lean one and the fallback answer."""
    thresholds: tuple[float, ...] = ()
    """The confidence from which the answer of each of these stands."""

    @property
    def answered(self) -> float:
        """The share of requests that never reach the fallback."""
        return self.share.value + sum(self.between)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """A lean model in front of a fallback, and the threshold between them."""

    lean: str
    """The candidate's name."""
    fallback: str
    """`baseline`, `abstain`, or `fallback`, which is an endpoint."""
    max_error: float
    """The most that `lost` may be: alpha."""
    delta: float
    """How often such a promise may be broken."""
    slices: tuple[str, ...]
    """Slices that it is promised for as well."""
    rows: int
    """Calibration rows; of a slice that is promised, the fewest."""
    needed: int
    """The fewest rows that could promise anything, without one loss."""
    chosen: Tradeoff | None
    """The laxest threshold that may be deployed; None where everything goes to the fallback."""
    curve: tuple[Tradeoff, ...]
    """From the strictest threshold to the laxest, about a tenth of the requests apart."""
    fallback_accuracy: float
    """The share of right answers of the fallback alone; 0 for `abstain`."""
    lean_ms: float | None
    """Median CPU milliseconds of the lean model at the smallest batch; None if not measured."""
    fallback_ms: float | None
    """The same of the fallback; None for `abstain`."""
    fallback_slow_ms: float | None = None
    """Milliseconds on the clock that 95 of 100 of the fallback's calls stayed below."""
    void: str = ""
    """Why nothing is promised, whatever the threshold; the lean model then answers everything."""
    between: tuple[str, ...] = ()
    """Models that are asked in turn after the lean one, before the fallback is."""
    between_ms: tuple[float | None, ...] = ()
    """What `lean_ms` is of the lean model, of each of these."""
    planned: int = 0
    """Calibration rows beside `rows` that say how the thresholds of several models go together."""
    endpoint: str = ""
    """The address of the fallback, where that is none of the bundle's models."""
    endpoint_cost: float | None = None
    """What a request to it costs, in money."""
    scope: Mapping[str, float] = field(default_factory=dict)
    """Of each model the confidence that 95 % of rows in scope have, where the rows tell one."""
    grouped: bool = False
    """Whether one row of each group counts: it is then promised of a row of a new group."""

    @property
    def stages(self) -> tuple[str, ...]:
        """Who is asked in turn before the fallback is, the lean model first."""
        return (self.lean, *self.between)

    def cost(self, share: float, between: Sequence[float] = ()) -> float | None:
        """CPU milliseconds of a request in the mean, on this machine.

        Args:
            share: What the lean model answers, of all requests.
            between: What each model between it and the fallback answers.
        """
        asked = (self.lean_ms, *self.between_ms)
        if any(ms is None for ms in asked):
            return None
        total, left = 0.0, 1.0
        for ms, answered in zip(asked, (share, *between), strict=True):
            total += left * (ms or 0.0)
            left -= answered
        return total + left * (self.fallback_ms or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Decisions of a log that are alike."""

    model: str
    """The fingerprint of the lean model."""
    route: str
    """The model that answered, or `abstain`."""
    promise: str
    """`held`, or `void: ` and why."""
    n: int
    """How many."""
    accuracy: Estimate | None
    """The share of right ones of those whose label came; None where none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision log holds."""

    answers: tuple[Tally, ...]
    """By model, route and promise."""
    dropped: int
    """Decisions that are missing: there was no room for them, or a process was killed."""
    labels: int
    """Labels that came."""
    unknown: int
    """Of those, labels of decisions that the log does not hold."""
    corrected: int
    """Of those, labels that a later one of the same decision replaces."""
    first: float | None
    """Seconds since 1970 of the first decision; None where there is none."""
    last: float | None
    """Of the last one."""
