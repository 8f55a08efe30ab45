"""What confidence is worth, as a table of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from surefoot.core.evidence import place
from surefoot.report.tables import Table, as_table, table_lines

KEPT = 0.8
"""The coverage that the table shows; verdict.json has every tenth."""


def calibration_lines(data: Mapping[str, Any] | None) -> list[str]:
    """Temperatures, and the figures of every candidate before and after them; test sets as came.

    Args:
        data: The key `calibration` of verdict.json.
    """
    return table_lines(calibration_tables(data))


def calibration_tables(data: Mapping[str, Any] | None) -> list[Table]:
    """The same as a table, if there is one.

    Args:
        data: The key `calibration` of verdict.json.
    """
    if data is None:
        return []
    rows = data["rows"]
    title = f"calibration, before -> at a temperature fitted on {rows:,} calibration rows"
    if not rows:
        title = "calibration (no calibration rows, so no temperature: name task.calibration)"
    header = ("", "candidate", "temperature", "ece", "log_loss", "aurc", "right at 80 %", "out auc")
    temperatures, places = data["temperatures"], data["places"]
    lines = [_row(one, temperatures[one["candidate"]]) for one in _by_place(places)]
    shifted = sum(bool(one["shift"]) for one in places)
    more = [f"verdict.json has {shifted} more, under shifts"] if shifted else []
    return [as_table(title, header, lines, more)]


def _by_place(places: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The places as they came, all candidates of one together."""
    for name in dict.fromkeys(one["dataset"] for one in places):
        yield from (one for one in places if one["dataset"] == name and not one["shift"])


def _row(one: Mapping[str, Any], temperature: Mapping[str, Any]) -> list[str]:
    before, after = one["before"], one["after"]
    told = _interval(temperature["estimate"], 2) if temperature["fitted"] else "none"
    return [
        place(one["dataset"], one["shift"], one["severity"], None),
        one["candidate"],
        told,
        _change(before, after, "ece"),
        _value(before, "log_loss") + _to(after, "log_loss"),
        _change(before, None, "aurc"),
        next(_percent(k) for k in before["curve"] if k["coverage"] >= KEPT),
        _value(before, "out_of_scope_auc"),
    ]


def _change(before: Mapping[str, Any], after: Mapping[str, Any] | None, name: str) -> str:
    """A figure with its interval, and what it becomes."""
    text = _interval(before["figures"][name], 3)
    return text if after is None else f"{text} -> {_interval(after['figures'][name], 3)}"


def _value(part: Mapping[str, Any], name: str) -> str:
    estimate = part["figures"].get(name)
    return "" if estimate is None or estimate["value"] is None else f"{estimate['value']:.3f}"


def _to(after: Mapping[str, Any] | None, name: str) -> str:
    return "" if after is None else f" -> {_value(after, name)}"


def _percent(kept: Mapping[str, Any]) -> str:
    return f"{100 * kept['accuracy']['value']:.1f} %"


def _interval(estimate: Mapping[str, Any], decimals: int) -> str:
    low, high = (
        "none" if end is None else f"{end:.{decimals}f}"
        for end in (estimate["low"], estimate["high"])
    )
    return f"{estimate['value']:.{decimals}f} [{low}, {high}]"
