"""Rows of a data set that Hugging Face `datasets` saved on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.core.extras import require
from surefoot.data.sources._common import Table, existing, read_rows, roles
from surefoot.data.tables import connect, literal, quoted, types_of

if TYPE_CHECKING:
    import duckdb


def hf_dataset(
    *,
    path: str,
    name: str = "data",
    split: str | None = None,
    text: str | None = None,
    columns: list[str] | None = None,
    label: str,
    id: str | None = None,
    group: str | None = None,
    by: str | None = None,
    slices: dict[str, str] | None = None,
) -> Dataset:
    """Rows of a data set that Hugging Face `datasets` saved on disk with `save_to_disk`.

    Args:
        path: The folder.
        name: The name of the data set.
        split: Which split, where the folder holds several.
        text: The column of the inputs, if they are texts.
        columns: The columns of the inputs, if they are numbers.
        label: The column of the labels; a ClassLabel counts by its names.
        id: The column of the ids; the hash of a row by default.
        group: The column of the groups whose rows are not independent.
        by: The column whose values split a test set into one test set each.
        slices: Slice name to an SQL expression over the columns.
    """
    folder = _split_folder(existing(path, folder=True), split)
    arrow = _arrow_table(folder)
    named = roles(text=text, columns=columns, label=label, id=id, group=group, by=by, slices=slices)
    with connect() as connection:
        connection.register("arrow", arrow)
        scan = _with_class_names(connection, _json(folder / "dataset_info.json"))
        types = types_of(connection, scan)
        return read_rows(
            Table(connection=connection, scan=scan, types=types, where=str(folder)),
            named,
            name=name,
        )


def _split_folder(folder: Path, split: str | None) -> Path:
    if not (folder / "dataset_dict.json").is_file():
        if split is not None:
            raise DataError(
                "holds one data set, not several splits", where=str(folder), fix="leave 'split' out"
            )
        return folder
    splits = _json(folder / "dataset_dict.json").get("splits", [])
    if split is None:
        known = ", ".join(splits)
        raise DataError("holds several splits", where=str(folder), fix=f"set 'split' to: {known}")
    if split not in splits:
        raise DataError(f"no split '{split}'", where=str(folder), fix=nearest(split, splits))
    return folder / split


def _arrow_table(folder: Path) -> Any:
    """The rows of all Arrow files, mapped into memory rather than read."""
    pyarrow = require("pyarrow", extra="datasets", error=DataError)
    tables = []
    for entry in _json(folder / "state.json").get("_data_files", []):
        file = existing(str(folder / entry["filename"]))
        try:
            tables.append(pyarrow.ipc.open_stream(pyarrow.memory_map(str(file))).read_all())
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(f"is no complete Arrow stream: {reason}", where=str(file)) from error
    if not tables:
        raise DataError("state.json names no data files", where=str(folder))
    return pyarrow.concat_tables(tables)


def _with_class_names(connection: duckdb.DuckDBPyConnection, info: dict[str, Any]) -> str:
    """The relation with names in place of the numbers of ClassLabel columns; -1 is no label."""
    named = {
        column: feature["names"]
        for column, feature in (info.get("features") or {}).items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    selected = [
        f"[{', '.join(map(literal, named[column]))}][{quoted(column)} + 1] AS {quoted(column)}"
        if column in named
        else quoted(column)
        for column in types_of(connection, "arrow")
    ]
    return f"(SELECT {', '.join(selected)} FROM arrow)"


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DataError(
            f"no '{file.name}': not a folder that `datasets` saved",
            where=str(file.parent),
            fix="write it with save_to_disk",
        )
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"is not JSON: {error}", where=str(file)) from error
    return content
