"""What is measured, and what is concluded from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NewType

import numpy as np

from surefoot.core.checks import CheckResult
from surefoot.core.confidence import Calibration
from surefoot.core.envelope import Envelope
from surefoot.core.estimate import Estimate
from surefoot.core.load import Deadline, LoadProfile, ServedProfile
from surefoot.core.profile import Profile

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One candidate on one data set, example by example; a slice is a mask over it."""

    candidate: str
    """The candidate's name."""
    dataset: str
    """The data set's name."""
    shift: str = ""
    """How its inputs were changed; empty where they were not."""
    severity: float = 0.0
    """How far."""
    ids: np.ndarray
    """(n,) StringDType."""
    labels: np.ndarray
    """(n,) int64."""
    predicted: np.ndarray
    """(n,) int64, the class with the highest score."""
    scores: np.ndarray
    """(n, classes) float32 probabilities: whatever is measured is computed from them."""


def place(dataset: str, shift: str, severity: float, part: str | None) -> str:
    """What a place is called: `tweets + typos 3 [short]`."""
    name = f"{dataset} + {shift} {severity:g}" if shift else dataset
    return f"{name} [{part}]" if part else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A candidate and the baseline on the same rows, reduced to what a paired test needs."""

    candidate: str
    """The candidate's name."""
    dataset: str
    """The data set's name."""
    slice: str | None
    """The slice; None for all rows."""
    shift: str = ""
    """How the inputs were changed; empty where they were not."""
    severity: float = 0.0
    """How far."""
    metric: str
    """The metric."""
    n: int
    """Paired rows."""
    lost: int
    """Baseline right, candidate wrong."""
    won: int
    """Baseline wrong, candidate right."""
    other: int
    """Both wrong, with different answers."""
    baseline: float
    """The baseline's mean metric."""
    value: float
    """The candidate's mean metric."""
    higher_is_better: bool = True
    """The direction of the metric."""
    span: float = 1.0
    """The most that two models can differ by on a row."""
    share: bool = False
    """Whether the metric of a row is 0 or 1, whatever it is called."""
    difference: np.ndarray | None = None
    """(n,) candidate minus baseline per row, (seeds, n) where the candidate was made several times;
    None when `lost` and `won` say it all."""
    values: np.ndarray | None = None
    """(n,) the candidate's metric per row; None when it is 0 or 1."""
    groups: np.ndarray | None = None
    """(n,) int64 cluster of each row; None when rows are independent."""
    change: np.ndarray | None = None
    """(n,) int8 with `groups`, (seeds, n) with seeds: 0 same answer, 1 lost, 2 won, 3 other."""
    drawn: Any = None
    """A metric that only a whole set of rows has: two `stats.Resampled`, of the candidate's value
    and of its difference from the baseline's."""
    note: str = ""
    """Why a metric of sets cannot be computed here, if it cannot."""
    of_answers: bool = False
    """Whether `drawn` depends on the answers alone, not on the probabilities."""
    seeds: Mapping[str, float] = field(default_factory=dict)
    """Several seeds: the variance of the difference `between_seeds`, `between_rows` and `rest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """The baseline asked the same rows twice: what two equal things differ by."""

    rows: int
    """Rows asked again."""
    flips: int
    """Answers that changed."""
    largest: float
    """The largest change of a probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why one candidate is not shown to be faster than the baseline."""

    candidate: str
    """The candidate's name."""
    runtime: str
    """The runtime it ran in."""
    speedup: Estimate
    """Median of baseline time over candidate time."""
    profile: Profile
    """Where its time goes, at the batch size at which it gained least."""
    reasons: tuple[str, ...]
    """In plain words, what costs most first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Which use of its confirmation data a verdict is, as the ledger counts them."""

    count: int
    """1 for the first."""
    share: float
    """The share of alpha that this use spends."""
    left: float
    """The share of alpha that later uses have together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything a gate looks at."""

    baseline: str
    """The baseline's name."""
    candidates: tuple[str, ...]
    """The candidates' names, in the order of the plan."""
    paired: tuple[Paired, ...] = ()
    """Every candidate in every data set and slice, against the baseline."""
    loads: tuple[LoadProfile, ...] = ()
    """Latencies of the baseline and the candidates."""
    served: tuple[ServedProfile, ...] = ()
    """The baseline and the candidates under load."""
    deadlines: tuple[Deadline, ...] = ()
    """Accuracy under load by deadline."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes to ship, by candidate."""
    memory: Mapping[str, int] = field(default_factory=dict)
    """Bytes of main memory at the peak, by candidate."""
    repeat: Repeat | None = None
    """The noise floor of the answers."""
    calibration: Calibration | None = None
    """What confidence is worth; None where it was not measured."""
    envelopes: tuple[Envelope, ...] = ()
    """How far the baseline and the candidates hold, along every axis that the plan names."""
    checks: tuple[CheckResult, ...] = ()
    """Every behaviour check on the baseline and every candidate."""
    diagnoses: tuple[Diagnosis, ...] = ()
    """Why candidates are not faster, where they are not."""


