"""Fills cells: one candidate on one data set, example by example, kept as Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import DataError
from surefoot.core.evidence import Cell, Evidence, LoadProfile, Paired
from surefoot.core.model import Candidate
from surefoot.core.progress import Progress, Silent
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.models import open_model
from surefoot.store import Store

COLUMNS = ("ids", "labels", "predicted", "score", "confidence", "values")


def fill_cells(
    candidate: Candidate,
    task: Task,
    store: Store,
    *,
    batch: int = 32,
    progress: Progress | None = None,
) -> tuple[Cell, ...]:
    """Measure one candidate on every test set of a task; what the store holds is not done again.

    Args:
        candidate: The candidate.
        task: Its test sets are measured.
        store: Where cells are kept.
        batch: Rows per call.
        progress: Told of every row.

    Returns:
        A cell per test set, in the task's order.

    Raises:
        ModelError: The model cannot be run, or gives a non-finite score.
    """
    keys = {
        name: cell_key(candidate, dataset, task.metric, batch)
        for name, dataset in task.test.items()
    }
    missing = [name for name, key in keys.items() if not store.path("cells", key).exists()]
    if missing:
        with open_model(
            candidate.model, runtime=candidate.runtime, threads=os.cpu_count() or 1
        ) as predict:
            for name in missing:
                dataset = task.test[name]
                watch = progress or Silent()
                watch.start(f"{candidate.name} on {name}", len(dataset))
                scores = predict(dataset.inputs, batch=batch, progress=watch)
                cell = score(candidate.name, dataset, task.metric, scores)
                store.make("cells", keys[name], partial(_write, cell))
    return tuple(
        _read(store.path("cells", key), candidate.name, name, task.metric)
        for name, key in keys.items()
    )


def cell_key(candidate: Candidate, dataset: Dataset, metric: str, batch: int) -> Mapping[str, Any]:
    """What a cell depends on; slices are not among it, since they only mask it."""
    return {
        "model": candidate.model.fingerprint,
        "runtime": candidate.runtime,
        "rows": dataset.fingerprint,
        "metric": metric,
        "version": plugins.version("metric", metric),
        "batch": batch,
        "threads": os.cpu_count(),
    }


def score(candidate: str, dataset: Dataset, metric: str, scores: np.ndarray) -> Cell:
    """The cell of a candidate's scores.

    Args:
        candidate: The candidate's name.
        dataset: The rows, in the order of `scores`.
        metric: A plugin of `evaluate/metrics/`.
        scores: (n, classes) probabilities.
    """
    predicted = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    return Cell(
        candidate=candidate,
        dataset=dataset.name,
        metric=metric,
        ids=dataset.ids,
        labels=dataset.labels,
        predicted=predicted,
        score=scores[rows, dataset.labels],
        confidence=scores[rows, predicted],
        values=plugins.find("metric", metric)(scores, dataset.labels),
    )


def pair(baseline: Cell, candidate: Cell, dataset: Dataset) -> tuple[Paired, ...]:
    """Reduce two cells of the same rows to what paired tests need: all rows, then every slice.

    Raises:
        DataError: The two do not hold the same ids in the same order.
    """
    if not np.array_equal(baseline.ids, candidate.ids):
        raise DataError(
            f"the rows of '{baseline.candidate}' and '{candidate.candidate}' do not pair by id",
            where=dataset.name,
        )
    masks: list[tuple[str | None, np.ndarray]] = [(None, np.ones(len(dataset), dtype=bool))]
    masks += dataset.slices.items()
    return tuple(_paired(baseline, candidate, dataset, name, mask) for name, mask in masks)


def gather(
    candidates: Sequence[Candidate],
    cells: Mapping[str, Sequence[Cell]],
    task: Task,
    loads: Sequence[LoadProfile],
) -> Evidence:
    """Everything a gate looks at, from the cells and latencies of all candidates.

    Args:
        candidates: The baseline first.
        cells: The cells of each candidate, in the order of `task.test`.
        task: Its test sets give slices and groups.
        loads: Latencies.
    """
    baseline, *others = candidates
    return Evidence(
        baseline=baseline.name,
        candidates=tuple(c.name for c in others),
        paired=tuple(
            paired
            for c in others
            for old, new in zip(cells[baseline.name], cells[c.name], strict=True)
            for paired in pair(old, new, task.test[new.dataset])
        ),
        loads=tuple(loads),
        sizes={c.name: c.model.size_bytes for c in candidates},
    )


def _paired(
    baseline: Cell, candidate: Cell, dataset: Dataset, name: str | None, mask: np.ndarray
) -> Paired:
    labels, old, new = (a[mask] for a in (baseline.labels, baseline.predicted, candidate.predicted))
    before, after = baseline.values[mask], candidate.values[mask]
    lost, won = (old == labels) & (new != labels), (old != labels) & (new == labels)
    other = (old != labels) & (new != labels) & (old != new)
    groups = None
    if dataset.groups is not None:
        groups = np.unique(dataset.groups[mask], return_inverse=True)[1]
    by_row = groups is not None or candidate.metric != "accuracy"
    return Paired(
        candidate=candidate.candidate,
        dataset=dataset.name,
        slice=name,
        metric=candidate.metric,
        n=int(mask.sum()),
        lost=int(lost.sum()),
        won=int(won.sum()),
        other=int(other.sum()),
        baseline=float(before.mean()),
        value=float(after.mean()),
        higher_is_better=plugins.module("metric", candidate.metric).HIGHER_IS_BETTER,
        difference=after - before if by_row else None,
        values=after if by_row else None,
        groups=groups,
        change=None if groups is None else (lost + 2 * won + 3 * other).astype(np.int8),
    )


def _write(cell: Cell, folder: Path) -> None:
    write_parquet(folder / "cells.parquet", {name: getattr(cell, name) for name in COLUMNS})


def _read(folder: Path, candidate: str, dataset: str, metric: str) -> Cell:
    columns = read_parquet(folder / "cells.parquet")
    return Cell(
        candidate=candidate, dataset=dataset, metric=metric, **{n: columns[n] for n in COLUMNS}
    )
