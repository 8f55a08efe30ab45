"""Table files as DuckDB reads them: what stands in the file, whatever its folders are called."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from surefoot.core.errors import DataError, nearest

if TYPE_CHECKING:
    import duckdb

TABLES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""The data source that reads a table file, by its suffix."""
_READERS = {"csv": "read_csv", "jsonl": "read_json", "parquet": "read_parquet"}
_FORMS = {"csv": "", "jsonl": ", format = 'newline_delimited'", "parquet": ""}
_LONGEST_LINE = 100_000_000  # DuckDB's own limit is 2 MB: a book is longer
_TYPED = {
    # The whole file decides on the types, and many keys do not make it one MAP.
    "csv": "sample_size = -1",
    "jsonl": "sample_size = -1, map_inference_threshold = -1",
    "parquet": "",
}


@contextmanager
def connect(*files: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory; SQL of a plan reaches these files and no others, nor the network.

    Args:
        files: What may be read.
    """
    import duckdb

    # Where it may spill it may also read and write: so not the temporary folder of everybody.
    with tempfile.TemporaryDirectory(prefix="surefoot-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # no look at our Python variables
            "temp_directory": spill,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            known = connection.execute("SELECT * FROM duckdb_optimizers()").fetchall()
            if ("type_pushdown",) in known:
                # It moves try_cast into the csv reader, where it fails instead of giving NULL.
                connection.execute("SET disabled_optimizers = 'type_pushdown'").fetchall()
            # A name with a pattern is looked for under its escaped form.
            names = [name for f in files for name in (literal(f.absolute()), literal_path(f))]
            connection.execute(f"SET allowed_paths = [{', '.join(names)}]").fetchall()
            connection.execute("SET enable_external_access = false").fetchall()
            connection.execute("SET lock_configuration = true").fetchall()
            yield connection


def types_of(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The columns of a relation and their SQL types."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {name: kind for name, kind, *_ in rows}


def scan(use: str, path: Path, options: str = "") -> str:
    """What stands after FROM for one file.

    Args:
        use: `csv`, `jsonl` or `parquet`.
        path: The file; a folder that it lies in, called `label=x`, is no column.
        options: More arguments of DuckDB's reader.
    """
    more = f", {options}" if options else ""
    return f"{_READERS[use]}({literal_path(path)}, hive_partitioning = false{_FORMS[use]}{more})"


def typed(use: str, path: Path) -> str:
    """The file with the types that all of its rows allow."""
    if use != "csv":
        return scan(use, path, _TYPED[use])
    header, rules = csv_header(path)
    names = ", ".join(map(literal, header))
    return scan(use, path, f"{rules}, names = [{names}], {_TYPED[use]}")


def read_as(use: str, path: Path, types: Mapping[str, str]) -> str:
    """A csv or jsonl file with the types that are given: of a csv file all, in their order."""
    listed = ", ".join(f"{literal(key)}: {literal(kind)}" for key, kind in types.items())
    options = f"columns = {{{listed}}}"
    if use == "csv":
        _, rules = csv_header(path)
        options += f", {rules}, auto_detect = false, max_line_size = {_LONGEST_LINE}"
    return scan(use, path, options)


def as_written(use: str, path: Path, columns: Iterable[str]) -> str:
    """The file with these columns as text: 007 and 2026-01-01T00:00:00Z stay what they are.

    A Parquet file has types of its own, which are left to the caller to cast.
    """
    if use == "parquet":
        return scan(use, path)
    names = csv_header(path)[0] if use == "csv" else columns
    return read_as(use, path, dict.fromkeys(names, "VARCHAR"))


def columns_of(
    connection: duckdb.DuckDBPyConnection, use: str, path: Path, wanted: Sequence[str]
) -> list[str]:
    """The columns of a file, after making sure that the wanted ones are among them.

    Raises:
        DataError: A column is missing.
    """
    columns = csv_header(path)[0] if use == "csv" else [*types_of(connection, scan(use, path))]
    if use == "jsonl" and not {*wanted} <= {*columns}:
        # DuckDB looked at the first rows alone: a key may first stand further down.
        columns = [*types_of(connection, typed(use, path))]
    for column in wanted:
        if column not in columns:
            raise DataError(f"no column '{column}'", where=str(path), fix=nearest(column, columns))
    return columns


def table_use(path: Path, holds: str) -> str:
    """The data source that reads a file, after making sure that there is such a file.

    Raises:
        DataError: There is none, or it is of another kind.
    """
    if path.is_dir():
        raise DataError("is a folder", where=str(path), fix=f"name a file of {holds}")
    if not path.exists():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        fix = nearest(path.name, (p.name for p in beside))
        raise DataError("no such file", where=str(path), fix=fix)
    use = TABLES.get(path.suffix.lower())
    if use is None:
        known = f"known: {', '.join(TABLES)}"
        raise DataError(f"cannot read '{path.suffix}' files", where=str(path), fix=known)
    return use


def csv_header(path: Path) -> tuple[list[str], str]:
    """The names in the first line of a csv file, and DuckDB's options for what follows.

    DuckDB's own detection may take another line for the header, or a quote in a text for the rule.

    Raises:
        DataError: No header, one that is not in UTF-8, or a name that stands in it twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            line = stream.readline()
            delimiter = max(",;\t|", key=line.count)
            stream.seek(0)
            names = next(csv.reader(stream, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise DataError("is not in UTF-8", where=str(path), fix="save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"the first line is no header: {error}", where=str(path)) from error
    names = [name.strip() or f"column{index}" for index, name in enumerate(names)]
    if not names:
        raise DataError("is an empty file", where=str(path))
    seen: dict[str, str] = {}
    for column in names:
        if column.lower() in seen:
            raise DataError(
                f"the header has both '{seen[column.lower()]}' and '{column}'",
                where=str(path),
                fix="rename one: SQL tells columns apart by name, and not by upper and lower case",
            )
        seen[column.lower()] = column
    rules = "header = true, skip = 0, comment = '', quote = '\"', escape = '\"'"
    return names, f"{rules}, delim = {literal(delimiter)}"


def quoted(name: str) -> str:
    """A column name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path) -> str:
    """Text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def literal_path(path: Path) -> str:
    """A path as DuckDB's readers take it: * ? [ are part of the name, not a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path.absolute())))
