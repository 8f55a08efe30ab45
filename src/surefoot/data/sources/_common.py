"""From a table that DuckDB can scan to a `Dataset`: what all sources share.

Text is fetched in blocks straight into numpy's StringDType, numbers into float32, so that millions
of rows are never Python objects all at once. Rows are counted from 1, without a header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.data.columns import TEXT
from surefoot.data.fingerprint import fingerprint
from surefoot.data.tables import quoted

if TYPE_CHECKING:
    import duckdb

INPUT_HASH = "surefoot: hash of the input"
"""The column in which a source of arrays hands over `row_hashes` of its inputs."""
BLOCK = 65536
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN")
_NO_TEXT = re.compile(r"(STRUCT|MAP|UNION|BLOB|BIT\b).*|.*\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which columns play which part."""

    label: str
    """The column of the labels."""
    text: str | None = None
    """The column of the inputs, if they are texts."""
    columns: Sequence[str] = ()
    """The columns of the inputs, if they are numbers."""
    id: str | None = None
    """The column of the ids; without it the hash of a row is its id."""
    group: str | None = None
    """The column of the groups."""
    by: str | None = None
    """The column whose values split a test set into parts."""
    slices: Mapping[str, str] = field(default_factory=dict)
    """Slice name to an SQL expression."""

    def texts(self) -> tuple[str, ...]:
        """The columns that are read as text, whatever type they look like."""
        found = (self.text, self.label, self.id, self.group, self.by)
        return tuple(dict.fromkeys(column for column in found if column))

    def read_types(self, types: Mapping[str, str]) -> dict[str, str]:
        """The types to read a file with: a text that looks like a date stays as it was written."""
        return dict(types) | {column: "VARCHAR" for column in self.texts() if column in types}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Something that DuckDB can scan."""

    connection: duckdb.DuckDBPyConnection
    """The connection that knows it."""
    scan: str
    """What stands after FROM; columns that play the part of texts may be VARCHAR in it."""
    types: Mapping[str, str]
    """Column name to the SQL type that slices see."""
    where: str
    """The file, for messages."""
    repair: str | None = None
    """What to do when the file cannot be parsed."""

    def run(self, query: str) -> list[tuple[Any, ...]]:
        """Every row that a query gives; an error of DuckDB is one about the file."""
        with explained(self.where, self.repair):
            return self.connection.execute(query).fetchall()

    def arrays(self, query: str) -> dict[str, np.ndarray]:
        """The columns that a query gives."""
        return self.connection.execute(query).fetchnumpy()


def roles(  # size: the options that sources of tables share
    *,
    label: str,
    text: str | None = None,
    columns: Sequence[str] | None = None,
    id: str | None = None,
    group: str | None = None,
    by: str | None = None,
    slices: Mapping[str, str] | None = None,
) -> Roles:
    """The roles that the options of a source name."""
    found = Roles(label=label, text=text, columns=columns or (), id=id, group=group, by=by)
    return replace(found, slices=slices or {})


@contextmanager
def explained(where: str, fix: str | None = None) -> Iterator[None]:
    """Turn an error of DuckDB into one line about the file."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise DataError(first_sentence(error), where=where, fix=fix) from error


def first_sentence(error: Exception) -> str:
    """DuckDB's message without its class, the query, the file's content and the settings."""
    text = re.sub(
        r"\nOriginal Line:.*?(?=\n(Expected|Invalid|Value|Error|Possible)|\Z)",
        "",
        str(error),
        flags=re.DOTALL,
    )
    text = re.split(r"\n\n|\n?Possible |\nCandidate |\nThis can happen", text)[0]
    text = re.sub(r"^[\w ]+ Error: ", "", text)
    return " ".join(text.split())[:300].rstrip(". ")


def existing(path: str, *, folder: bool = False) -> Path:
    """The path of a file or folder that is there.

    Raises:
        DataError: It is not, and the message names the nearest one that is; or it is empty.
    """
    kind = "folder" if folder else "file"
    found = Path(path).expanduser()
    if found.is_dir() if folder else found.is_file():
        if not folder and not found.stat().st_size:
            raise DataError("is an empty file", where=path)
        return found
    if found.exists():
        raise DataError(f"is not a {kind}", where=path)
    if not found.parent.is_dir():
        raise DataError(f"no such {kind}", where=path, fix=f"'{found.parent}' is no folder either")
    beside = [file.name for file in found.parent.iterdir() if not file.name.startswith(".")]
    raise DataError(f"no such {kind}", where=path, fix=nearest(found.name, beside))