SelectionEvidence = NewType("SelectionEvidence", Evidence)
"""Measured on rows that a search may choose on; no verdict takes it."""
ConfirmationEvidence = NewType("ConfirmationEvidence", Evidence)
"""Measured on rows that no choice was made on; no search takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on a quantity, and where it holds."""

    quantity: str
    """A metric, or one of `flips`, `lost`, `won`, `other`, `p50_ms`, `p90_ms`, `p99_ms`, `speedup`,
    `rows_per_s`, `cpu_hours`, `size_mb`, `memory_mb`, or a behaviour check."""
    at_most: float | None = None
    """The quantity must be at most this."""
    at_least: float | None = None
    """The quantity must be at least this."""
    max_drop: float | None = None
    """The quantity may be worse than the baseline's by at most this."""
    dataset: str | None = None
    """Only this test set, or the parts of one that was split; None means each of them."""
    slice: str | None = None
    """Only this slice; `*` means each declared slice; None means all rows."""
    shift: str | None = None
    """Only under this shift; `*` means each of them; None means the inputs as they came."""
    batch: int = 1
    """For latencies and `speedup`: rows per call."""
    load: str | None = None
    """For latencies and `rows_per_s`: under this load, instead of call by call."""
    level: float = 0.95
    """One-sided confidence that a PASS needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One budget held against one piece of evidence."""

    budget: Budget
    """The budget."""
    subject: str
    """What was judged, for example `accuracy on tweets [short]`."""
    estimate: Estimate
    """The measured quantity; for `max_drop` the candidate minus the baseline."""
    limit: float
    """What the estimate was held against, in the estimate's unit and direction."""
    outcome: Outcome
    """PASS, FAIL or INCONCLUSIVE."""
    p_pass: float
    """p-value of the hypothesis that the budget is broken; a small one passes."""
    p_fail: float
    """p-value of the hypothesis that the budget is kept; a small one fails."""
    needed: int | None = None
    """INCONCLUSIVE: rows (or calls) that would decide at 90 % power; None where no number would."""
    reason: str = ""
    """Why it could not be decided, where it is not for the numbers alone."""
    paired: Paired | None = None
    """The paired rows behind it, where there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one candidate: PASS only if every budget is shown to hold."""

    candidate: str
    """The candidate's name."""
    outcome: Outcome
    """PASS, FAIL or INCONCLUSIVE."""
    findings: tuple[Finding, ...]
    """Every budget in every place it applies."""
    share: int
    """Its budgets were tested at their alpha divided by this: the price of several candidates."""
    tried: int
    """How many candidates were tried, those that were not judged included."""
    use: Use | None = None
    """Which use of the confirmation data this was; None where nobody counts."""

    @property
    def open(self) -> tuple[Finding, ...]:
        """The findings whose budget was not shown to hold."""
        return tuple(finding for finding in self.findings if finding.outcome != "PASS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One thing that was planted, and whether it was seen."""

    what: str
    """What was planted."""
    expected: str
    """FAIL or refused for a regression; no FAIL where nothing was planted."""
    found: str
    """What the gate said."""
    seen: bool
    """Whether that is what was expected."""
    finding: Finding | None = None
    """The finding that decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The evidence on disk."""

    path: Path
    """The folder."""
    key: str
    """The hash of everything that went into it."""
    verdicts: tuple[Verdict, ...]
    """One verdict a candidate, in the order of the plan."""
    winner: str | None
    """The leanest candidate that passed."""
