"""The terminal form of a decision log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from surefoot.core.printable import printable
from surefoot.core.serving import Decided, Tally
from surefoot.report.terminal import table


def decision_lines(found: Decided) -> list[str]:
    """A decision log for the terminal.

    Args:
        found: What it holds.
    """
    total = sum(one.n for one in found.answers)
    heads = ("model", "route", "promise", "decisions", "share", "right", "of labels")
    rows = [_row(one, total) for one in found.answers]
    return [*table(heads, rows), "", *_remarks(found, total)]


def _row(one: Tally, total: int) -> list[str]:
    right, labels = "", ""
    if one.accuracy:
        low, high = (f"{100 * end:.1f}" for end in (one.accuracy.low, one.accuracy.high))
        right, labels = f"{one.accuracy.value:.1%} [{low}, {high}]", f"{one.accuracy.n:,}"
    shown = (one.model[:12], one.route, one.promise)
    return [*map(printable, shown), f"{one.n:,}", f"{one.n / total:.1%}", right, labels]


def _remarks(found: Decided, total: int) -> Iterator[str]:
    told = f"{total:,} decisions"
    if found.first is not None and found.last is not None:
        told += f" from {_when(found.first)} to {_when(found.last)}"
    yield f"{told}; {found.dropped:,} more are missing, dropped or lost with a process"
    if found.labels:
        yield (
            f"{found.labels:,} labels, of which {found.unknown:,} are of decisions that are not"
            f" here and {found.corrected:,} were replaced by a later one"
        )
        yield "what is right is known of decisions whose label came, and of those alone"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
