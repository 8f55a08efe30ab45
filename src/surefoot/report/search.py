"""What a search tried and chose, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.report.terminal import table

LISTED = 25
"""Candidates that get a line, those that came furthest first."""
RANK = ("finalist", "on the front", "undercut", "dominated", "over the margin", "over a budget")


def search_lines(found: Mapping[str, Any] | None) -> list[str]:
    """The rounds of a search, its candidates, and why it ended.

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
        f" {found['margin'] * 100:g} pp of {found['metric']}; chosen, not proved:"
    )
    took = (
        f"the search took {found['wall_s']:.0f} s, {found['overhead_s']:.1f} s of them for itself;"
        f" it ended because {found['stopped']}"
    )
    return [
        head,
        *table(
            ("candidate", "fate", "cost", "MB", "gain pp", "rows", "flips", ""),
            [_row(trial) for trial in order[:LISTED]],
        ),
        *_more(len(order) - LISTED),
        "",
        *table(
            ("round", "tried", "wall s", "CPU s", "cost", "gained for each CPU minute"),
            [_round(spent) for spent in found["rounds"]],
        ),
        *_untried(trials),
        took,
    ]


def _row(trial: Mapping[str, Any]) -> list[str]:
    gain = trial["gain"]
    return [
        trial["name"],
        trial["fate"],
        f"{trial['cost']:.3g}",
        f"{trial['size_bytes'] / 1e6:.2f}",
        f"{gain['value'] * 100:+.1f} [{gain['low'] * 100:+.1f}, {gain['high'] * 100:+.1f}]",
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


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count} more, in verdict.json"


def _untried(trials: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for trial in trials:
        if trial["gain"] is None:
            yield f"{trial['fate']}: {trial['name']}: {trial['reason']}"
