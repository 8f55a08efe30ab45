"""What a search tried, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from surefoot.core.estimate import Estimate
from surefoot.core.model import Candidate, Cost, Recipe

Fate = Literal[
    "finalist",
    "on the front",
    "dominated",
    "over the margin",
    "undercut",
    "over a budget",
    "failed",
    "not tried",
]
"""What became of a candidate: judged; not dominated; dominated; shown to lose too much; a cheaper
one holds; too slow or too large for a budget; could not be made or run; there was no time, or
nothing to gain."""
Round = Literal["free", "quantise", "shrink", "combine", "tune"]
ROUNDS: tuple[Round, ...] = ("free", "quantise", "shrink", "combine", "tune")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate of a search."""

    name: str
    """Its name."""
    round: Round
    """The round in which it was tried."""
    recipe: Recipe
    """How it is made."""
    runtime: str
    """What runs it."""
    fate: Fate
    """What became of it."""
    reason: str = ""
    """Why, in words."""
    cost: float | None = None
    """Median latency over the baseline's, or bytes over its bytes where no budget is on time; None
    where it was not measured."""
    size_bytes: int | None = None
    """What has to be shipped."""
    gain: Estimate | None = None
    """Metric minus the baseline's on the selection rows it was asked, with its interval."""
    flips: int = 0
    """Answers that changed, of these rows."""
    spent: Cost = field(default_factory=Cost)
    """What the steps cost that no earlier trial had paid for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a round of a search cost, and what it gained."""

    round: Round
    """The round."""
    tried: int
    """Candidates measured in it."""
    wall_s: float
    """Seconds on the clock."""
    cpu_s: float
    """CPU seconds of making its candidates."""
    before: float
    """The cost of the leanest candidate within the margin before the round; 1 is the baseline's."""
    after: float
    """The same after it."""

    @property
    def gain_per_cpu_minute(self) -> float:
        """How far the cost fell, as a share of what it was, for each CPU minute."""
        return (1 - self.after / self.before) / max(self.cpu_s / 60, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The recommended candidate with one thing changed."""

    kind: Literal["left out", "option", "seed"]
    """What was changed."""
    what: str
    """In words."""
    gain: Estimate | None = None
    """Its accuracy minus the recommended candidate's on the selection rows; None where it could
    not be made."""
    flips: int = 0
    """Answers that differ."""
    cost: float | None = None
    """Its median latency over the recommended candidate's."""
    size: float | None = None
    """Its size over the recommended candidate's."""
    reason: str = ""
    """Why there is nothing, where there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search found."""

    baseline: str
    """The baseline's name."""
    quantity: str
    """What `cost` is of, for example `p50_ms at batch 1`."""
    margin: float
    """The drop of the metric that candidates were allowed."""
    metric: str
    """The metric that they were raced on."""
    rows: int
    """Rows of the selection set."""
    trials: tuple[Trial, ...]
    """Everybody, in the order of trying."""
    front: tuple[str, ...]
    """Who is not dominated in cost and metric, the cheapest first."""
    leanest: str | None
    """The cheapest candidate that lost no more than the margin; None where none did."""
    recommended: str | None
    """The leanest candidate that the selection rows let hope; None where none does."""
    finalists: tuple[Candidate, ...]
    """Who goes on to be judged, the cheapest first."""
    ablation: tuple[Variant, ...]
    """The recommended candidate with each step left out, each option varied, and other seeds."""
    rounds: tuple[Spent, ...]
    """What each round cost and gained."""
    stopped: str
    """Why it ended."""
    search_s: float
    """Seconds until it ended, those that earlier runs spent included."""
    wall_s: float
    """The same with the ablation."""
    overhead_s: float
    """Seconds of them that were neither making, nor asking, nor timing candidates."""

    @property
    def tried(self) -> int:
        """Candidates that were measured on the selection rows."""
        return sum(trial.gain is not None for trial in self.trials)
