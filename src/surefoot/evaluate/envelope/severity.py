"""How far a candidate holds under a shift: rows are asked only until the answer is certain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.envelope import Probe, Side
from surefoot.core.model import Candidate, StepCall
from surefoot.evaluate.cells import THREADS, cell_key, read_scores, write_scores
from surefoot.evaluate.shifted import shifted
from surefoot.models import open_model
from surefoot.models.open import Predictor
from surefoot.store import Store

SEVERITIES = np.round(np.linspace(0, 5, 51), 1)
"""Where a model can be asked."""
FIRST = 128
"""Rows before the first look."""
MORE = 0.25
"""Rows from one look to the next, as a share of those seen: so few looks cost little to keep."""

Right = Callable[[float, np.ndarray], np.ndarray]
"""Whether the answers to some rows are right at a severity, a bool a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The rows of a data set in random order; those of one group stand together."""

    rows: np.ndarray
    """(n,) positions."""
    ends: np.ndarray
    """(units,) where each unit ends: a group, or a row of its own."""

    def looks(self) -> Iterator[tuple[int, int]]:
        """The units before and after each piece of rows that is asked at once."""
        units, rows = 0, 0
        while units < len(self.ends):
            wanted = rows + max(FIRST, math.ceil(MORE * rows))
            upto = min(int(np.searchsorted(self.ends, wanted)) + 1, len(self.ends))
            yield units, upto
            units, rows = upto, int(self.ends[upto - 1])


def in_random_order(dataset: Dataset) -> Order:
    """The order in which the rows of a data set are asked: the same in every run.

    Args:
        dataset: The rows, with their groups if they have any.
    """
    rng = np.random.default_rng(0)
    if dataset.groups is None:
        return Order(rows=rng.permutation(len(dataset)), ends=np.arange(1, len(dataset) + 1))
    _, group = np.unique(dataset.groups, return_inverse=True)
    place = rng.permutation(int(group.max()) + 1)[group]
    return Order(rows=np.argsort(place, kind="stable"), ends=np.cumsum(np.bincount(place)))


def probe_severity(
    right: Right, severity: float, before: np.ndarray, order: Order, limits: tuple[float, float]
) -> Probe:
    """Decide whether accuracy at one severity lies below the baseline's by more than a margin.

    The difference of each row from the baseline's answer to the same row, as it came, is bet on
    both ways; a group counts as one, with the sum of its rows. Looking often costs nothing.

    Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting".

    Args:
        right: Asked for some rows at the severity.
        severity: Which.
        before: (n,) whether the baseline is right on the rows as they came.
        order: In which rows are asked.
        limits: The margin, and the largest probability of a false answer.
    """
    margin, alpha = limits
    sizes = np.diff(order.ends, prepend=0)
    scale = float(sizes.max() * (1 + margin))
    excess, lost, seen = np.zeros(0), 0.0, 0
    side: Side = "undecided"
    for first, upto in order.looks():
        start = int(order.ends[first - 1]) if first else 0
        rows = order.rows[start : int(order.ends[upto - 1])]
        drop = before[rows].astype(float) - right(severity, rows)
        lost, seen = lost + drop.sum(), seen + len(rows)
        units = np.repeat(np.arange(upto - first), sizes[first:upto])
        sums = np.bincount(units, weights=drop - margin) / scale
        excess = np.concatenate([excess, sums])
        if stats.mixture_p_value(-excess) <= alpha:
            side = "holds"
        elif stats.mixture_p_value(excess) <= alpha:
            side = "fails"
        if side != "undecided":
            break
    return Probe(at=float(severity), side=side, value=float(lost / seen), n=seen)


def can_decide(order: Order, limits: tuple[float, float]) -> bool:
    """Whether the rows suffice to show that a model holds that loses no answer at all.

    Args:
        order: The rows.
        limits: The margin, and the largest probability of a false answer.
    """
    margin, alpha = limits
    sizes = np.diff(order.ends, prepend=0)
    return bool(stats.mixture_p_value(sizes * margin / (sizes.max() * (1 + margin))) <= alpha)


class Asked:
    """Whether a candidate is right on rows under a shift; what the store holds is not asked again.

    Each piece of rows is shifted by itself, always with the same slips, so that more severity adds
    to less. The model is opened when it is first needed.

    Args:
        candidate: The candidate.
        dataset: The rows as they came.
        shift: The plugin.
        plain: (n,) whether the candidate is right on the rows as they came.
        store: Where answers are kept.
        batch: Rows per call.
    """

    def __init__(  # size: what answers depend on
        self,
        candidate: Candidate,
        dataset: Dataset,
        shift: str,
        plain: np.ndarray,
        store: Store,
        batch: int,
    ) -> None:
        self._candidate, self._dataset, self._shift = candidate, dataset, shift
        self._plain, self._store, self._batch = plain, store, batch
        self._open = ExitStack()
        self._predict: Predictor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def right(self, severity: float, rows: np.ndarray) -> np.ndarray:
        """Whether the answers to some rows are right at a severity.

        Args:
            severity: How far the rows are shifted.
            rows: Their positions.

        Returns:
            A bool a row.

        Raises:
            ModelError: The model cannot be run.
        """
        if severity == 0:
            return np.asarray(self._plain[rows])
        # A name of its own gives each piece of rows slips of its own.
        piece = self._dataset.rows(rows, name=f"{self._dataset.name} {rows[0]}")
        options = (("severity", float(severity)),)
        changed = shifted(piece, StepCall(use=self._shift, options=options))
        key = cell_key(self._candidate, changed, self._batch)
        scores = self._store.kept("envelope", key, read_scores)
        if scores is None:
            found = self._predictor()(changed.inputs, batch=self._batch)
            write = partial(write_scores, found)
            scores = read_scores(self._store.make("envelope", key, write))
        return np.asarray(scores.argmax(axis=1) == changed.labels)

    def _predictor(self) -> Predictor:
        if self._predict is None:
            model, runtime = self._candidate.model, self._candidate.runtime
            opened = open_model(model, runtime=runtime, threads=THREADS)
            self._predict = self._open.enter_context(opened)
        return self._predict
