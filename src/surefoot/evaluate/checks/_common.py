"""What checks share: answers of models that may be silent, rows that changed, halves of rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from surefoot.core.checks import Checked
from surefoot.core.dataset import Dataset

TEXT = np.dtypes.StringDType()
NONE = -1
"""The answer of a row whose probabilities are not finite."""


def answers(scores: np.ndarray) -> np.ndarray:
    """(n,) the class with the highest score; `NONE` where a score is not finite."""
    finite = np.isfinite(scores).all(axis=1)
    return np.where(finite, np.where(finite[:, None], scores, 0).argmax(axis=1), NONE)


def changed(
    ids: np.ndarray, classes: tuple[str, ...], before: np.ndarray, after: Mapping[str, np.ndarray]
) -> Checked:
    """Rows whose answer is another one under some circumstance.

    Args:
        ids: (n,) the rows.
        classes: Class names.
        before: (n, classes) what was answered at first.
        after: By circumstance, (n, classes) what was answered then.
    """
    first, failed = answers(before), np.zeros(len(ids), dtype=bool)
    details, largest = [""] * len(ids), 0.0
    # Each circumstance is told, so that they can be counted apart.
    names = (*classes, "nothing finite")
    for how, scores in after.items():
        found = answers(scores)
        differs = found != first
        for row in np.flatnonzero(differs).tolist():
            so_far = details[row] or f"{names[first[row]]}, but"
            details[row] = f"{so_far}{',' if details[row] else ''} {names[found[row]]} {how}"
        failed |= differs
        largest = max(largest, furthest(before, scores))
    return Checked(ids=ids, failed=failed, details=tuple(details), largest=largest)


def furthest(before: np.ndarray, after: np.ndarray) -> float:
    """The largest change of a probability, over the rows that are finite both times."""
    difference = np.abs(after - before)
    return float(np.nanmax(np.where(np.isfinite(difference), difference, 0), initial=0))


def halves(dataset: Dataset, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the rows as positions, the groups of each whole: to choose on, to judge on.

    Args:
        dataset: The rows.
        rng: Which rows go where.
    """
    units = dataset.ids if dataset.groups is None else dataset.groups
    members, unit = np.unique(units, return_inverse=True)
    first = np.zeros(len(members), dtype=bool)
    first[rng.permutation(len(members))[: len(members) // 2]] = True
    return np.flatnonzero(first[unit]), np.flatnonzero(~first[unit])
