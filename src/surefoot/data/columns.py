"""Columns to and from table files, through DuckDB and numpy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import DataError

TABLES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""The data source that reads a table file, by its suffix."""
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
            raise OSError(str(error)) from error


def read_parquet(path: Path) -> dict[str, np.ndarray]:
    """All columns of a Parquet file that `write_parquet` wrote; text as numpy's StringDType."""
    import duckdb

    file = literal_path(path)
    query = f"SELECT * EXCLUDE file_row_number FROM read_parquet({file}, file_row_number = true)"
    where = "WHERE file_row_number >= ? AND file_row_number < ? ORDER BY file_row_number"
    blocks: list[dict[str, np.ndarray]] = []
    with duckdb.connect() as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM read_parquet({file})").fetchall()
        for start in range(0, max(count[0], 1), BLOCK):
            found = connection.execute(f"{query} {where}", [start, start + BLOCK])
            blocks.append({k: _compact(v) for k, v in found.fetchnumpy().items()})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(object) if values.dtype.kind == "T" else values


def _compact(values: np.ndarray) -> np.ndarray:
    return values.astype(TEXT) if values.dtype == object else np.asarray(values)


def describe(path: Path) -> dict[str, tuple[str, int, float]]:
    """Each column of a csv, jsonl or parquet file: its type, distinct values, mean length as text.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    columns = {name: type_ for name, type_, *_ in _query(path, "DESCRIBE SELECT * FROM {table}")}
    parts = [f"approx_count_distinct({q}), avg(length({q}::VARCHAR))" for q in map(quoted, columns)]
    (row,) = _query(path, f"SELECT {', '.join(parts)} FROM {{table}}")
    return {
        name: (type_, row[2 * i], row[2 * i + 1] or 0.0)
        for i, (name, type_) in enumerate(columns.items())
    }


def distinct(path: Path, column: str) -> list[str]:
    """The sorted values of one column of a csv, jsonl or parquet file, as text."""
    name = quoted(column)
    return [
        value
        for (value,) in _query(path, f"SELECT DISTINCT {name}::VARCHAR FROM {{table}} ORDER BY 1")
    ]


def quoted(name: str) -> str:
    """A column name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """Text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def literal_path(path: Path) -> str:
    """A path as DuckDB's readers take it: * ? [ are part of the name, not a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path)))


def _query(path: Path, query: str) -> list[tuple[Any, ...]]:
    import duckdb

    use = TABLES.get(path.suffix.lower())
    if use is None:
        raise DataError(
            f"cannot read '{path.suffix}' files", where=str(path), fix=f"known: {', '.join(TABLES)}"
        )
    reader = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}[use]
    table = f"{reader}({literal_path(path)})"
    try:
        with duckdb.connect() as connection:
            # Not str.format: a column may be called {id}.
            return connection.execute(query.replace("{table}", table)).fetchall()
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
