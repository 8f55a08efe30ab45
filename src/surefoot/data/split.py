"""Shares rows out, so that a row stays where it is whatever is added to the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.data.fingerprint import fingerprint, row_hashes


def split(dataset: Dataset, *, shares: Mapping[str, float], seed: int) -> dict[str, Dataset]:
    """Share the rows of a data set out by a hash of their group, or of their id without groups.

    Rows of one group stay together, and adding or removing rows moves no other row. The shares
    hold in expectation: with few rows or large groups a part can be smaller, even empty.

    Args:
        dataset: What to split.
        shares: Part name to its share; the shares are positive and sum to 1.
        seed: Other seeds give independent splits.

    Returns:
        Part name to its data set, which has that name; rows keep their order.

    Raises:
        DataError: The shares are not positive, or do not sum to 1.
    """
    sizes = np.array(list(shares.values()), dtype=np.float64)
    if not (sizes > 0).all() or abs(sizes.sum() - 1) > 1e-9:
        given = ", ".join(f"{name} = {share:g}" for name, share in shares.items()) or "none"
        raise DataError(
            f"cannot split by these shares: {given}",
            where=dataset.name,
            fix="give positive shares that sum to 1",
        )
    keys = dataset.ids if dataset.groups is None else dataset.groups
    position = row_hashes(keys, salt=f"{seed}:") / 2.0**64
    part = np.searchsorted(np.cumsum(sizes)[:-1], position, side="right")
    found = {name: dataset.rows(part == i, name=name) for i, name in enumerate(shares)}
    return {name: replace(rows, fingerprint=fingerprint(rows)) for name, rows in found.items()}
