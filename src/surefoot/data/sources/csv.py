"""Rows of a text file with a header and separated columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.core.dataset import Dataset
from surefoot.data.sources._common import Table, existing, read_rows, roles
from surefoot.data.tables import connect, csv_header, read_as, typed, types_of

if TYPE_CHECKING:
    import duckdb


def csv(
    *,
    path: str,
    name: str = "data",
    text: str | None = None,
    columns: list[str] | None = None,
    label: str,
    id: str | None = None,
    group: str | None = None,
    by: str | None = None,
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
        by: The column whose values split a test set into one test set each.
        slices: Slice name to an SQL expression over the columns.
    """
    file = existing(path)
    named = roles(text=text, columns=columns, label=label, id=id, group=group, by=by, slices=slices)
    with connect(file) as connection:
        types = _types(connection, file)
        table = Table(
            connection=connection,
            scan=read_as("csv", file, named.read_types(types)),
            types=types,
            where=path,
            repair="write every row with the header's columns, quotes in a quoted cell doubled, "
            "one kind of line end, in UTF-8",
        )
        return read_rows(table, named, name=name)


def _types(connection: duckdb.DuckDBPyConnection, file: Path) -> dict[str, str]:
    """The types that the whole file allows; all text where the file has no regular form.

    The reading that follows then says which line is at fault.
    """
    import duckdb

    header, _ = csv_header(file)
    try:
        found = types_of(connection, typed("csv", file))
    except duckdb.Error:
        found = {}
    return found if [*found] == header else dict.fromkeys(header, "VARCHAR")
