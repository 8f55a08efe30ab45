"""What a model is measured on: columns of ids, inputs and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NewType, Protocol

import numpy as np

TaskKind = Literal["text-classification", "image-classification", "tabular-classification"]


class Examples(Protocol):
    """What can be measured: a data set, or one whose inputs are made when they are asked for."""

    @property
    def name(self) -> str:
        """The name of the data set."""

    @property
    def ids(self) -> np.ndarray:
        """(n,) StringDType, unique."""

    @property
    def inputs(self) -> np.ndarray:
        """(n, ...) raw inputs; may be costly."""

    @property
    def labels(self) -> np.ndarray:
        """(n,) int64."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names that `labels` counts into."""

    @property
    def slices(self) -> Mapping[str, np.ndarray]:
        """Slice name to a (n,) bool mask."""

    @property
    def groups(self) -> np.ndarray | None:
        """(n,) StringDType."""

    @property
    def shift(self) -> str:
        """The plugin that changed the inputs."""

    @property
    def severity(self) -> float:
        """How far it changed them."""

    @property
    def fingerprint(self) -> str:
        """A hash that stands for the rows and their inputs; empty where nobody took one."""

    @property
    def nbytes(self) -> int:
        """Bytes that the inputs take, roughly."""

    def __len__(self) -> int:
        """How many rows there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Rows as columns; the ids make every comparison on it a paired one."""

    name: str
    """The name it has in the plan, for example `tweets`."""
    ids: np.ndarray
    """(n,) StringDType, unique: what pairs a row of one candidate with that of another."""
    inputs: np.ndarray
    """(n,) StringDType texts, (n, d) float32 numbers or (n, h, w[, channels]) uint8 images."""
    labels: np.ndarray
    """(n,) int64, indices into `classes`."""
    classes: tuple[str, ...]
    """The class names that `labels` counts into."""
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Slice name to a (n,) bool mask."""
    groups: np.ndarray | None = None
    """(n,) StringDType: rows of one group (speaker, document, user) are not independent."""
    parts: np.ndarray | None = None
    """(n,) StringDType: the value of the column that splits a test set; empty: none."""
    shift: str = ""
    """The plugin that changed the inputs; empty where they are as they came."""
    severity: float = 0.0
    """How far it changed them, 0 to 5."""
    fingerprint: str = ""
    """SHA-256 of ids, inputs, label names and groups; slices only mask rows and are left out."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes that the inputs take; of texts only what stands for each."""
        return self.inputs.nbytes

    def among(self, ids: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows have one of these ids; a shift may have chosen some of them."""
        if len(ids) == len(self):
            return np.ones(len(self), dtype=bool)
        wanted = set(ids.tolist())
        return np.fromiter((name in wanted for name in self.ids.tolist()), bool, len(self))

    def spread(self, rows: int) -> Dataset:
        """At most so many rows, spread evenly over the data set."""
        places = np.linspace(0, len(self) - 1, min(rows, len(self)))
        return self.rows(np.unique(places.astype(np.int64)))

    def rows(self, chosen: np.ndarray, *, name: str | None = None) -> Dataset:
        """The data set of the chosen rows: a bool mask or integer positions, in the order given.

        The fingerprint is left empty: whoever needs one takes `data.fingerprint`.
        """
        return replace(
            self,
            name=name or self.name,
            ids=self.ids[chosen],
            inputs=self.inputs[chosen],
            labels=self.labels[chosen],
            slices={key: mask[chosen] for key, mask in self.slices.items()},
            groups=None if self.groups is None else self.groups[chosen],
            parts=None if self.parts is None else self.parts[chosen],
            fingerprint="",
        )


SelectionSet = NewType("SelectionSet", Dataset)
"""Rows that a search may choose on. A candidate looks best on the rows that it was chosen on, so
code that takes them for a `ConfirmationSet` does not type-check."""
ConfirmationSet = NewType("ConfirmationSet", Dataset)
"""Rows that are opened once, for the verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What tells how many rows two data sets share, without the rows."""

    rows: int
    """Distinct rows."""
    smallest: tuple[str, ...]
    """The smallest hashes of them in hexadecimal, sorted, at most 256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the model must do, with the data to learn it from and to prove it on."""

    name: str
    """A short name for headings."""
    kind: TaskKind
    """The kind of input and output."""
    classes: tuple[str, ...]
    """Class names; every data set's labels count into them."""
    train: Dataset | None
    """What steps may learn from; None when the plan names no training data."""
    selection: SelectionSet | None
    """What a search may choose on; never part of a verdict."""
    calibration: Dataset | None
    """What calibration alone may see."""
    test: Mapping[str, ConfirmationSet]
    """The confirmation sets by name, opened for the verdict."""
    metric: str
    """The name of the metric that the budgets are about, for example `accuracy`."""
    notes: tuple[str, ...] = ()
    """What was left out while the data were read, for the readers of a verdict."""
    out_of_scope: Dataset | None = None
    """Rows that belong to none of the classes; what their labels say means nothing."""
    unlabelled: Dataset | None = None
    """Rows that steps may learn from without labels; what their labels say means nothing."""
