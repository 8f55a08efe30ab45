"""What a search tried and chose, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.core.printable import printable
from surefoot.report.tables import Table, as_table
from surefoot.report.terminal import table

LISTED = 25
"""Candidates that get a line, those that came furthest first."""
RANK = (
    "finalist",
    "on the front",
    "undercut",
    "dominated",
    "over the margin",
    "over a budget",
    "failed",
)


def search_lines(found: Mapping[str, Any] | None) -> list[str]:
    """The rounds of a search, its candidates, and why it ended.

    Args:
        found: `search` of verdict.json; None where the plan did not ask for a search.
    """
    if not found:
        return []
    tried, rounds, *ablation = search_tables(found)
    return [
        f"{tried.title}:",
        *table(tried.header, tried.rows),
        *tried.notes,
        "",
        *table(rounds.header, rounds.rows),
        *rounds.notes[:-1],
        *(line for one in ablation for line in ("", *table(one.header, one.rows), "")),
        rounds.notes[-1],
    ]


def search_tables(found: Mapping[str, Any] | None) -> list[Table]:
    """The same as tables: the candidates, the rounds, and the ablation where there is one.

    Args:
        found: `search` of verdict.json; None where the plan did not ask for a search.
    """
    if not found:
        return []
    trials = found["trials"]
    measured = [t for t in trials if t["gain"] is not None]
    order = sorted(measured, key=lambda t: (RANK.index(t["fate"]), t["cost"]))
    head = (
        f"search on {found['rows']:,} selection rows, lean by {found['quantity']}, allowed"
        f" {found['margin'] * 100:g} pp of {found['metric']}; chosen, not proved"
    )
    took = (
        f"the search took {found['wall_s']:.0f} s, {found['overhead_s']:.1f} s of them for itself;"
        f" it ended because {found['stopped']}"
    )
    header = ("candidate", "fate", "cost", "MB", "gain pp", "rows", "flips", "")
    spent = ("round", "tried", "wall s", "CPU s", "cost", "gained for each CPU minute")
    return [
        as_table(head, header, map(_row, order[:LISTED]), _more(len(order) - LISTED)),
        as_table("", spent, map(_round, found["rounds"]), [*_untried(trials), took]),
        *_ablation(found),
    ]


def _row(trial: Mapping[str, Any]) -> list[str]:
    gain = trial["gain"]
    return [
        trial["name"],
        trial["fate"],
        f"{trial['cost']:.3g}",
        f"{trial['size_bytes'] / 1e6:.2f}",
        _points(gain),
        f"{gain['n']:,}",
        str(trial["flips"]),
        trial["reason"],
    ]


def _round(spent: Mapping[str, Any]) -> list[str]:
    fell = 1 - spent["after"] / spent["before"]
    minutes = spent["cpu_s"] / 60
    return [
        spent["round"],
        str(spent["tried"]),
        f"{spent['wall_s']:.0f}",
        f"{spent['cpu_s']:.0f}",
        f"{spent['before']:.3g} to {spent['after']:.3g}",
        f"{fell / minutes:.1%}" if minutes else "",
    ]


def _ablation(found: Mapping[str, Any]) -> Iterator[Table]:
    """The recommended candidate with one thing changed at a time."""
    if not found["ablation"]:
        return
    rows = [
        [
            one["what"],
            "" if one["gain"] is None else _points(one["gain"]),
            "" if one["cost"] is None else f"{one['cost']:.2f}",
            "" if one["size"] is None else f"{one['size']:.2f}",
            "" if one["gain"] is None else str(one["flips"]),
            one["reason"],
        ]
        for one in found["ablation"]
    ]
    name = found["finalists"][0]
    header = (f"{name}, varied", "accuracy pp", "latency x", "size x", "flips", "")
    yield as_table("", header, rows)


def _points(estimate: Mapping[str, Any]) -> str:
    value, low, high = (estimate[key] * 100 for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more, in verdict.json"


def _untried(trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for trial in trials:
        if trial["gain"] is None:
            yield printable(f"{trial['fate']}: {trial['name']}: {trial['reason']}")
