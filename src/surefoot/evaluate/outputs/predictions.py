"""Pairs two files of predictions, for models that live elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.core.errors import DataError
from surefoot.core.evidence import ConfirmationEvidence, Evidence, Paired
from surefoot.data.tables import (
    as_written,
    columns_of,
    connect,
    literal,
    quoted,
    table_use,
    types_of,
)

if TYPE_CHECKING:
    import duckdb

Where = tuple[str | None, str, list[str]]
"""A slice's name, its condition, and the values of the condition."""
ENOUGH = 20
"""In so many rows some prediction is a known class, however bad the candidate."""
MOST_VALUES = 100
"""A slice column with more values than this is no slice column."""

# What happened to each row; every count and every slice is a query over it.
_ROWS = """
CREATE TEMP TABLE rows_ AS
SELECT b.label = b.predicted AS before, b.label = c.predicted AS after,
       b.predicted <> c.predicted AS changed {extra}
FROM base b JOIN candidate c ON b.id = c.id
"""
_COUNTS = """
SELECT count(*), count(*) FILTER (before AND NOT after), count(*) FILTER (after AND NOT before),
       count(*) FILTER (changed AND NOT before AND NOT after),
       count(*) FILTER (before), count(*) FILTER (after)
"""
_COLUMNS = """
SELECT after::DOUBLE - before::DOUBLE AS difference, after::DOUBLE AS values,
       dense_rank() OVER (ORDER BY cluster) AS groups,
       (CASE WHEN before AND NOT after THEN 1 WHEN after AND NOT before THEN 2
             WHEN changed AND NOT before THEN 3 ELSE 0 END)::TINYINT AS change
"""
# A word that is no label as it is written, but the row's label written in another way.
_RESPELT = """
SELECT count(*), min(id), min_by(label, id), min_by(word, id)
FROM (SELECT id, b.label, {word} AS word FROM {source})
WHERE word <> label
  AND (trim(lower(word), {blanks}) = trim(lower(label), {blanks})
       OR TRY_CAST(word AS DOUBLE) = TRY_CAST(label AS DOUBLE))
  AND word NOT IN (SELECT label FROM base)
"""
_BLANKS = literal(" \t\r\n\u00a0")


def compare_files(
    base: Path, candidate: Path, *, slices: Sequence[str] = (), group: str | None = None
) -> ConfirmationEvidence:
    """Pair two prediction files by id; the evidence holds all rows, then every slice.

    Args:
        base: Parquet, CSV or JSON-lines file with the columns id, label and predicted.
        candidate: The same for the candidate; its label column is optional.
        slices: Columns of `base`; a true/false column gives one slice, any other one per value.
        group: Column of `base` that names the cluster of a row.

    Raises:
        DataError: A file or column is missing, ids are given twice, or the files do not pair.
    """
    group_column = [group] if group else []
    with connect(base, candidate) as connection:
        _table(connection, "base", base, ["id", "predicted", "label", *group_column], slices)
        _table(connection, "candidate", candidate, ["id", "predicted"], ())
        _check_pairing(connection, base, candidate)
        _check_labels(connection, base, candidate)
        extra = [f", b.{quoted(column)} AS slice{i}" for i, column in enumerate(slices)]
        extra += [f", b.{quoted(column)} AS cluster" for column in group_column]
        connection.execute(_ROWS.format(extra="".join(extra)))
        places: list[Where] = [(None, "true", [])]
        for i, column in enumerate(slices):
            places += _slice(connection, i, column, base)
        paired = [_paired(connection, candidate.stem, base.stem, w, bool(group)) for w in places]
    names = (candidate.stem,)
    return ConfirmationEvidence(
        Evidence(baseline=base.stem, candidates=names, paired=tuple(paired))
    )


def _table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    path: Path,
    full: Sequence[str],
    slices: Sequence[str],
) -> None:
    """A table of one file, all columns as text: those that must be full, and those of slices."""
    import duckdb

    use = table_use(path, "predictions")
    try:
        columns = columns_of(connection, use, path, [*full, *slices])
        full = [*full, *(["label"] if name == "candidate" and "label" in columns else [])]
        wanted = list(dict.fromkeys([*full, *slices]))
        casts = (f"CAST({quoted(c)} AS VARCHAR) AS {quoted(c)}" for c in wanted)
        source = as_written(use, path, wanted)
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {', '.join(casts)} FROM {source}")
    except duckdb.Error as error:
        raise DataError(f"cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error
    _check_rows(connection, name, path, full)


def _check_rows(
    connection: duckdb.DuckDBPyConnection, name: str, path: Path, full: Sequence[str]
) -> None:
    for column in full:
        found = connection.execute(
            f"SELECT count(*), min(id) FROM {name} WHERE {quoted(column)} IS NULL"
        ).fetchone()
        if found and found[0]:
            first = f", the first at id '{found[1]}'" if found[1] else ""
            raise DataError(f"{found[0]:,} rows have no {column}{first}", where=str(path))
    twice = connection.execute(
        f"SELECT id, count(*) FROM {name} GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1"
    ).fetchone()
    if twice:
        raise DataError(
            f"id '{twice[0]}' is given {twice[1]} times", where=str(path), fix="ids must be unique"
        )
    if connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,):
        raise DataError("no rows", where=str(path))


