"""Reads what some model once said of some rows: a file of scores, or of answers, by row id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surefoot.core.errors import DataError, nearest
from surefoot.data.tables import as_written, columns_of, connect, quoted, table_use

if TYPE_CHECKING:
    import duckdb

SLACK = 0.05
"""How far the scores of a row may be from a sum of 1: what rounding does to a few of them."""
ANSWER = "predicted"
"""The column of a file that holds one answer a row, and no scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Probabilities of rows, as a file gave them."""

    path: Path
    """The file."""
    places: Mapping[str, int]
    """The position of each row id in `values`."""
    values: np.ndarray
    """(n, classes) float32; each row sums to 1."""

    def known(self, ids: np.ndarray) -> np.ndarray:
        """(n,) bool: which ids the file has."""
        return np.fromiter((name in self.places for name in ids.tolist()), bool, len(ids))

    def of(self, ids: np.ndarray) -> np.ndarray:
        """(n, classes) float32: the probabilities of the rows with these ids, in their order.

        Raises:
            DataError: The file lacks some of them; names the first.
        """
        lacking = ~self.known(ids)
        if lacking.any():
            raise DataError(
                f"has no scores for {int(lacking.sum()):,} of {len(ids):,} rows, the first is"
                f" id '{ids[lacking.argmax()]}'",
                where=str(self.path),
                fix="give every row one; without an id column in the plan, ids are hashes of rows",
            )
        found: np.ndarray = self.values[[self.places[name] for name in ids.tolist()]]
        return found


def read_scores(path: Path, classes: Sequence[str]) -> Scores:
    """Read a file of scores: a column `id`, and a column per class or one named `predicted`.

    Probabilities stand in columns named as the classes, in any order; other columns are left alone.
    A file that has none of them but `predicted` holds answers, which are taken as certain.

    Args:
        path: A csv, jsonl or parquet file.
        classes: The classes, in the order that the columns of the result are to have.

    Raises:
        DataError: A missing column, id or score; an id given twice; an unknown class; scores that
            are no probabilities.
    """
    import duckdb

    use = table_use(path, "scores")
    try:
        with connect(path) as connection:
            there = columns_of(connection, use, path, ["id"])
            answers = ANSWER in there and not set(classes) & set(there)
            columns = [ANSWER] if answers else list(classes)
            columns_of(connection, use, path, columns)
            _stage(connection, use, path, columns)
            ids = _ids(connection, path)
            read = _certain if answers else _probabilities
            values = read(connection, path, classes, ids)
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
    return Scores(path=path, places={name: i for i, name in enumerate(ids)}, values=values)


def _stage(
    connection: duckdb.DuckDBPyConnection, use: str, path: Path, columns: Sequence[str]
) -> None:
    """`staged`: the id and these columns as text, in the order of the file."""
    named = ", ".join(f"CAST({quoted(c)} AS VARCHAR) AS c{i}" for i, c in enumerate(columns))
    source = as_written(use, path, ["id", *columns])
    connection.execute(
        f"CREATE TEMP TABLE staged AS SELECT CAST(id AS VARCHAR) AS id, {named} FROM {source}"
    )


def _ids(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    ids = [
        name for (name,) in connection.execute("SELECT id FROM staged ORDER BY rowid").fetchall()
    ]
    if not ids:
        raise DataError("has no rows", where=str(path))
    if None in ids:
        raise DataError(f"row {ids.index(None) + 1} has no id", where=str(path))
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"id '{twice}' is given twice", where=str(path), fix="ids must be unique")
    return ids


def _certain(
    connection: duckdb.DuckDBPyConnection, path: Path, classes: Sequence[str], ids: Sequence[str]
) -> np.ndarray:
    """Answers as probabilities of 1."""
    found = connection.execute("SELECT c0 FROM staged ORDER BY rowid").fetchall()
    places = {name: place for place, name in enumerate(classes)}
    for (answer,), row in zip(found, ids, strict=True):
        if answer not in places:
            what = "has no answer" if answer is None else f"is answered '{answer}', no class"
            fix = None if answer is None else nearest(answer, classes)
            raise DataError(f"id '{row}' {what}", where=str(path), fix=fix)
    values = np.zeros((len(ids), len(classes)), np.float32)
    values[np.arange(len(ids)), [places[answer] for (answer,) in found]] = 1
    return values


def _probabilities(
    connection: duckdb.DuckDBPyConnection, path: Path, classes: Sequence[str], ids: Sequence[str]
) -> np.ndarray:
    casts = ", ".join(f"TRY_CAST(c{i} AS DOUBLE) AS c{i}" for i in range(len(classes)))
    columns = connection.execute(f"SELECT {casts} FROM staged ORDER BY rowid").fetchnumpy()
    values = np.column_stack([np.ma.filled(columns[f"c{i}"], np.nan) for i in range(len(classes))])
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, place = bad[0]
        raise DataError(
            f"id '{ids[row]}' has no finite score for class '{classes[place]}'", where=str(path)
        )
    total = values.sum(axis=1)
    off = (values < 0).any(axis=1) | (np.abs(total - 1) > SLACK)
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"the scores of {int(off.sum()):,} rows are no probabilities: those of id '{ids[row]}'"
            f" go from {values[row].min():.3g} to {values[row].max():.3g} and sum to"
            f" {total[row]:.3g}",
            where=str(path),
            fix="write the softmax of logits, shares of votes, and a column for every class",
        )
    found: np.ndarray = (values / total[:, None]).astype(np.float32)
    return found
