"""Columns to and from table files, through DuckDB and numpy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surefoot.core.errors import DataError
from surefoot.data.tables import (
    TABLES,
    as_written,
    connect,
    literal,
    quoted,
    scan,
    typed,
    types_of,
)

if TYPE_CHECKING:
    import duckdb

TEXT = np.dtypes.StringDType()
BLOCK = 1 << 17
"""Rows that are held as Python objects at once."""


def write_parquet(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write equally long one-dimensional columns to a Parquet file.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    import duckdb

    rows = len(next(iter(columns.values())))
    with duckdb.connect() as connection:
        for start in range(0, max(rows, 1), BLOCK):
            # DuckDB takes text as Python objects only: a block of them at a time.
            block = {k: _plain(v[start : start + BLOCK]) for k, v in columns.items()}
            connection.register("block_", block)
            make = "INSERT INTO columns_" if start else "CREATE TEMP TABLE columns_ AS"
            connection.execute(f"{make} SELECT * FROM block_")
        try:
            connection.execute(
                f"COPY columns_ TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)"
            )
        except duckdb.IOException as error:
            raise _system_error(str(error), path) from error


def read_parquet(path: Path) -> dict[str, np.ndarray]:
    """All columns of a Parquet file that `write_parquet` wrote; text as numpy's StringDType.

    Raises:
        DataError: A value is missing that is no floating-point number, which then is NaN; or the
            file cannot be read.
    """
    import duckdb

    try:
        return _blocks(path)
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error


def _blocks(path: Path) -> dict[str, np.ndarray]:
    import duckdb

    file = scan("parquet", path)
    query = (
        f"SELECT * EXCLUDE file_row_number FROM {scan('parquet', path, 'file_row_number = true')}"
    )
    where = "WHERE file_row_number >= ? AND file_row_number < ? ORDER BY file_row_number"
    blocks: list[dict[str, np.ndarray]] = []
    with duckdb.connect() as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {file}").fetchall()
        for start in range(0, max(count[0], 1), BLOCK):
            found = connection.execute(f"{query} {where}", [start, start + BLOCK]).fetchnumpy()
            blocks.append({name: _compact(v, name, path) for name, v in found.items()})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(object) if values.dtype.kind == "T" else values


def _compact(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """The values of one column; DuckDB writes NaN as NULL, and reads NULL as masked."""
    if np.ma.is_masked(values):
        if values.dtype.kind != "f":
            raise DataError(f"column '{name}' lacks values", where=str(path))
        return np.ma.filled(values, np.nan)
    return values.astype(TEXT) if values.dtype == object else np.asarray(values)


def _system_error(said: str, path: Path) -> OSError:
    """What DuckDB could not write, with the number that the system gives such an error."""
    known = [code for code in errno.errorcode if os.strerror(code) in said]
    code = known[0] if known else errno.EIO
    return OSError(code, os.strerror(code) if known else said.splitlines()[0], str(path))


def describe(path: Path) -> dict[str, tuple[str, int, float]]:
    """Each column of a csv, jsonl or parquet file: its type, distinct values, mean length as text.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    with _opened(path) as (connection, use):
        table = typed(use, path)
        columns = types_of(connection, table)
        parts = [
            f"approx_count_distinct({q}), avg(length({q}::VARCHAR))" for q in map(quoted, columns)
        ]
        (row,) = connection.execute(f"SELECT {', '.join(parts)} FROM {table}").fetchall()
    return {
        name: (type_, row[2 * i], row[2 * i + 1] or 0.0)
        for i, (name, type_) in enumerate(columns.items())
    }


def distinct(path: Path, column: str) -> list[str]:
    """The sorted values of one column of a csv, jsonl or parquet file, as text; no empty cells."""
    name = quoted(column)
    with _opened(path) as (connection, use):
        found = connection.execute(
            f"SELECT DISTINCT {name}::VARCHAR FROM {as_written(use, path, [column])}"
            f" WHERE {name} IS NOT NULL ORDER BY 1"
        ).fetchall()
    return [value for (value,) in found]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection that can read the file, and the source for it."""
    import duckdb

    use = TABLES.get(path.suffix.lower())
    if use is None:
        raise DataError(
            f"cannot read '{path.suffix}' files", where=str(path), fix=f"known: {', '.join(TABLES)}"
        )
    try:
        with connect(path) as connection:
            yield connection, use
    except (duckdb.Error, OSError) as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
