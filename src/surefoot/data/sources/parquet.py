"""Rows of a Parquet file."""

from __future__ import annotations

from surefoot.core.dataset import Dataset
from surefoot.data.sources._common import Table, existing, explained, read_rows, roles
from surefoot.data.tables import connect, typed, types_of


def parquet(
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
    """Rows of a Parquet file.

    Args:
        path: The file.
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
    scan = typed("parquet", file)
    with connect(file) as connection:
        with explained(path, "is it a Parquet file, and complete?"):
            types = types_of(connection, scan)
        table = Table(connection=connection, scan=scan, types=types, where=path)
        return read_rows(table, named, name=name)
