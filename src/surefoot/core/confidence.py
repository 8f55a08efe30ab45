"""What the confidence of a model is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from surefoot.core.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """What divides a model's logits so that its confidence tells how often it is right."""

    estimate: Estimate
    """Above 1 the model is too sure of itself, below 1 not sure enough."""
    fitted: bool = True
    """False where the rows do not tell it: then it is 1, which changes nothing."""
    note: str = ""
    """Why it could not be told, or is not to be trusted; empty where all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows of about the same confidence."""

    n: int
    """Rows."""
    confidence: float
    """Their mean confidence."""
    accuracy: float
    """The share of right answers."""
    low: float
    """Lower end of the bar between which it lies in 95 % of bins, if confidence is true."""
    high: float
    """Its upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The most confident answers, as if the model abstained from the others."""

    coverage: float
    """The share of rows that are answered."""
    threshold: float
    """Their least confidence."""
    accuracy: Estimate
    """The share of them that is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How far the confidence of one candidate can be relied on in one place."""

    figures: Mapping[str, Estimate]
    """`ece`, `brier`, `log_loss`, `aurc`; `out_of_scope_auc` where the plan names such rows."""
    bins: tuple[Bin, ...]
    """The reliability diagram, from the least to the most confident."""
    curve: tuple[Kept, ...]
    """The risk-coverage curve at every tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """One candidate in one place, before and after its temperature."""

    candidate: str
    """The candidate's name."""
    dataset: str
    """The data set's name."""
    shift: str = ""
    """How its inputs were changed; empty where they were not."""
    severity: float = 0.0
    """How far."""
    before: Reliability
    """Of the probabilities as they came."""
    after: Reliability | None
    """Of those at the candidate's temperature; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the confidence of the baseline and of every candidate is worth."""

    rows: int
    """Calibration rows: the only ones that temperatures are fitted on."""
    temperatures: Mapping[str, Temperature]
    """By candidate, the baseline first."""
    places: tuple[Calibrated, ...]
    """Every candidate on every test set, as it came and under each shift."""
    warnings: tuple[str, ...] = ()
    """Candidates that are worse calibrated than the baseline, and temperatures not to trust."""
