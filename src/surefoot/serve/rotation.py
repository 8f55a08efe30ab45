"""The decision log as tables: finished segments become Parquet files, and labels find decisions.

    python -m surefoot.serve.rotation FOLDER

turns what no process writes any more into Parquet. It is a process of its own, so that no worker
loads what that takes, and whatever ends it half way, the next one finishes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot import stats
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.serving import Decided, Tally
from surefoot.data.columns import write_parquet
from surefoot.data.tables import literal
from surefoot.serve.decisions import KEY
from surefoot.serve.segments import SUFFIX, taken
from surefoot.store import whole_file

if TYPE_CHECKING:
    import duckdb

TEXT = np.dtypes.StringDType()
LEVEL = 0.95
"""Of intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """A line of a segment of decisions; without an id it says how many are missing there."""

    id: str
    time: float
    request: str = ""
    route: str = ""
    label: str = ""
    confidence: float | None = None  # as JSON writes NaN: an endpoint need not tell its own
    promise: str = ""
    epoch: int = 0
    model: str = ""
    input: str | list[Any] = ""
    ms: float = 0.0
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """A line of a segment of labels."""

    id: str
    label: str
    time: float


KINDS: Mapping[str, type[_Decision | _Label]] = {"decisions": _Decision, "labels": _Label}
"""What segments and tables are called, and a line of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation did."""

    segments: int
    """Segments that became tables."""
    lines: int
    """Lines in them."""
    half: int
    """Lines that could not be read, as a killed process leaves one at the end."""


def rotate(folder: Path) -> Rotated:
    """Turn finished segments into Parquet files of the same name.

    Args:
        folder: Of a decision log.

    Returns:
        What became of it; nothing where another rotation is under way.

    Raises:
        BundleError: The disk is full, or a table cannot be written.
        OSError: There is no such folder; or a segment cannot be read, after all others were.
    """
    done, lines, half = 0, 0, 0
    failed: OSError | None = None
    with _alone(folder) as alone:
        for segment in _segments(folder) if alone else ():
            try:
                with taken(segment) as free:
                    if not free:
                        continue
                    found, bad = _rotated(segment)
            except OSError as error:
                error.filename = error.filename or str(segment)
                failed = error
            else:
                done, lines, half = done + 1, lines + found, half + bad
    if failed is not None:
        raise failed
    return Rotated(segments=done, lines=lines, half=half)


def _rotated(segment: Path) -> tuple[int, int]:
    """Put a table in the place of a segment; its lines, and how many could not be read."""
    table = segment.with_suffix(".parquet")
    lines, bad = 0, 0
    if not table.exists():
        found, bad = _read_segment(segment)
        lines = len(found)
        if found:
            with whole_file(table) as part:
                write_parquet(part, _columns(_kind(segment), found))
                part.chmod(0o600)
    segment.unlink()
    return lines, bad


def read_decisions(folder: Path) -> dict[str, np.ndarray]:
    """Every decision of a log in the order of their ids, and what turned out to be true of it.

    Args:
        folder: Of the log; services may be writing to it.

    Returns:
        Columns as lines of the log have them, with NaN for a confidence that was not told; and
        `truth`, empty where no label came.

    Raises:
        BundleError: There is no decision log, or it cannot be read.
    """
    with _opened(folder) as connection:
        names = ", ".join(f.name for f in fields(_Decision) if f.name != "dropped")
        found = connection.execute(f"SELECT {names}, truth FROM joined ORDER BY id").fetchnumpy()
    return {name: _values(column) for name, column in found.items()}


def _values(column: np.ndarray) -> np.ndarray:
    """A column that was fetched; DuckDB has NULL for NaN, which numpy reads as masked."""
    if column.dtype.kind == "f":
        return np.ma.filled(column, np.nan)
    return np.asarray(column).astype(TEXT) if column.dtype == object else np.asarray(column)


def tallied(folder: Path) -> Decided:
    """What a decision log holds, in counts.

    Args:
        folder: Of the log; services may be writing to it.

    Raises:
        BundleError: There is no decision log, or it cannot be read.
    """
    with _opened(folder) as connection:
        answered = connection.execute(
            "SELECT model, route, promise, count(*), count(*) FILTER (truth <> ''),"
            " count(*) FILTER (truth <> '' AND truth = label) FROM joined"
            " GROUP BY ALL ORDER BY model, route, promise"
        ).fetchall()
        (counts,) = connection.execute(
            "SELECT (SELECT coalesce(sum(dropped), 0) FROM decisions),"
            " (SELECT count(*) FROM labels),"
            " (SELECT count(*) FROM labels ANTI JOIN joined USING (id)),"
            " (SELECT count(*) - count(DISTINCT id) FROM labels),"
            " (SELECT min(time) FROM joined), (SELECT max(time) FROM joined)"
        ).fetchall()
    dropped, labels, unknown, again, first, last = counts
    return Decided(
        answers=tuple(_answered(*row) for row in answered),
        dropped=int(dropped),
        labels=labels,
        unknown=unknown,
        corrected=again,
        first=first,
        last=last,
    )


