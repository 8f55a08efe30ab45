"""Behaviour checks: what one is given to ask of a model, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import SurefootError
from surefoot.core.model import InputKind

CRASHES = (
    SurefootError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a model may raise on its inputs, whatever runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model that is open; rows whose output is not finite come back as NaN, not as an error."""

    one_call: Callable[[np.ndarray], np.ndarray]
    """(n, classes) float32 probabilities of n inputs, by exactly one call of the runtime."""

    def predict(self, inputs: np.ndarray, *, batch: int = 32) -> np.ndarray:
        """(n, classes) probabilities, so many rows a call in the order given: neighbours are mates.

        Args:
            inputs: (n, ...) raw inputs.
            batch: Rows per call.
        """
        starts = range(0, len(inputs), batch)
        parts = [self.one_call(inputs[start : start + batch]) for start in starts]
        return np.concatenate(parts) if parts else self.one_call(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """What a model file gave when it was made."""

    inputs: np.ndarray
    """(n, ...) raw inputs."""
    probabilities: np.ndarray
    """(n, classes) what it gave to them."""
    broken: Callable[[np.ndarray], np.ndarray]
    """From probabilities found now to a (n,) bool: which rows moved by more than rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a check may ask, and of whom; the rows are the same for every candidate."""

    kind: InputKind
    """The kind of raw input."""
    classes: tuple[str, ...]
    """Class names, one a column of the scores."""
    dataset: Dataset
    """A sample of the rows of all test sets as they came; an id is `SET/ID`."""
    sets: np.ndarray
    """(n,) StringDType, the test set that each row comes from."""
    scores: np.ndarray
    """(n, classes) what the candidate gave to these rows when its cells were filled."""
    baseline_scores: np.ndarray
    """(n, classes) what the baseline gave."""
    train: Dataset | None
    """A sample of the training rows, ids `train/ID`; None where the plan names none."""
    model: Opened
    """The candidate, open."""
    reopened: Callable[[int], AbstractContextManager[Opened]]
    """Opens the candidate afresh with so many threads."""
    threads: int
    """How many threads there are to use."""
    golden: Golden | None
    """The golden vectors of the model file; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found, row by row."""

    ids: np.ndarray
    """(n,) StringDType, unique: the rows asked; those of the subject keep their ids."""
    failed: np.ndarray
    """(n,) bool."""
    details: tuple[str, ...]
    """One line for each failed row, empty for the others. It never holds a row's own words: it is
    kept with the evidence."""
    largest: float | None = None
    """The largest numerical effect on any row, a change of probability for most."""
    note: str = ""
    """One line about the whole, for example which group was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check on one candidate, or on the baseline."""

    candidate: str
    """The candidate's name."""
    check: str
    """The plugin in `evaluate/checks/`."""
    checked: Checked | None
    """What it found; None where it could not be run."""
    exact: bool = False
    """Whether its rows are a fixed list, of which the rate is read off, and not a sample."""
    groups: np.ndarray | None = None
    """(n,) int64 cluster of each row asked; None when rows are independent."""
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Declared slice name to a (n,) bool mask over the rows asked."""
    error: str = ""
    """Why it could not be run."""
