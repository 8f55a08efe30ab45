"""What two plans ask for differently, key by key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.core.budget import LIMITS
from surefoot.core.drift import Change

NONE = "none"
TWICE = ("evaluate.shifts", "evaluate.checks")
"""Stand in the resolved plan once more, with their options filled in."""


def plan_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between two resolved plans: budgets and candidates by name, the rest by key.

    Args:
        then: The older plan.json.
        now: The newer.
    """
    old, new = dict(_named(then)), dict(_named(now))
    return tuple(
        Change(what=key, there=old.get(key, NONE), here=new.get(key, NONE))
        for key in dict.fromkeys([*old, *new])
        if old.get(key, NONE) != new.get(key, NONE)
    )


def _named(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every setting of a plan with a name that does not depend on where it stands in a list."""
    seen: dict[str, int] = {}
    runtimes = plan.get("runtimes") or {}
    named = [
        *((f"candidate {r.get('name')}", _recipe(r, runtimes)) for r in _tables(plan, "recipes")),
        *((f"budget {_budget(b)}", _limit(b)) for b in _tables(plan, "budgets")),
        *((f"shift {s.get('use')}", _call(s)) for s in _tables(plan, "shifts")),
        *((f"check {c.get('use')}", _call(c)) for c in _tables(plan, "checks")),
        *((f"search step {s.get('use')}", _call(s)) for s in _tables(plan, "search_steps")),
    ]
    for key, value in named:
        seen[key] = seen.get(key, 0) + 1
        yield (key if seen[key] == 1 else f"{key} ({seen[key]})"), value
    lists = ("recipes", "runtimes", "budgets", "shifts", "checks", "search_steps")
    rest = {key: value for key, value in plan.items() if key not in lists}
    yield from ((key, value) for key, value in _flat(rest, ()) if key not in TWICE)


def _flat(value: Any, way: Sequence[str]) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, (*way, str(key)))
    elif value is not False and value not in (None, [], ()):
        yield ".".join(way), value if isinstance(value, str) else _plain(value)


def _tables(plan: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = plan.get(key)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _recipe(recipe: Mapping[str, Any], runtimes: Mapping[str, Any]) -> str:
    steps = ", ".join(map(_call, _tables(recipe, "steps"))) or "no step"
    runtime = runtimes.get(str(recipe.get("name"))) if isinstance(runtimes, Mapping) else None
    seed = recipe.get("seed")
    parts = [steps, f"in {runtime}" if runtime else "", f"seed {seed}" if seed else ""]
    return "; ".join(filter(None, parts))


def _call(call: Mapping[str, Any]) -> str:
    options = call.get("options") or ()
    told = ", ".join(f"{pair[0]}={_plain(pair[1])}" for pair in options if len(pair) == 2)
    return f"{call.get('use')}({told})" if told else str(call.get("use"))


def _budget(budget: Mapping[str, Any]) -> str:
    """What a budget speaks of: its quantity, its place and the kind of its limit."""
    keys = ("dataset", "slice", "shift", "load")
    where = [f"{key} {budget[key]}" for key in keys if budget.get(key) is not None]
    if budget.get("batch", 1) != 1:
        where.append(f"batch {budget['batch']}")
    kinds = [key for key in LIMITS if budget.get(key) is not None]
    return " ".join(
        [str(budget.get("quantity")), *([f"({', '.join(where)})"] if where else []), *kinds]
    )


def _limit(budget: Mapping[str, Any]) -> str:
    limits = [f"{budget[key]:g}" for key in LIMITS if budget.get(key) is not None]
    return ", ".join([*limits, f"level {budget.get('level', 0.95):g}"])


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
