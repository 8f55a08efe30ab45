"""Names data by its content: a whole data set, or each of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from surefoot.core.dataset import Dataset, Sketch
from surefoot.core.hashing import hash_arrays

SKETCHED = 256


def fingerprint(dataset: Dataset) -> str:
    """The SHA-256 of a data set's ids, inputs, labels and groups.

    Labels count by name: counting them into other classes, as `align` does, changes nothing. Slices
    are left out: they only mask rows, and a new one must not make old measurements void.
    """
    present = np.unique(dataset.labels)
    names = np.array([dataset.classes[index] for index in present], dtype=np.dtypes.StringDType())
    order = np.argsort(names)
    codes = np.argsort(order)[np.searchsorted(present, dataset.labels)]
    return hash_arrays(
        dataset.ids,
        dataset.inputs,
        names[order],
        codes,
        *(() if dataset.groups is None else (dataset.groups,)),
    )


def row_hashes(rows: np.ndarray, *, salt: str = "") -> np.ndarray:
    """A 64-bit hash of each row's content, the same on every machine.

    Two of a million different rows hash alike with probability 3e-8.

    Args:
        rows: (n,) StringDType, or (n, ...) numbers.
        salt: Other salts give unrelated hashes.

    Returns:
        (n,) uint64: the first 8 bytes of SHA-256.
    """
    digests = (hashlib.sha256(row).digest()[:8] for row in _salted(rows, salt.encode()))
    return np.fromiter((int.from_bytes(digest) for digest in digests), np.uint64, len(rows))


def sketch(rows: np.ndarray) -> Sketch:
    """A few hashes that tell how many rows two data sets share, without the rows.

    Source: Broder (1997), "On the resemblance and containment of documents".

    Args:
        rows: (n,) StringDType, or (n, ...) numbers.
    """
    hashes = np.unique(row_hashes(rows, salt="sketch"))
    smallest = tuple(f"{value:016x}" for value in hashes[:SKETCHED].tolist())
    return Sketch(rows=len(hashes), smallest=smallest)


def _salted(rows: np.ndarray, salt: bytes) -> Iterator[bytes]:
    if rows.dtype.kind == "T":
        return (salt + row.encode() for row in rows)
    # Adding zero turns -0.0 into 0.0, which is the same number but not the same bytes.
    return (salt + (row + row.dtype.type(0)).tobytes() for row in rows)
