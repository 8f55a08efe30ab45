"""The worst slice and the slices that were found, as lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.report.tables import Table, as_table, table_lines
from surefoot.report.terminal import PERCENT


def worst_line(worst: Sequence[Mapping[str, Any]], candidate: str) -> Iterator[str]:
    """Where a candidate lost most: `worst slice: accuracy on tweets [short] -3.1 pp [-5.0, -1.2]`.

    Args:
        worst: Of the verdict's JSON: the place of each candidate.
        candidate: Whose place to tell.
    """
    for one in worst:
        if one["candidate"] == candidate:
            estimate, percent = one["estimate"], one["metric"] in PERCENT
            value, low, high = (
                "none"
                if end is None
                else f"{end * 100 + 0.0:+.1f}"
                if percent
                else f"{end + 0.0:+.3g}"
                for end in (estimate["value"], estimate["low"], estimate["high"])
            )
            unit = "pp " if percent else ""
            yield (
                f"worst slice: {one['subject']} {value} {unit}[{low}, {high}]"
                f" ({one['joint']} over {one['slices']} slices, whole test sets among them)"
            )


def found_lines(exploration: Mapping[str, Any] | None) -> list[str]:
    """What a search for slices found; empty where none was asked for.

    Args:
        exploration: Of the verdict's JSON.
    """
    found = found_tables(exploration)
    return [found[0].title] if found and not found[0].rows else table_lines(found)


def found_tables(exploration: Mapping[str, Any] | None) -> list[Table]:
    """The same as a table, if there is one; without rows where nothing was found.

    Args:
        exploration: Of the verdict's JSON.
    """
    if exploration is None:
        return []
    slices = exploration["slices"]
    confirmed = sum(one["confirmed"] for one in slices)
    head = (
        f"explored, no part of the verdict: {exploration['looked_at']:,} slices were looked at in"
        f" one half of the rows; {len(slices)} lost more there than chance gives, and the other"
        f" half confirms {confirmed} of them"
    )
    header = ("", "candidate", "test set", "slice", "lost/won", "lost", "elsewhere", "p (Holm)")
    return [as_table(head, header, map(_row, slices))]


def _row(one: Mapping[str, Any]) -> list[str]:
    held = one["held"]
    return [
        "confirmed" if one["confirmed"] else "not confirmed",
        one["candidate"],
        one["dataset"],
        f"{one['slice']} (n={held['rows']:,})",
        f"{held['lost']}/{held['won']}",
        f"{held['lost'] / max(held['rows'], 1):.1%}",
        f"{held['elsewhere']:.1%}",
        f"{one['p_adjusted']:.2g}",
    ]
