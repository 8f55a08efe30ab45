"""Fits data sets to one task: the same classes, no shared rows, nothing empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.data.fingerprint import row_hashes


def align(dataset: Dataset, classes: Sequence[str], *, where: str) -> Dataset:
    """The data set with its labels counted into the task's classes.

    Args:
        dataset: Any data set.
        classes: The classes of the task, in the order of the model's outputs.
        where: The key in the plan, for messages.

    Raises:
        DataError: A label that the task does not know.
    """
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    unknown = {
        name: int(n)
        for name, n in zip(dataset.classes, counts, strict=True)
        if n and name not in classes
    }
    if unknown:
        raise DataError(_unknown(unknown), where=where, fix=nearest(next(iter(unknown)), classes))
    position = {name: index for index, name in enumerate(classes)}
    lookup = np.array([position.get(name, -1) for name in dataset.classes], dtype=np.int64)
    return replace(dataset, labels=lookup[dataset.labels], classes=tuple(classes))


def overlap(train: Dataset, test: Dataset) -> np.ndarray:
    """Positions of the test rows whose input also stands in the training data, exactly.

    Inputs are compared by a 64-bit hash: of two times a million rows, one is named wrongly with
    probability 5e-8.
    """
    return np.flatnonzero(np.isin(row_hashes(test.inputs), row_hashes(train.inputs)))


def check(dataset: Dataset, where: str) -> None:
    """Refuse a data set on which nothing can be judged.

    Args:
        dataset: A test set.
        where: The key in the plan, for messages.

    Raises:
        DataError: No rows, rows of one class only, or an empty slice.
    """
    if not len(dataset):
        raise DataError(f"data set '{dataset.name}' has no rows", where=where)
    present = np.unique(dataset.labels)
    if len(present) == 1:
        raise DataError(
            f"only one class '{dataset.classes[present[0]]}' in the {len(dataset)} rows of "
            f"data set '{dataset.name}'",
            where=where,
            fix="a test set needs rows of at least two classes",
        )
    for name, mask in dataset.slices.items():
        if not mask.any():
            raise DataError(
                f"slice '{name}' is empty: its expression holds for none of the {len(dataset)} "
                f"rows of data set '{dataset.name}'",
                where=where,
                fix="correct the expression, or leave the slice out",
            )


def _unknown(unknown: dict[str, int]) -> str:
    label, rows = next(iter(unknown.items()))
    others = f"; {len(unknown) - 1} more labels are unknown" if len(unknown) > 1 else ""
    return f"label '{label}' ({rows} rows) is unknown to the task{others}"
