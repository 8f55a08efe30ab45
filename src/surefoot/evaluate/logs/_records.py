"""What readers of logs share: records with their line numbers, values, columns."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import DataError, nearest
from surefoot.core.nested import from_json

Record = Mapping[str, Any]
HEAD = 65_536
"""So many bytes tell what a file is."""
LONGEST = 100_000_000
"""A first line that is longer is no record."""
_SHORT = 64
"""Characters of a text that is kept as it is; of a longer one its hash is."""
TEXT = np.dtypes.StringDType(na_object=None)
AGAIN = "write the log again with its evaluator"
"""What to do about a log that no evaluator writes."""
SINGLE = str | int | float
"""A text, a number, or true or false."""
_KINDS = {dict: "a table", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def head(path: Path) -> str:
    """The beginning of a file; empty where it is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(HEAD).decode("utf-8", errors="replace").lstrip("\ufeff")


def larger_is_better(said: Iterable[tuple[str, bool | None]], path: Path, fix: str) -> bool:
    """Which way is better, of everything that is averaged; larger where nobody says.

    Args:
        said: A name and its direction, None where it says none.
        path: The log.
        fix: What to do where they disagree.

    Raises:
        DataError: Larger is better for some and worse for others, so that no mean says anything.
    """
    ways = {True: "", False: ""}
    for name, way in said:
        if way is not None:
            ways[way] = ways[way] or name
    if ways[True] and ways[False]:
        raise DataError(
            f"larger is better for '{ways[True]}' and worse for '{ways[False]}'",
            where=str(path),
            fix=fix,
        )
    return not ways[False]


def first_record(path: Path) -> Record:
    """The record in the first line of a JSON-lines file; empty where there is none."""
    if not head(path).lstrip().startswith("{"):
        return {}
    with path.open("rb") as stream:
        try:
            found = from_json(stream.readline(LONGEST))
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}


def records(path: Path) -> Iterator[tuple[int, Record]]:
    """The records of a JSON-lines file, each with the number of its line.

    Raises:
        DataError: A line that is no JSON object, for example because the file was cut off.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            found = parsed(line, f"{path}:{number}")
            if not isinstance(found, dict):
                raise DataError("is no record", where=f"{path}:{number}")
            yield number, found


def whole(text: str | bytes, where: str) -> Record:
    """A JSON object.

    Raises:
        DataError: It is none.
    """
    found = parsed(text, where)
    if not isinstance(found, dict):
        raise DataError("is no JSON object", where=where)
    return found


def parsed(text: str | bytes, where: str) -> Any:
    """What a JSON text says.

    Raises:
        DataError: It is none.
    """
    try:
        return from_json(text)
    except ValueError as error:
        fix = "the file may have been cut off; write the log again"
        raise DataError(f"is no JSON: {error}", where=where, fix=fix) from error
    except RecursionError as error:
        fix = "no evaluator writes that; write the log again"
        raise DataError("is JSON that is nested too deeply", where=where, fix=fix) from error


def check_kinds(value: Any, shape: Any, where: str, name: str = "") -> None:
    """Refuse a value whose parts are of other kinds than readers count on.

    Args:
        value: What a log holds.
        shape: A type; `[shape]` for a list of such; or a table of what stands under its keys, where
            `*` is every key. What is missing or null fits.
        where: Where it stands, for messages.
        name: What it is called there.

    Raises:
        DataError: A part is of another kind.
    """
    kind = type(shape) if isinstance(shape, dict | list) else shape
    if not isinstance(value, kind):
        wanted = _KINDS.get(kind, "a number" if kind is int else "a text or a number")
        raise DataError(
            f"{name or 'a record'} is {_KINDS.get(type(value), 'a number')}, not {wanted}",
            where=where,
            fix=AGAIN,
        )
    for key, inner, part in _parts(value, shape):
        check_kinds(part, inner, where, f"{name}{key}".lstrip("."))


def _parts(value: Any, shape: Any) -> Iterator[tuple[str, Any, Any]]:
    """The name, the shape and the value of every part that has a shape."""
    if isinstance(shape, list):
        yield from ((f"[{place}]", shape[0], one) for place, one in enumerate(value))
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            known = value if key == "*" else {key: value.get(key)}
            yield from ((f".{k}", inner, one) for k, one in known.items() if one is not None)


def number(value: Any) -> float | None:
    """A value as a number: 1 and 0 for true and false; None for what is none."""
    if isinstance(value, str):
        value = _WORDS.get(value.lower(), value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):  # of an integer beyond any float
        return None
    return found if math.isfinite(found) else None


def word(value: Any) -> str | None:
    """A value as the text of a column; None for what is no single value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # Half a character, which JSON can hold and UTF-8 cannot, becomes a question mark.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, int | float) else None


