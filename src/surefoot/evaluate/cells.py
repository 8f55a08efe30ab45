"""Fills cells: one candidate on one data set, example by example, kept for the next run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import Dataset, Examples
from surefoot.core.evidence import Cell
from surefoot.core.model import Candidate
from surefoot.core.progress import Progress, Silent
from surefoot.data import fingerprint
from surefoot.models import open_model
from surefoot.store import Store

SCORES = "scores.npy"
THREADS = 1
"""Of a runtime that fills a cell: what it holds does not depend on how many are filled at once."""
ASKED_AGAIN = 500
"""Rows of each data set that the baseline is asked twice, at most."""
KNOWS = 0.1
"""How far from chance to certainty a baseline has to be."""


def fill_cells(
    candidate: Candidate,
    sets: Mapping[str, Examples],
    store: Store,
    *,
    batch: int = 32,
    progress: Progress | None = None,
    golden: bool = True,
) -> tuple[Cell, ...]:
    """Measure one candidate on data sets, here; what the store holds is not done again.

    Args:
        candidate: The candidate.
        sets: The data sets by name.
        store: Where cells are kept.
        batch: Rows per call.
        progress: Told of every row.
        golden: Whether the model must give its golden answers.

    Returns:
        A cell per data set, in their order.

    Raises:
        ModelError: The model cannot be run, or gives a non-finite score.
    """
    keys = {name: cell_key(candidate, dataset, batch) for name, dataset in sets.items()}
    found: dict[str, Any] = {
        name: store.kept("cells", key, read_scores) for name, key in keys.items()
    }
    missing = [name for name, scores in found.items() if scores is None]
    if missing:
        watch = progress or Silent()
        with open_model(
            candidate.model, runtime=candidate.runtime, threads=THREADS, golden=golden
        ) as predict:
            for name in missing:
                watch.start(f"{candidate.name} on {name}", len(sets[name]))
                scores = predict(sets[name].inputs, batch=batch, progress=watch)
                found[name] = read_scores(
                    store.make("cells", keys[name], partial(write_scores, scores))
                )
    return tuple(cell(candidate.name, sets[name], found[name]) for name in keys)


def cell_key(candidate: Candidate, dataset: Examples, batch: int) -> Mapping[str, Any]:
    """What a cell depends on; slices are not among it, since they only mask it."""
    return {
        "model": candidate.model.fingerprint,
        "runtime": plugins.stamped("runtime", candidate.runtime),
        "rows": dataset.fingerprint or fingerprint(cast("Dataset", dataset)),
        "batch": batch,
    }


def write_scores(scores: np.ndarray, folder: Path) -> None:
    """Write what `read_scores` reads."""
    np.save(folder / SCORES, scores, allow_pickle=False)


def read_scores(folder: Path) -> np.ndarray:
    """The probabilities of a finished cell."""
    return np.asarray(np.load(folder / SCORES, allow_pickle=False))


def cell(candidate: str, dataset: Examples, scores: np.ndarray) -> Cell:
    """The cell of a candidate's scores.

    Args:
        candidate: The candidate's name.
        dataset: The rows, in the order of `scores`.
        scores: (n, classes) probabilities.
    """
    return Cell(
        candidate=candidate,
        dataset=dataset.name,
        shift=dataset.shift,
        severity=dataset.severity,
        ids=dataset.ids,
        labels=dataset.labels,
        predicted=scores.argmax(axis=1),
        scores=scores,
    )


def hollow(cells: Sequence[Cell], baseline: str) -> tuple[str, ...]:
    """A warning for each data set on which the baseline knows next to nothing.

    Its tokenizer, its classes or its scaling are not those it was trained with, most likely, and
    then a candidate that keeps up with it proves nothing. Classes count alike: on rows of one
    class mostly, a sound model may well be right less often than one constant answer.
    """
    found = []
    for one in cells:
        if one.candidate != baseline or one.shift or len(np.unique(one.labels)) < 2:
            continue
        rows = np.bincount(one.labels)
        right = np.bincount(one.labels[one.predicted == one.labels], minlength=len(rows))
        recall = float((right[rows > 0] / rows[rows > 0]).mean())
        chance = 1 / int((rows > 0).sum())
        if recall < chance + KNOWS * (1 - chance):
            found.append(
                f"the baseline is right on {recall:.1%} of the rows of a class of {one.dataset},"
                f" on average, where one constant answer reaches {chance:.1%}:"
                " are its tokenizer and the order of its classes right?"
            )
    return tuple(found)
