"""Behaviour checks as a table, from what a bundle says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.report.tables import Table, as_table
from surefoot.report.terminal import table

FIRST = 5
"""Failing ids that are named."""


def check_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row for each check, a column for each candidate, the baseline first; then the details.

    Args:
        entries: What `gate.check_summaries` gave.
    """
    lines: list[str] = []
    for one in check_tables(entries):
        lines += [*table(one.header, one.rows), "", *one.notes]
    return lines


def check_tables(entries: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The same as a table, if there is one, with the details as notes.

    Args:
        entries: What `gate.check_summaries` gave.
    """
    if not entries:
        return []
    found = {(entry["check"], entry["candidate"]): entry for entry in entries}
    checks, names = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    rows = [[check, *(_cell(found[check, name]) for name in names)] for check in checks]
    details = (line for entry in entries for line in _details(entry))
    return [as_table("", ("rows that fail a check", *names), rows, details)]


def _cell(entry: Mapping[str, Any]) -> str:
    """`12 of 1,000: 1.2 % [0.6, 2.1], by 0.31`."""
    rate = entry["rate"]
    if rate is None:
        return "not run" if entry["error"] else "no rows"
    text = f"{entry['failed']:,} of {entry['asked']:,}"
    if rate["method"] != "exact":
        text += f": {_interval(rate)}"
    largest = entry["largest"]
    return text if largest is None else f"{text}, by {largest:.2g}"


def _interval(rate: Mapping[str, Any]) -> str:
    value, low, high = (
        "none" if rate[key] is None else f"{100 * rate[key]:.1f}"
        for key in ("value", "low", "high")
    )
    return f"{value} % [{low}, {high}]"


def _details(entry: Mapping[str, Any]) -> Iterator[str]:
    """Why a check was not run, what it looked at, its slices, and the first rows that failed."""
    name = f"{entry['candidate']}: {entry['check']}"
    if entry["error"]:
        yield f"{name} could not be run: {entry['error']}"
        return
    if entry["note"]:
        yield f"{name}: {entry['note']}"
    if entry["failed"]:
        shown = ", ".join(entry["ids"][:FIRST])
        more = ", …" if entry["failed"] > FIRST else ""
        yield f"{name}: failed by {shown}{more}"
        rates = (f"{part} {_interval(rate)}" for part, rate in entry["slices"].items() if rate)
        slices = "; ".join(rates)
        if slices:
            yield f"{name}: by slice: {slices}"
