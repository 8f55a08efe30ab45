"""Rows of numpy arrays in one .npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.data.columns import TEXT
from surefoot.data.fingerprint import row_hashes
from surefoot.data.sources._common import (
    INPUT_HASH,
    Table,
    existing,
    read_rows,
    require_finite,
    roles,
)
from surefoot.data.tables import connect, types_of


def npz(
    *,
    path: str,
    name: str = "data",
    inputs: str,
    label: str,
    id: str | None = None,
    group: str | None = None,
    by: str | None = None,
    slices: dict[str, str] | None = None,
) -> Dataset:
    """Rows of numpy arrays in one .npz file; its one-dimensional arrays are the columns of slices.

    Args:
        path: The file.
        name: The name of the data set.
        inputs: The array of the inputs: (n,) texts, (n, d) numbers, or (n, height, width[,
            channels]) uint8 images.
        label: The array of the labels.
        id: The array of the ids; the hash of a row by default.
        group: The array of the groups whose rows are not independent.
        by: The array whose values split a test set into one test set each.
        slices: Slice name to an SQL expression over the arrays.
    """
    arrays = _arrays(existing(path), path)
    if inputs not in arrays:
        raise DataError(f"no array '{inputs}'", where=path, fix=nearest(inputs, arrays))
    found = _inputs(arrays[inputs], inputs, path)
    flat = {key: _column(value) for key, value in arrays.items() if value.ndim == 1}
    for key in (label, id, group, by):
        if key is not None:
            _check_length(arrays, key, inputs, path)
    flat = {key: value for key, value in flat.items() if len(value) == len(found)}
    named = roles(label=label, id=id, group=group, by=by, slices=slices)
    with connect() as connection:
        connection.register("arrays", flat | {INPUT_HASH: row_hashes(found)})
        types = types_of(connection, "arrays")
        table = Table(connection=connection, scan="arrays", types=types, where=path)
        return read_rows(table, named, name=name, inputs=found)


def _arrays(file: Path, path: str) -> dict[str, np.ndarray]:
    try:
        with file.open("rb") as stream:
            stored = np.load(stream)
            if isinstance(stored, np.lib.npyio.NpzFile):
                return {key: stored[key] for key in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"cannot be read: {str(error).partition('. ')[0]}",
            where=path,
            fix="write arrays of numbers or of fixed-width text with np.savez",
        ) from error
    raise DataError("holds one bare array", where=path, fix="write it with np.savez")


def _inputs(array: np.ndarray, key: str, path: str) -> np.ndarray:
    if array.ndim == 1 and array.dtype.kind == "U":
        return array.astype(TEXT)
    if array.ndim in (3, 4) and array.dtype == np.uint8:
        return array
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError(
            f"array '{key}' has the shape {array.shape} and the type {array.dtype}",
            where=path,
            fix="inputs are (n,) texts, (n, d) numbers or (n, height, width[, channels]) uint8",
        )
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float32)
    require_finite(numbers, where=path, column=lambda row, j: f"column {j + 1}: {array[row, j]}")
    return numbers


def _check_length(arrays: dict[str, np.ndarray], key: str, inputs: str, path: str) -> None:
    if key not in arrays:
        raise DataError(f"no array '{key}'", where=path, fix=nearest(key, arrays))
    rows = len(arrays[inputs])
    if arrays[key].shape != (rows,):
        raise DataError(
            f"array '{key}' has the shape {arrays[key].shape}, and '{inputs}' has {rows} rows",
            where=path,
        )


def _column(array: np.ndarray) -> np.ndarray:
    """The array as DuckDB takes it: it makes an ENUM of numpy's text, and refuses byte orders."""
    if array.dtype.kind in "US":
        return array.astype(np.str_).astype(object)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
