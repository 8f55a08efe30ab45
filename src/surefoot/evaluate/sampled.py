"""Some rows of a cell, asked in the very calls in which the whole cell asked them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from surefoot.core.dataset import Dataset, Examples
from surefoot.core.drift import Sample
from surefoot.core.evidence import Cell
from surefoot.core.model import Candidate
from surefoot.core.progress import Progress
from surefoot.evaluate.cells import THREADS, cell
from surefoot.models import open_model

FOUND = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sample of a cell's rows, and what was answered to them."""

    positions: np.ndarray
    """(m,) int64 positions in the data set, rising."""
    rows: Dataset
    """Those rows."""
    cell: Cell
    """Their cell."""
    seen: float | None
    """The least share of changed rows that such a sample meets; None where it is all rows."""


def sample_cell(
    candidate: Candidate, dataset: Examples, sample: Sample, batch: int, progress: Progress
) -> Drawn:
    """Ask a candidate a random sample of rows.

    Whole calls are drawn, since rows that share a call may decide each other's answers.

    Args:
        candidate: The candidate.
        dataset: The rows; shifted ones are made first, all of them.
        sample: How many rows, and the seed of the draw.
        batch: Rows per call.
        progress: Told of every row.

    Raises:
        ModelError: The model cannot be run, or gives a non-finite score.
    """
    inputs = dataset.inputs
    place = f"{candidate.model.fingerprint} {dataset.name} {dataset.shift} {dataset.severity:g}"
    digest = hashlib.sha256(f"{sample.seed} {place}".encode()).digest()
    rng = np.random.default_rng(list(digest))
    with open_model(
        candidate.model, runtime=candidate.runtime, threads=THREADS, golden=False
    ) as predict:
        calls = list(predict.batches(inputs, batch=batch))
        some = min(len(calls), max(1, math.ceil(sample.rows / batch)))
        drawn = [calls[i] for i in np.sort(rng.choice(len(calls), some, replace=False))]
        progress.start(f"{candidate.name} on {dataset.name}, a sample", sum(map(len, drawn)))
        answers = []
        for positions in drawn:
            answers.append(predict.run_batch(inputs[positions]))
            progress.advance(len(positions))
    positions = np.concatenate(drawn)
    order = np.argsort(positions)
    positions = positions[order]
    rows = replace(_plain(dataset, inputs).rows(positions), fingerprint=dataset.fingerprint)
    return Drawn(
        positions=positions,
        rows=rows,
        cell=cell(candidate.name, rows, np.concatenate(answers)[order]),
        seen=least_seen(len(calls), some),
    )


def least_seen(calls: int, drawn: int) -> float | None:
    """The least share of changed calls that a draw meets with probability 0.95.

    Rows that were changed may lie anywhere; they are hardest to meet where they fill whole calls,
    and then it is calls that are drawn without replacement (hypergeometric). None where the draw is
    everything.

    Args:
        calls: Calls there are.
        drawn: Calls drawn.
    """
    if drawn >= calls:
        return None
    missed, bad = 1.0, 0
    while missed > 1 - FOUND:
        missed *= max(calls - drawn - bad, 0) / (calls - bad)
        bad += 1
    return bad / calls


def _plain(dataset: Examples, inputs: np.ndarray) -> Dataset:
    return Dataset(
        name=dataset.name,
        ids=dataset.ids,
        inputs=inputs,
        labels=dataset.labels,
        classes=dataset.classes,
        slices=dataset.slices,
        groups=dataset.groups,
        shift=dataset.shift,
        severity=dataset.severity,
    )
