"""Rows of a text file with a header and separated columns."""

from __future__ import annotations

from csv import reader
from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.data.columns import literal, literal_path
from surefoot.data.sources._common import (
    Roles,
    Table,
    connect,
    existing,
    read_rows,
    types_of,
)

if TYPE_CHECKING:
    import duckdb

_FORMAT = "header = true, skip = 0, comment = '', quote = '\"', escape = '\"'"
_LONGEST_LINE = 100_000_000  # DuckDB's own limit is 2 MB: a book is longer


def csv(
    *,
    path: str,
    name: str = "data",
    text: str | None = None,
    columns: list[str] | None = None,
    label: str,
    id: str | None = None,
    group: str | None = None,
    slices: dict[str, str] | None = None,
) -> Dataset:
    """Rows of a csv file: a header, then columns between commas, semicolons, tabs or bars.

    Args:
        path: The file, in UTF-8.
        name: The name of the data set.
        text: The column of the inputs, if they are texts.
        columns: The columns of the inputs, if they are numbers.
        label: The column of the labels.
        id: The column of the ids; the hash of a row by default.
        group: The column of the groups whose rows are not independent.
        slices: Slice name to an SQL expression over the columns.
    """
    file = existing(path)
    header, delimiter = _header(file, path)
    roles = Roles(
        text=text, columns=columns or (), label=label, id=id, group=group, slices=slices or {}
    )
    common = f"{literal_path(file)}, {_FORMAT}, delim = {literal(delimiter)}"
    with connect() as connection:
        types = _types(connection, common, header)
        read_as = types | {column: "VARCHAR" for column in roles.texts() if column in types}
        listed = ", ".join(f"{literal(key)}: {literal(kind)}" for key, kind in read_as.items())
        table = Table(
            connection=connection,
            scan=f"read_csv({common}, auto_detect = false, max_line_size = {_LONGEST_LINE}, "
            f"columns = {{{listed}}})",
            types=types,
            where=path,
            repair="write every row with the header's columns, quotes in a quoted cell doubled, "
            "one kind of line end, in UTF-8",
        )
        return read_rows(table, roles, name=name)


def _header(file: Path, path: str) -> tuple[list[str], str]:
    """The names in the first line, and what separates them.

    DuckDB's own detection may take another line for the header, or a quote in a text for the rule.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            line = stream.readline()
            delimiter = max(",;\t|", key=line.count)
            stream.seek(0)
            names = next(reader(stream, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise DataError("is not in UTF-8", where=path, fix="save it as UTF-8") from error
    names = [name.strip() or f"column{index}" for index, name in enumerate(names)]
    if not names:
        raise DataError("is an empty file", where=path)
    seen: dict[str, str] = {}
    for column in names:
        if column.lower() in seen:
            raise DataError(
                f"the header has both '{seen[column.lower()]}' and '{column}'",
                where=path,
                fix="rename one: SQL tells columns apart by name, and not by upper and lower case",
            )
        seen[column.lower()] = column
    return names, delimiter


def _types(connection: duckdb.DuckDBPyConnection, common: str, header: list[str]) -> dict[str, str]:
    """The types that the whole file allows; all text where the file has no regular form.

    The reading that follows then says which line is at fault.
    """
    import duckdb

    plain = dict.fromkeys(header, "VARCHAR")
    try:
        found = types_of(connection, f"read_csv({common}, sample_size = -1)")
    except duckdb.Error:
        return plain
    return dict(zip(header, found.values(), strict=True)) if len(found) == len(header) else plain
