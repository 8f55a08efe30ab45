"""What was not tested, from what a bundle lacks: the other half of what a verdict says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.core.evidence import Verdict

FEW_ROWS = 100
"""A test set or slice with fewer rows than this shows little."""
NAMED = 5
"""Names that are listed of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One thing that nobody measured, or that no budget judged."""

    what: str
    """What is not known."""
    fix: str
    """What in the plan would tell; empty where nothing would."""


def gaps(
    data: Mapping[str, Any], verdicts: Sequence[Verdict], plan: Mapping[str, Any]
) -> tuple[Gap, ...]:
    """Everything that the evidence does not speak of, as far as the bundle shows it.

    Args:
        data: As `verdict.json` holds it.
        verdicts: All of them.
        plan: As `plan.json` holds it.
    """
    found = [
        *_inputs(data, verdicts),
        *_rows(data, plan),
        *_slices(data, verdicts),
        *_timing(data, verdicts),
        *_behaviour(data, verdicts),
        *_making(data, plan),
        Gap(
            what="other data than these test sets, another machine, and whatever no budget names",
            fix="docs/what-a-pass-does-not-prove.md",
        ),
    ]
    return tuple(found)


def _inputs(data: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Iterator[Gap]:
    shifts = dict.fromkeys(c["shift"] for c in data["comparisons"] if c["shift"])
    if not shifts:
        what = "changed inputs (typing errors, noise, missing values): no shift was measured"
        yield Gap(what=what, fix="evaluate.shifts")
    judged = {p.shift for p in _places(verdicts)}
    open_ = [name for name in shifts if name not in judged]
    if open_:
        what = f"measured under {_names(open_)}, but no budget judges it"
        yield Gap(what=what, fix='a budget with shift = "*"')
    if not data.get("envelopes"):
        what = "how far it holds: no axis was followed until the model fails"
        yield Gap(what=what, fix="evaluate.envelope")


def _rows(data: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[Gap]:
    whole = {c["dataset"]: c["n"] for c in data["comparisons"] if not c["shift"] and not c["slice"]}
    few = [f"{name} (n={n:,})" for name, n in whole.items() if n < FEW_ROWS]
    if few:
        yield Gap(what=f"test sets with few rows: {_names(few)}", fix="more labelled rows")
    if len(whole) == 1:
        what = f"other kinds of data: '{next(iter(whole))}' is the only test set"
        yield Gap(what=what, fix="task.test.NAME")
    tests = plan.get("task", {}).get("test", {})
    if tests and not any(call.get("group") for call in tests.values()):
        what = "rows that belong together (one author, one document) were taken as independent"
        yield Gap(what=what, fix="group of a source")


def _slices(data: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Iterator[Gap]:
    sizes: dict[str, int] = {}
    for c in data["comparisons"]:
        if c["slice"] is not None and not c["shift"]:
            sizes[c["slice"]] = max(sizes.get(c["slice"], 0), c["n"])
    if not sizes:
        what = "groups of rows: no slice was declared, so a group that lost more is not seen"
        yield Gap(what=what, fix="evaluate.slices or evaluate.class_slices")
    judged = {p.slice for p in _places(verdicts)}
    open_ = [name for name in sizes if name not in judged]
    if open_:
        what = f"slices that no budget judges: {_names(open_)}"
        yield Gap(what=what, fix='a budget with slice = "*"')
    few = [f"{name} (n={n:,})" for name, n in sizes.items() if n < FEW_ROWS]
    if few:
        yield Gap(what=f"slices with few rows: {_names(few)}", fix="more labelled rows of these")
    if data.get("found_slices") is None:
        yield Gap(
            what="slices that nobody declared were not looked for", fix="evaluate.find_slices"
        )


def _timing(data: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Iterator[Gap]:
    budgets = [f.budget for verdict in verdicts for f in verdict.findings]
    if not data["latencies"]:
        yield Gap(what="latency was not measured", fix="a budget on p99_ms or speedup")
    elif not any(
        b.quantity.endswith("_ms") or b.quantity in ("speedup", "rows_per_s") for b in budgets
    ):
        what = "latency was measured, but no budget judges it"
        yield Gap(what=what, fix="a budget on p99_ms or speedup")
    if not data.get("loads"):
        what = "load: calls were timed one at a time, and no request waited for another"
        yield Gap(what=what, fix="evaluate.load.NAME")
    bad = [load for load in data.get("loads", ()) if load["invalid"]]
    for name in dict.fromkeys(load["load"] for load in bad):
        here = [load for load in bad if load["load"] == name]
        who = _names([load["candidate"] for load in here])
        what = f"load {name} proves nothing for {who}: {here[0]['invalid']}"
        yield Gap(what=what, fix="run again")
    if not data["memory"]:
        yield Gap(what="memory was not measured", fix="a budget on memory_mb")


def _behaviour(data: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Iterator[Gap]:
    checks = dict.fromkeys(entry["check"] for entry in data.get("checks", ()))
    if not checks:
        what = "behaviour (odd inputs, attacks, terms of groups of people): no check was asked for"
        yield Gap(what=what, fix="evaluate.checks")
    judged = {f.budget.quantity for verdict in verdicts for f in verdict.findings}
    open_ = [name for name in checks if name not in judged]
    if open_:
        yield Gap(what=f"checks that no budget judges: {_names(open_)}", fix="a budget on each")
    calibration = data.get("calibration")
    if calibration is None or not calibration["rows"]:
        what = "no temperature was fitted: there are no calibration rows"
        yield Gap(what=what, fix="task.calibration")
    if not {"flips", "lost"} & judged:
        what = "how many answers may change: a candidate can change many and keep its accuracy"
        yield Gap(what=what, fix="a budget on flips or lost")


def _making(data: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[Gap]:
    if plan.get("evaluate", {}).get("seeds", 1) == 1:
        what = "other seeds: each candidate was made once, so this is about one file"
        yield Gap(what=what, fix="evaluate.seeds")
    if data["failed"]:
        yield Gap(what=f"candidates that could not be made: {_names(list(data['failed']))}", fix="")
    untried = [t["name"] for t in (data.get("search") or {}).get("trials", ()) if t["gain"] is None]
    if untried:
        what = f"candidates that the search did not measure: {_names(untried)}"
        yield Gap(what=what, fix="search.minutes")


def _places(verdicts: Sequence[Verdict]) -> Iterator[Any]:
    return (f.paired for verdict in verdicts for f in verdict.findings if f.paired is not None)


def _names(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
