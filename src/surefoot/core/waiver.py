"""A budget that may be left unproven for a while, and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from surefoot.core.evidence import Outcome

Limit = Literal["at_most", "at_least", "max_drop"]
State = Literal["counts", "expired", "not needed", "exceeded", "misdated"]
LONGEST_DAYS = 90
"""What has to be waived for longer than a quarter is another budget: it belongs in the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """What was signed: one budget of one candidate, as it was measured then."""

    budget: str
    """What was judged, as a report calls it: `accuracy on tweets [short]`."""
    limit: Limit
    """The kind of its limit: a quantity may have one of each."""
    candidate: str
    """The candidate's name."""
    outcome: Outcome
    """FAIL or INCONCLUSIVE: what it was when it was signed."""
    measured: str
    """What was measured then, with its interval and the limit, in words."""
    worst: float | None = None
    """The bad end of that interval, beyond which nothing was signed; None where it had none."""
    until: date
    """The last day on which it counts, in UTC."""
    by: str
    """Who signed it."""
    made: date
    """The day on which it was signed, in UTC."""
    reason: str
    """Why it may be so for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A waiver, and whether it counts."""

    waiver: Waiver
    """The waiver."""
    state: State
    """`counts`, or why it does not."""
    note: str = ""
    """The same in a sentence, where it does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """All waivers of a bundle, held against its verdicts and a day."""

    day: date
    """The day they were held against."""
    standings: tuple[Standing, ...] = ()
    """One a waiver, in the order of the file."""
    note: str = ""
    """What is odd about the dates; empty where nothing is."""