def read_rows(
    table: Table, roles: Roles, *, name: str, inputs: np.ndarray | None = None
) -> Dataset:
    """Read, check and name the rows of a table.

    Args:
        table: The table.
        roles: What its columns mean.
        name: The name of the data set.
        inputs: The inputs, where they do not stand in the table; then a column `INPUT_HASH` does.

    Raises:
        DataError: No rows, a missing column, a missing or non-finite value, a duplicate id, or a
            slice that SQL refuses.
    """
    _check_columns(table, roles)
    _view(table, roles)
    _check_slices(table, roles.slices)
    _stage(table, roles, [quoted(INPUT_HASH)] if inputs is not None else [])
    ((rows,),) = table.run("SELECT count(*) FROM staged")
    if not rows:
        raise DataError("has no rows", where=table.where)
    _require_values(table, roles)
    if inputs is None:
        inputs = _text(table, "text", rows) if roles.text else _numbers(table, roles, rows)
    classes, labels = _labels(table)
    dataset = Dataset(
        name=name,
        ids=_ids(table, roles, rows),
        inputs=inputs,
        labels=labels,
        classes=classes,
        slices={
            key: table.arrays(f"SELECT s{index} AS s FROM staged ORDER BY rowid")["s"]
            for index, key in enumerate(roles.slices)
        },
        groups=_text(table, "groups", rows) if roles.group else None,
        parts=_text(table, "part", rows) if roles.by else None,
    )
    return replace(dataset, fingerprint=fingerprint(dataset))


def require_finite(numbers: np.ndarray, *, where: str, column: Callable[[int, int], str]) -> None:
    """Refuse numbers that no model can take.

    Args:
        numbers: (n, d) float32.
        where: The file, for messages.
        column: What to call a cell, given its row and column.

    Raises:
        DataError: NaN, infinite, or too large for float32; names the first row and column.
    """
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, position = (int(index) for index in bad[0])
        others = f" ({len(bad)} such cells in all)" if len(bad) > 1 else ""
        raise DataError(
            f"row {row + 1}, {column(row, position)}, not a finite number{others}",
            where=where,
            fix="fill the cell in or remove the row",
        )


def _check_columns(table: Table, roles: Roles) -> None:
    inputs = (roles.text is not None) + bool(roles.columns) + (INPUT_HASH in table.types)
    if inputs != 1:
        given = "both 'text' and 'columns' are" if inputs else "neither 'text' nor 'columns' is"
        raise DataError(f"{given} given", where=table.where, fix="give one of the two")
    for column in (*roles.texts(), *roles.columns):
        kind = table.types.get(column)
        if kind is None:
            raise DataError(
                f"no column '{column}'", where=table.where, fix=nearest(column, table.types)
            )
        numeric = column in roles.columns
        if _NO_TEXT.fullmatch(kind) or (
            numeric and not (_NUMBERS.fullmatch(kind) or kind in ("VARCHAR", "JSON"))
        ):
            wanted = "numbers" if numeric else "text"
            raise DataError(f"column '{column}' holds {kind[:60]}, not {wanted}", where=table.where)


def _view(table: Table, roles: Roles) -> None:
    """`typed`: the columns as slices see them, and beside them the texts as they were written."""
    texts = roles.texts()
    columns = [
        f"try_cast({quoted(name)} AS {kind}) AS {quoted(name)}" if name in texts else quoted(name)
        for name, kind in table.types.items()
    ]
    columns += [f"{quoted(name)}::VARCHAR AS {_raw(name)}" for name in texts]
    table.run(f"CREATE TEMP VIEW typed AS SELECT {', '.join(columns)} FROM {table.scan}")


def _raw(column: str) -> str:
    return quoted(f"surefoot: text of {column}")


def _check_slices(table: Table, slices: Mapping[str, str]) -> None:
    import duckdb

    first = quoted(next(iter(table.types)))  # beside a column, an aggregate is an error
    for name, expression in slices.items():
        query = f"DESCRIBE SELECT {first}, ({expression}\n) FROM typed"
        try:
            # On its own it is whole, so that it cannot end the query that it is put into.
            if len(table.connection.extract_statements(f"SELECT {expression}\n")) != 1:
                raise _broken_slice(table, name, expression, "is more than one statement")
            kinds = [kind for _, kind, *_ in table.connection.execute(query).fetchall()[1:]]
        except duckdb.Error as error:
            raise _broken_slice(table, name, expression, first_sentence(error)) from error
        if kinds != ["BOOLEAN"]:
            given = kinds[0] if len(kinds) == 1 else f"{len(kinds)} columns"
            raise _broken_slice(table, name, expression, f"gives {given}, not true or false")


def _broken_slice(table: Table, name: str, expression: str, reason: str) -> DataError:
    fix = f"correct the SQL expression: {expression}"
    return DataError(f"slice '{name}': {reason}", where=table.where, fix=fix)


