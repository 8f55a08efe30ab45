"""Rows of a file with one JSON object per line."""

from __future__ import annotations

from surefoot.core.dataset import Dataset
from surefoot.data.columns import literal, literal_path
from surefoot.data.sources._common import (
    Roles,
    Table,
    connect,
    existing,
    explained,
    read_rows,
    types_of,
)


def jsonl(
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
    """Rows of a file with one JSON object per line.

    Args:
        path: The file.
        name: The name of the data set.
        text: The key of the inputs, if they are texts.
        columns: The keys of the inputs, if they are numbers.
        label: The key of the labels.
        id: The key of the ids; the hash of a row by default.
        group: The key of the groups whose rows are not independent.
        slices: Slice name to an SQL expression over the keys.
    """
    file = f"{literal_path(existing(path))}, format = 'newline_delimited'"
    roles = Roles(
        text=text, columns=columns or (), label=label, id=id, group=group, slices=slices or {}
    )
    repair = "each line must be one JSON object, in UTF-8"
    with connect() as connection:
        with explained(path, repair):
            # The whole file decides on the types, and many keys do not make it one MAP.
            sample = "sample_size = -1, map_inference_threshold = -1"
            types = types_of(connection, f"read_json({file}, {sample})")
        # A text that looks like a date or a number is still read as it was written.
        read_as = types | {column: "VARCHAR" for column in roles.texts() if column in types}
        listed = ", ".join(f"{literal(key)}: {literal(kind)}" for key, kind in read_as.items())
        scan = f"read_json({file}, columns = {{{listed}}})"
        table = Table(connection=connection, scan=scan, types=types, where=path, repair=repair)
        return read_rows(table, roles, name=name)
