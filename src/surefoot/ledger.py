"""Counts every use of confirmation data, because each look spends some of the error rate.

The ledger is an append-only file, one line a use, beside the plan: keep both under version control.
A set is known by a sketch of its rows: two that share a tenth of the smaller one's rows are one
and the same, whatever else was changed, and a new one starts from nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from surefoot.core.dataset import Sketch
from surefoot.core.errors import BundleError
from surefoot.core.evidence import Use
from surefoot.stats import spending

LEDGER = "surefoot-ledger.jsonl"
SAME = 0.1
"""A set that shares this share of the smaller one's rows is the same data."""

Sketches = Mapping[str, Sketch]
"""Name to `data.sketch` of each confirmation set."""


def record_use(file: Path, key: str, sets: Sketches) -> Use:
    """Note that confirmation sets are opened for a verdict, unless this very run is noted already.

    Args:
        file: The ledger; made where there is none.
        key: The hash of everything that the verdict depends on: a run that resumes, or repeats an
            earlier one, asks nothing new.
        sets: The confirmation sets.

    Returns:
        Which use it is, and what it may spend. It counts as one more than the most often used of
        the sets was used before, so that no set ever spends more than all of alpha.

    Raises:
        BundleError: The ledger cannot be read or written.
    """
    try:
        with file.open("a+", encoding="utf-8", errors="surrogateescape") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            uses = list(_uses(stream, file))
            known = [use["use"] for use in uses if use["key"] == key]
            count = known[0] if known else 1 + _earlier(uses, sets)
            if not known:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                line = {
                    "use": count,
                    "time": now,
                    "key": key,
                    "sets": {k: asdict(v) for k, v in sets.items()},
                }
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        raise BundleError(
            f"the ledger cannot be written: {error.strerror or error}", where=str(file)
        ) from error
    share, left = spending(count)
    return Use(count=count, share=share, left=left)


def planned_use(file: Path, sets: Sketches) -> Use:
    """Which use a new verdict on these sets would be; nothing is noted.

    Args:
        file: The ledger; there need not be one.
        sets: The confirmation sets.

    Raises:
        BundleError: The ledger cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
    except OSError as error:
        raise BundleError(
            f"the ledger cannot be read: {error.strerror or error}", where=str(file)
        ) from error
    lines = text.splitlines()
    count = 1 + _earlier(list(_uses(lines, file)), sets)
    share, left = spending(count)
    return Use(count=count, share=share, left=left)


def _earlier(uses: Iterable[Mapping[str, Any]], sets: Sketches) -> int:
    """The highest use so far of any of the sets."""
    return max(
        (
            use["use"]
            for use in uses
            if any(_same(old, new) for old in use["sets"].values() for new in sets.values())
        ),
        default=0,
    )


def _same(one: Sketch, other: Sketch) -> bool:
    """Whether two sets share rows, by the smallest hashes of both together.

    They tell which share of the rows of either stands in both, and so, with the numbers of rows,
    which share of the smaller set.
    """
    either = sorted({*one.smallest, *other.smallest})
    either = either[: max(len(one.smallest), len(other.smallest))]
    shared = len({*either} & {*one.smallest} & {*other.smallest}) / len(either)
    rows = shared / (1 + shared) * (one.rows + other.rows)
    return rows >= SAME * min(one.rows, other.rows)


def _uses(lines: Iterable[str], file: Path) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            use = json.loads(line)
            sets = {k: Sketch(**v) for k, v in use["sets"].items()}
            yield {"use": int(use["use"]), "key": str(use["key"]), "sets": sets}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"line {number} of the ledger is not as surefoot writes it",
                where=str(file),
                fix="restore the file: without it nobody knows how often the data were used",
            ) from error
