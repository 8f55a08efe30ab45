"""Rows of a file with one JSON object per line."""

from __future__ import annotations

from surefoot.core.dataset import Dataset
from surefoot.data.sources._common import Table, existing, explained, read_rows, roles
from surefoot.data.tables import connect, read_as, typed, types_of


def jsonl(
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
    """Rows of a file with one JSON object per line.

    Args:
        path: The file.
        name: The name of the data set.
        text: The key of the inputs, if they are texts.
        columns: The keys of the inputs, if they are numbers.
        label: The key of the labels.
        id: The key of the ids; the hash of a row by default.
        group: The key of the groups whose rows are not independent.
        by: The key whose values split a test set into one test set each.
        slices: Slice name to an SQL expression over the keys.
    """
    file = existing(path)
    named = roles(text=text, columns=columns, label=label, id=id, group=group, by=by, slices=slices)
    repair = "each line must be one JSON object, in UTF-8"
    with connect(file) as connection:
        with explained(path, repair):
            types = types_of(connection, typed("jsonl", file))
        scan = read_as("jsonl", file, named.read_types(types))
        table = Table(connection=connection, scan=scan, types=types, where=path, repair=repair)
        return read_rows(table, named, name=name)