def plain(value: Any) -> str:
    """Settings as one text that is equal exactly where they are."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def chosen(metric: str | None, known: Iterable[str], path: Path) -> str:
    """The metric that was asked for, or else the first.

    Raises:
        DataError: The log has none of that name, or none at all.
    """
    names = list(dict.fromkeys(known))
    if not names:
        raise DataError("no metric that every sample has a number for", where=str(path))
    if metric is not None and metric not in names:
        raise DataError(
            f"no metric '{metric}'",
            where=str(path),
            fix=f"{nearest(metric, names)} (this log has {', '.join(names)})",
        )
    return metric or names[0]


class Samples:
    """Collects the samples of a log, and says what is wrong with them at the end.

    Args:
        path: The log, for messages.
        columns: The columns that are wanted.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._known = path, dict.fromkeys(columns, False)
        self._others: set[str] = set()
        self._columns: dict[str, list[str | None]] = {name: [] for name in columns}
        self._ids: list[str] = []
        self._values: list[float] = []
        self._answers: list[str | None] = []
        self._prompts: list[str | None] = []
        self._same: dict[str, list[str | None]] = {}
        self._empty: list[str] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self,
        name: str,
        value: float | None,
        answer: str | None,
        prompt: str | None,
        same: Mapping[str, str | None],
        columns: Record,
    ) -> None:
        """One sample.

        Args:
            name: Its id.
            value: Its metric; None where it was not scored.
            answer: The answer.
            prompt: The prompt, or its hash.
            same: What must not differ between two logs.
            columns: What slices and groups may be made of.
        """
        if value is None:
            self._empty.append(name)
        self._ids.append(name)
        self._values.append(math.nan if value is None else value)
        self._answers.append(_digest(answer))
        self._prompts.append(_digest(prompt))
        for key, text in same.items():
            self._same.setdefault(key, []).append(_digest(text))
        self._others.update(columns)
        for key, found in self._columns.items():
            text = word(columns.get(key))
            self._known[key] |= text is not None
            found.append(text)

    def columns(self, metric: str) -> dict[str, Any]:
        """All of them, as the columns of a `Log`.

        Args:
            metric: What the values are of, for messages.

        Raises:
            DataError: No samples, some without a value, or a column that none of them has.
        """
        if not self._ids:
            raise DataError("no samples", where=str(self._path))
        if self._empty:
            raise DataError(
                f"{len(self._empty):,} of {len(self):,} samples have no number for '{metric}',"
                f" the first is '{self._empty[0]}'",
                where=str(self._path),
                fix="run them again: left out, they would make the comparison one of easy samples",
            )
        for column, known in self._known.items():
            if not known:
                fix = nearest(column, self._others)
                raise DataError(f"no column '{column}'", where=str(self._path), fix=fix)
        return {
            "ids": np.array(self._ids, TEXT),
            "values": np.array(self._values),
            "answers": _full(self._answers),
            "prompts": _full(self._prompts),
            "same": {key: np.array(found, TEXT) for key, found in self._same.items() if any(found)},
            "columns": {key: np.array(found, TEXT) for key, found in self._columns.items()},
        }


def _digest(text: str | None) -> str | None:
    """A text that is equal exactly where the long one is: nobody reads it, and it is small."""
    if text is None or (len(text) <= _SHORT and text.isascii()):
        return text
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def _full(words: Sequence[str | None]) -> np.ndarray | None:
    """A column that every sample has, or none."""
    return None if None in words else np.array(words, TEXT)
