"""What moved between two versions: two runs of the same or of another plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surefoot.core.drift import Change
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding, Outcome

USE = "use of the test sets"
"""What the count of looks at the test sets is called among the changes."""
Move = Literal["same", "better", "worse", "moved", "undecided", "open", "not compared"]
"""`worse` and `better` are shown; `moved` is neither; `undecided` may be worse than is allowed;
`open`, of latencies, is neither shown to be the same nor to be another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersMove:
    """The answers of one candidate in one place, then and now."""

    candidate: str
    """The candidate's name."""
    place: str
    """The test set, with its shift and slice."""
    metric: str
    """What was compared."""
    status: Move
    """What is shown."""
    paired: bool = True
    """Whether row was compared with row."""
    rows: int = 0
    """Rows compared: those of both; without pairs, those of now."""
    lost: int = 0
    """Right then, wrong now."""
    won: int = 0
    """Wrong then, right now."""
    other: int = 0
    """Wrong both times, with different answers."""
    then: float = float("nan")
    """The metric then, on the rows compared."""
    now: float = float("nan")
    """The metric now."""
    difference: Estimate | None = None
    """Now minus then; None where nothing could be compared."""
    p: float = 1.0
    """p-value of "neither is better", adjusted for all places together (Holm)."""
    note: str = ""
    """What else is to be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetMove:
    """One budget of one candidate, then and now."""

    candidate: str
    """The candidate's name."""
    subject: str
    """What was judged."""
    status: Move
    """Whether the outcome got worse."""
    then: Finding | None = None
    """What was found then; None where it was not judged."""
    now: Finding | None = None
    """What is found now; None where it is not judged any more."""
    note: str = ""
    """What else is to be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictMove:
    """One candidate's model and verdict, then and now; None where it was not there."""

    candidate: str
    """The candidate's name."""
    then: Outcome | None = None
    """Its outcome then; None for the baseline too."""
    now: Outcome | None = None
    """Its outcome now."""
    model_then: str | None = None
    """The fingerprint of its model then."""
    model_now: str | None = None
    """The fingerprint now."""
    bytes_then: int | None = None
    """Its size then."""
    bytes_now: int | None = None
    """Its size now."""
    runtime_then: str | None = None
    """What ran it then."""
    runtime_now: str | None = None
    """What runs it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMove:
    """The median latency of one candidate, then and now."""

    candidate: str
    """The candidate's name."""
    batch: int
    """Rows a call."""
    status: Move
    """What is shown, held against the baseline of both runs."""
    ratio: Estimate | None = None
    """Now over then; None on another machine."""
    beside_baseline: Estimate | None = None
    """The same ratio over that of the baseline, where that is the same model in both runs."""
    note: str = ""
    """Why it could not be compared, if it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Everything that moved between two versions."""

    plan: tuple[Change, ...]
    """What the plans ask for differently."""
    data: tuple[Change, ...]
    """Test sets whose rows are others."""
    environment: tuple[Change, ...]
    """What differs between the environments."""
    verdicts: tuple[VerdictMove, ...]
    """Every candidate of either, the baseline first."""
    budgets: tuple[BudgetMove, ...]
    """Every budget of every candidate of either."""
    answers: tuple[AnswersMove, ...]
    """Every candidate of both in every place of both."""
    latencies: tuple[LatencyMove, ...]
    """Every candidate of both at every batch size of both."""
    incompatible: tuple[str, ...] = ()
    """Why the older evidence cannot be held against the newer, or a part of it."""
