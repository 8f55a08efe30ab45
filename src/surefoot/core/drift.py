"""What changed between two machines that ran the same models on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Repeat

Movement = Literal["same", "moved", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs between two environments."""

    what: str
    """A library, the processor, a setting."""
    there: str
    """What it was when the evidence was made."""
    here: str
    """What it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which rows of each cell are asked, where not all are: whole calls, drawn at random."""

    rows: int
    """Rows of each cell at least, where it has as many."""
    seed: int
    """What the draw starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How far the answers of one model on one data set moved."""

    rows: int
    """Rows compared."""
    differ: Estimate
    """The share of rows with another answer."""
    there: float
    """Accuracy when the evidence was made."""
    here: float
    """Accuracy now."""
    difference: Estimate
    """Accuracy now minus then, on the same rows."""
    largest: float
    """The largest change of a probability: of the right class, or of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDrift:
    """One cell of earlier evidence, measured again."""

    candidate: str
    """The candidate's name."""
    place: str
    """The data set, with its shift if it has one."""
    status: Movement
    """Whether it moved by more than the noise floor."""
    reason: str = ""
    """Why it was not run, or what else is to be said."""
    moved: Moved | None = None
    """How far; None where it could not be compared."""
    seen: float | None = None
    """The least share of changed rows that a sample finds in 19 of 20 draws, wherever they are;
    None where all rows were asked."""
    other_rows: bool = False
    """Whether it was not run because the rows here are not those of the evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Earlier evidence, held against the same models run here."""

    environment: tuple[Change, ...]
    """What differs between the machines."""
    batch: int
    """Rows a call, as in the evidence."""
    cells: tuple[CellDrift, ...]
    """Every cell of the evidence."""
    floors: tuple[tuple[str, Repeat], ...]
    """By candidate, what it differs by from itself when it is asked twice."""
