"""The ledger of costs: what each step of each candidate took, and all of them together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.core.model import Cost, total_cost
from surefoot.report.tables import Table, as_table, table_lines

HEADER = ("what making it took", "step", "seconds", "CPU s", "rows", "peak MB", "joules")


def cost_lines(data: Mapping[str, Any]) -> list[str]:
    """A line for each step of each candidate, and a sum; nothing where nothing was made.

    A step that several candidates share was done once, and counts once in the sum of all.

    Args:
        data: As `verdict.json` holds it.
    """
    return table_lines(cost_tables(data))


def cost_tables(data: Mapping[str, Any]) -> list[Table]:
    """The same as a table, if there is one.

    Args:
        data: As `verdict.json` holds it.
    """
    made = [c for c in data["candidates"] if c["steps"] and c.get("step_costs")]
    if not made:
        return []
    rows = [line for candidate in made for line in _of_candidate(candidate)]
    if len(made) > 1:
        rows.append(_row("all, each step once", "", total_cost([*_each_once(made).values()])))
    return [as_table("", HEADER, rows)]


def _of_candidate(candidate: Mapping[str, Any]) -> Iterator[list[str]]:
    names = [name for name, _ in candidate["steps"]]
    costs = [Cost(**cost) for cost in candidate["step_costs"]]
    if len(costs) == 1:
        yield _row(candidate["name"], names[0], costs[0])
        return
    yield _row(candidate["name"], "", total_cost(costs))
    for name, cost in zip(names, costs, strict=True):
        yield _row("", name, cost)


def _each_once(made: Sequence[Mapping[str, Any]]) -> dict[str, Cost]:
    """What each step cost, by all that led to it."""
    return {
        json.dumps([candidate["seed"], candidate["steps"][: place + 1]]): Cost(**cost)
        for candidate in made
        for place, cost in enumerate(candidate["step_costs"])
    }


def _row(name: str, step: str, cost: Cost) -> list[str]:
    return [
        name,
        step,
        f"{cost.wall_s:.1f}",
        f"{cost.cpu_s:.1f}",
        f"{cost.rows:,}" if cost.rows else "",
        f"{cost.peak_mb:.0f}",
        "" if cost.energy_j is None else f"{cost.energy_j:.0f}",
    ]
