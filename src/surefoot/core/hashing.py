"""Content hashes: the names of stages, data sets and models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def hash_json(value: Any) -> str:
    """The SHA-256 of a JSON-able value, independent of the order of keys.

    Tuples hash as lists and paths as text, so that a value read back from a file hashes alike.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """The SHA-256 of arrays: their shapes, types and values, in order.

    Text arrays are hashed in blocks, so that no second copy of a large column is held.
    """
    digest = hashlib.sha256()
    for array in arrays:
        kind = "text" if array.dtype.kind in "TUO" else array.dtype.str
        digest.update(f"{kind}{array.shape}".encode())
        if kind == "text":
            for start in range(0, len(array), 65536):
                texts = [str(text) for text in array[start : start + 65536]]
                # The lengths tell ["ab", "c"] from ["a", "bc"], whatever the texts hold.
                digest.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
                digest.update("".join(texts).encode())
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """The SHA-256 of one file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot hash a {type(value).__name__}")