def _check_pairing(connection: duckdb.DuckDBPyConnection, base: Path, candidate: Path) -> None:
    for here, there, path, other in (
        ("base", "candidate", base, candidate),
        ("candidate", "base", candidate, base),
    ):
        lonely = connection.execute(
            f"SELECT count(*), min(id) FROM {here} ANTI JOIN {there} USING (id)"
        ).fetchone()
        if lonely and lonely[0]:
            raise DataError(
                f"{lonely[0]:,} ids are not in {other}, the first is '{lonely[1]}'",
                where=str(path),
                fix="both files must hold the same rows",
            )


def _check_labels(connection: duckdb.DuckDBPyConnection, base: Path, candidate: Path) -> None:
    """Refuse labels and predictions that would be taken for others because of how they look."""
    labelled = "label" in types_of(connection, "candidate")
    joined = "base b JOIN candidate c USING (id)"
    for path, what, column, source in (
        (base, "predictions", "b.predicted", "base b"),
        *([(candidate, "labels", "c.label", joined)] if labelled else []),
        (candidate, "predictions", "c.predicted", joined),
    ):
        query = _RESPELT.format(word=column, source=source, blanks=_BLANKS)
        respelt = connection.execute(query).fetchone()
        if respelt and respelt[0]:
            count, row, label, word = respelt
            raise DataError(
                f"{count:,} {what} are labels of {base.name} written differently, the first at id "
                f"'{row}': '{word}' for '{label}'",
                where=str(path),
                fix="write labels and predictions alike",
            )
    _check_known(connection, base, candidate)
    if not labelled:
        return
    differs = connection.execute(
        "SELECT count(*), min(id) FROM base b JOIN candidate c USING (id) WHERE b.label <> c.label"
    ).fetchone()
    if differs and differs[0]:
        raise DataError(
            f"{differs[0]:,} labels differ from those of {base}, the first at id '{differs[1]}'",
            where=str(candidate),
        )


def _check_known(connection: duckdb.DuckDBPyConnection, base: Path, candidate: Path) -> None:
    """Refuse predictions of which none is a class that the base file knows."""
    found = connection.execute(
        "SELECT count(*), min(predicted), count(*) FILTER (WHERE predicted IN"
        " (SELECT label FROM base UNION SELECT predicted FROM base)) FROM candidate"
    ).fetchone()
    if found and found[0] >= ENOUGH and not found[2]:
        raise DataError(
            f"no prediction is a label or a prediction of {base.name}: the first is '{found[1]}'",
            where=str(candidate),
            fix="write the classes of both files alike",
        )


def _slice(
    connection: duckdb.DuckDBPyConnection, index: int, column: str, path: Path
) -> list[Where]:
    found = connection.execute(
        f"SELECT DISTINCT slice{index} FROM rows_ WHERE slice{index} IS NOT NULL ORDER BY 1"
        f" LIMIT {MOST_VALUES + 1}"
    ).fetchall()
    values = [value for (value,) in found]
    if len(values) > MOST_VALUES:
        raise DataError(
            f"column '{column}' has more than {MOST_VALUES} values, too many for slices",
            where=str(path),
        )
    if {value.lower() for value in values} <= {"true", "false"}:
        if "true" not in map(str.lower, values):
            raise DataError(f"slice '{column}' is empty", where=str(path))
        return [(column, f"lower(slice{index}) = 'true'", [])]
    return [(f"{column}={value}", f"slice{index} = ?", [value]) for value in values]


def _paired(
    connection: duckdb.DuckDBPyConnection, name: str, dataset: str, where: Where, clustered: bool
) -> Paired:
    label, condition, values = where
    row = connection.execute(f"{_COUNTS} FROM rows_ WHERE {condition}", values).fetchone()
    assert row is not None
    n, lost, won, other, before, after = row
    paired = Paired(
        candidate=name,
        dataset=dataset,
        slice=label,
        metric="accuracy",
        n=n,
        lost=lost,
        won=won,
        other=other,
        baseline=before / n,
        value=after / n,
        share=True,
    )
    if not clustered:
        return paired
    rows = connection.execute(f"{_COLUMNS} FROM rows_ WHERE {condition}", values).fetchnumpy()
    return replace(
        paired,
        difference=rows["difference"],
        values=rows["values"],
        groups=rows["groups"],
        change=rows["change"],
    )