def _stage(table: Table, roles: Roles, inputs: list[str]) -> None:
    """`staged`: the columns of the data set, in the order of the file."""
    import duckdb

    columns = {"label": _raw(roles.label)}
    if roles.text:
        columns["text"] = _raw(roles.text)
    if roles.group:
        columns["groups"] = _raw(roles.group)
    for index, column in enumerate(roles.columns):
        columns[f"x{index}"] = f"try_cast({quoted(column)} AS FLOAT)"
    content = [*inputs, *columns.values()]
    row_hash = f"substr(sha256(concat_ws(chr(31), {', '.join(content)})), 1, 16)"
    columns["id"] = _raw(roles.id) if roles.id else row_hash
    if roles.by:
        columns["part"] = f"coalesce({_raw(roles.by)}, '')"
    for index, expression in enumerate(roles.slices.values()):
        columns[f"s{index}"] = f"coalesce(({expression}\n), false)"
    listed = ", ".join(f"{value} AS {key}" for key, value in columns.items())
    try:
        query = f"CREATE TEMP TABLE staged AS SELECT {listed} FROM typed"
        table.connection.execute(query).fetchall()
    except duckdb.Error as error:
        _blame_slice(table, roles.slices)
        raise DataError(first_sentence(error), where=table.where, fix=table.repair) from error


def _blame_slice(table: Table, slices: Mapping[str, str]) -> None:
    """Find the slice that fails on some row, if the file itself can be read."""
    import duckdb

    try:
        table.connection.execute("CREATE TEMP TABLE parsed AS SELECT * FROM typed").fetchall()
    except duckdb.Error:
        return
    for name, expression in slices.items():
        query = f"SELECT count(*) FROM typed WHERE ({expression}\n)"
        try:
            table.connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise _broken_slice(table, name, expression, first_sentence(error)) from error


def _require_values(table: Table, roles: Roles) -> None:
    columns = {"label": roles.label, "text": roles.text, "id": roles.id, "groups": roles.group}
    for staged, column in columns.items():
        if column is None:
            continue
        ((count, first),) = table.run(
            f"SELECT count(*), min(rowid) FROM staged WHERE {staged} IS NULL"
        )
        if count:
            others = f" ({count} such rows in all)" if count > 1 else ""
            raise DataError(
                f"row {first + 1} has nothing in column '{column}'{others}",
                where=table.where,
                fix="fill the cell in or remove the row",
            )


def _labels(table: Table) -> tuple[tuple[str, ...], np.ndarray]:
    # An ENUM numbers its values in order: labels become numbers without leaving DuckDB.
    table.run("CREATE TYPE class AS ENUM (SELECT DISTINCT label FROM staged ORDER BY label)")
    classes = tuple(label for (label,) in table.run("SELECT unnest(enum_range(NULL::class))"))
    codes = table.arrays("SELECT enum_code(label::class) AS code FROM staged ORDER BY rowid")
    return classes, codes["code"].astype(np.int64)


def _ids(table: Table, roles: Roles, rows: int) -> np.ndarray:
    if roles.id is None:
        return numbered(_text(table, "id", rows))
    repeated = table.run(
        "SELECT id, count(*) FROM staged GROUP BY id HAVING count(*) > 1 ORDER BY min(rowid)"
    )
    if repeated:
        value, count = repeated[0]
        others = f"; {len(repeated) - 1} more ids stand on several rows" if repeated[1:] else ""
        raise DataError(
            f"id '{value}' stands on {count} rows{others}",
            where=table.where,
            fix=f"make column '{roles.id}' unique, or leave 'id' out to name rows by their content",
        )
    return _text(table, "id", rows)


def numbered(ids: np.ndarray) -> np.ndarray:
    """The ids with -1, -2, ... after the second, third, ... of equal ones."""
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    start = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    rank = np.arange(len(ids)) - np.repeat(start, np.diff(np.r_[start, len(ids)]))
    again = np.flatnonzero(rank)
    result = ids.copy()
    result[order[again]] = ranked[again] + np.array("-", TEXT) + rank[again].astype(TEXT)
    return result


def _blocks(table: Table, columns: str, rows: int) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    for start in range(0, rows, BLOCK):
        part = slice(start, start + BLOCK)
        query = f"SELECT {columns} FROM staged WHERE rowid >= {part.start} AND rowid < {part.stop}"
        yield part, table.arrays(f"{query} ORDER BY rowid")


def _text(table: Table, column: str, rows: int) -> np.ndarray:
    texts = np.empty(rows, dtype=TEXT)
    for part, block in _blocks(table, column, rows):
        texts[part] = block[column]
    return texts


def _numbers(table: Table, roles: Roles, rows: int) -> np.ndarray:
    numbers = np.empty((rows, len(roles.columns)), dtype=np.float32)
    names = [f"x{index}" for index in range(len(roles.columns))]
    for part, block in _blocks(table, ", ".join(names), rows):
        for index, name in enumerate(names):
            numbers[part, index] = np.ma.filled(block[name], np.nan)

    def cell(row: int, position: int) -> str:
        name = roles.columns[position]
        query = f"SELECT {quoted(name)}::VARCHAR FROM typed LIMIT 1 OFFSET {row}"
        ((value,),) = table.run(query)
        return f"column '{name}': {'empty' if value is None else repr(value)}"

    require_finite(numbers, where=table.where, column=cell)
    return numbers
