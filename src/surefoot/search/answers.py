"""What candidates answer on the selection rows, asked in blocks of one random order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset, SelectionSet
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell
from surefoot.core.model import Candidate
from surefoot.data import fingerprint
from surefoot.evaluate import fill_cells
from surefoot.evaluate.cells import cell
from surefoot.search.clock import Clock
from surefoot.store import Store

FIRST = 256
"""Rows of the first block; every further one is as long as all before it together."""


class Answers:
    """Asks candidates, each row once; what the store holds is not asked again.

    Args:
        selection: The rows.
        store: Where answers are kept.
        batch: Rows per call.
        seed: Of the order of the rows, the same as a race's.
        clock: Told what asking takes.
    """

    def __init__(
        self,
        selection: SelectionSet,
        store: Store,
        *,
        batch: int,
        seed: int,
        clock: Clock,
    ) -> None:
        self.selection, self._store, self._batch, self.clock = selection, store, batch, clock
        self._order = np.random.default_rng(seed).permutation(len(selection))
        self._place = np.argsort(self._order)
        self._blocks = list(_blocks(selection, self._order))
        self._scores: dict[tuple[str, str], list[np.ndarray]] = {}

    def asked(self, candidate: Candidate) -> int:
        """How many rows a candidate has answered."""
        return sum(map(len, self._scores.get(_who(candidate), ())))

    def ask(self, candidate: Candidate, rows: int) -> None:
        """Let a candidate answer the first rows of the order, or more.

        Raises:
            ModelError: It cannot be run, or gives a score that is not finite.
        """
        known = self._scores.setdefault(_who(candidate), [])
        while self.asked(candidate) < min(rows, len(self.selection)):
            block = self._blocks[len(known)]
            with self.clock.working():
                sets = {block.name: block}
                (found,) = fill_cells(candidate, sets, self._store, batch=self._batch)
                known.append(found.scores)

    def right(self, candidate: Candidate, rows: np.ndarray) -> np.ndarray:
        """(rows,) 1.0 where a candidate is right, by numbers of selection rows."""
        places = self._place[rows]
        self.ask(candidate, int(places.max(initial=-1)) + 1)
        predicted = np.concatenate(self._scores[_who(candidate)]).argmax(axis=1)
        return np.asarray(predicted[places] == self.selection.labels[rows], np.float64)

    def gain(self, candidate: Candidate, baseline: Candidate) -> float:
        """The candidate's accuracy minus the baseline's on the rows that both were asked."""
        lost, won, _, rows = self._changes(candidate, baseline)
        return (won - lost) / rows

    def compared(self, candidate: Candidate, baseline: Candidate) -> tuple[Estimate, int]:
        """The gain with its 90 % interval, and how many answers changed."""
        lost, won, changed, rows = self._changes(candidate, baseline)
        found = stats.paired_proportions(lost, won, rows, level=0.9)
        estimate = Estimate(
            value=(won - lost) / rows,
            low=float(found.low),
            high=float(found.high),
            level=0.9,
            method="Tango score",
            n=rows,
        )
        return estimate, changed

    def _changes(self, candidate: Candidate, baseline: Candidate) -> tuple[int, int, int, int]:
        """Answers lost, won and changed, and the rows that both were asked."""
        rows = min(self.asked(candidate), self.asked(baseline))
        labels = self.selection.labels[self._order[:rows]]
        new, old = (
            np.concatenate(self._scores[_who(one)])[:rows].argmax(axis=1)
            for one in (candidate, baseline)
        )
        lost = int(((old == labels) & (new != labels)).sum())
        won = int(((old != labels) & (new == labels)).sum())
        return lost, won, int((old != new).sum()), rows

    def cell(self, candidate: Candidate) -> Cell:
        """The cell of a candidate that has answered all rows."""
        self.ask(candidate, len(self.selection))
        scores = np.concatenate(self._scores[_who(candidate)])
        return cell(candidate.name, self.selection, scores[self._place])


def _who(candidate: Candidate) -> tuple[str, str]:
    """What decides the answers; two candidates may have one name."""
    return candidate.model.fingerprint, candidate.runtime


def _blocks(selection: SelectionSet, order: np.ndarray) -> list[Dataset]:
    blocks, start = [], 0
    while start < len(order):
        stop = min(max(2 * start, FIRST), len(order))
        rows = selection.rows(order[start:stop], name=f"selection {start + 1} to {stop}")
        blocks.append(replace(rows, fingerprint=fingerprint(rows)))
        start = stop
    return blocks