def _answered(  # size: one argument per column of the query
    model: str, route: str, promise: str, n: int, labelled: int, right: int
) -> Tally:
    accuracy = None
    if labelled:
        found = stats.proportion_interval(right, labelled, LEVEL)
        accuracy = found.estimate(level=LEVEL, method="Clopper-Pearson", n=labelled)
    return Tally(model=model, route=route, promise=promise, n=n, accuracy=accuracy)


@contextmanager
def _opened(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables `decisions`, `labels` and `joined`."""
    import duckdb

    if not (folder / KEY).exists() and not any(_files(folder, kind) for kind in KINDS):
        raise BundleError(
            "holds no decisions", where=str(folder), fix="give the folder that `log` names"
        )
    try:
        with TemporaryDirectory() as scratch, duckdb.connect() as connection:
            for kind in KINDS:
                # A rotation may take a segment away between two looks; its table is there then.
                files = _tables(folder, kind, Path(scratch)) or [_nothing(kind, Path(scratch))]
                listed = ", ".join(literal(file) for file in files)
                connection.execute(f"CREATE TABLE {kind} AS SELECT * FROM read_parquet([{listed}])")
            connection.execute(
                "CREATE VIEW joined AS SELECT d.*, coalesce(l.label, '') AS truth FROM decisions d"
                " LEFT JOIN (SELECT id, arg_max(label, time) AS label FROM labels GROUP BY id) l"
                " USING (id) WHERE d.id <> ''"
            )
            yield connection
    except (duckdb.Error, OSError) as error:
        raise BundleError(
            f"cannot be read: {str(error).splitlines()[0]}", where=str(folder)
        ) from error


def _tables(folder: Path, kind: str, scratch: Path) -> list[Path]:
    """A Parquet file for each segment: its own, or one of what it holds so far."""
    found: dict[str, Path] = {}
    for segment in _files(folder, kind):
        if segment.suffix == SUFFIX and not segment.with_suffix(".parquet").exists():
            copy = scratch / f"{segment.stem}.parquet"
            try:
                lines, _ = _read_segment(segment, growing=_growing(segment))
            except FileNotFoundError:
                continue  # a rotation has just put a table in its place
            if lines:
                write_parquet(copy, _columns(kind, lines))
                found[segment.stem] = copy
    return [*found.values(), *(f for f in _files(folder, kind) if f.suffix == ".parquet"
                               and f.stem not in found)]  # fmt: skip


def _nothing(kind: str, scratch: Path) -> Path:
    file = scratch / f"no-{kind}.parquet"
    write_parquet(file, _columns(kind, []))
    return file


def _growing(segment: Path) -> bool:
    with taken(segment) as free:
        return not free


def _read_segment(segment: Path, *, growing: bool = False) -> tuple[list[_Decision | _Label], int]:
    """The lines of a segment, and how many could not be read; of decisions they are missing."""
    import msgspec

    kind = _kind(segment)
    decoder = msgspec.json.Decoder(KINDS[kind])
    found: list[Any] = []
    bad = 0
    parts = segment.read_bytes().split(b"\n")
    last = parts.pop()
    if last and not growing:
        parts.append(last)
    for part in parts:
        try:
            found.append(decoder.decode(part))
        except (msgspec.DecodeError, UnicodeDecodeError):
            bad += 1
    if bad and kind == "decisions":
        at = found[-1].time if found else segment.stat().st_mtime
        found.append(_Decision(id="", time=at, dropped=bad))
    return found, bad


def _columns(kind: str, lines: Sequence[_Decision | _Label]) -> dict[str, np.ndarray]:
    columns = {}
    for one in fields(KINDS[kind]):
        values = [getattr(line, one.name) for line in lines]
        if one.name == "input":
            values = [v if isinstance(v, str) else json.dumps(v) for v in values]
        types: Mapping[str, Any] = {
            "float": np.float64,
            "float | None": np.float64,  # in which numpy makes NaN of None
            "int": np.int64,
        }
        columns[one.name] = np.array(values, types.get(str(one.type), TEXT))
    return columns


def _kind(file: Path) -> str:
    return file.name.partition("-")[0]


def _files(folder: Path, kind: str) -> list[Path]:
    found = (file for file in folder.glob(f"{kind}-*") if file.suffix in (SUFFIX, ".parquet"))
    return sorted(file for file in found if file.is_symlink() or file.is_file())


def _segments(folder: Path) -> list[Path]:
    return [f for kind in KINDS for f in _files(folder, kind) if f.suffix == SUFFIX]


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process rotates this log."""
    file = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


def _main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__ or "")
        return 2
    try:
        done = rotate(Path(sys.argv[1]))
    except (SurefootError, OSError) as error:
        sys.stderr.write(f"surefoot: {error}\n")
        return 2
    sys.stdout.write(f"{done.segments} segments, {done.lines} lines, {done.half} half ones\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
