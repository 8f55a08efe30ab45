"""What fails first, and how far everything else holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.report.tables import Table, as_table, table_lines

Found = Mapping[str, Any]
"""One `Envelope` as verdict.json has it."""
UNITS = {"threads": "threads", "deadline": "ms", "batch": "rows", "arrival_rate": "a second"}


def fails_first(envelopes: Sequence[Found]) -> Iterator[str]:
    """The line below the verdict: which candidate is shown to leave its limit before the baseline.

    Of several, the one that is shown to hold the smallest part of the baseline's way.

    Args:
        envelopes: Those of all axes, the baseline first along each.
    """
    if not envelopes:
        return
    earlier = [one for one in envelopes if one["ratio"] and _below_one(one["ratio"])]
    if not earlier:
        yield "fails first: nothing is shown to fail before the baseline"
        return
    worst = min(earlier, key=lambda one: float(one["ratio"]["high"]))
    base = next(one for one in envelopes if _same_axis(one, worst))
    held = _holds(base)
    if worst["holds_to"] is not None:
        held = held.removeprefix("holds ")
    yield (
        f"fails first: {worst['axis']}: {worst['candidate']} {_holds(worst)},"
        f" {base['candidate']} {held}"
    )


def envelope_lines(envelopes: Sequence[Found]) -> list[str]:
    """How far each holds, axis by axis, and why where that could not be found.

    Args:
        envelopes: Those of all axes, the baseline first along each.
    """
    return table_lines(envelope_tables(envelopes))


def envelope_tables(envelopes: Sequence[Found]) -> list[Table]:
    """The same as a table, if there is one.

    Args:
        envelopes: Those of all axes, the baseline first along each.
    """
    if not envelopes:
        return []
    header = ("", "candidate", "holds to", "fails at", "crosses near", "of the baseline", "asked")
    level = 100 * envelopes[0]["level"]
    title = f"how far each holds (all together at {level:g} %, if nothing that failed holds again)"
    reasons = dict.fromkeys(line for one in envelopes for line in _reasons(one))
    return [as_table(title, header, map(_row, envelopes), reasons)]


def _row(one: Found) -> list[str]:
    return [
        _axis(one),
        one["candidate"],
        _value(one["holds_to"], one),
        _value(one["fails_at"], one),
        "" if one["estimate"] is None else f"{one['estimate']:.3g}",
        _ratio(one["ratio"]),
        _asked(one),
    ]


def _axis(one: Found) -> str:
    """What is held against what: `typos on tweets, drop at most 5 pp`."""
    limit, axis = one["limit"], one["axis"]
    if axis == "deadline":
        return f"deadline, late at most {100 * limit:g} %"
    if axis in UNITS:
        return f"{axis}, p99 at most {limit:g} ms"
    return f"{axis} on {one['dataset']}, drop at most {100 * limit:g} pp"


def _value(value: float | None, one: Found) -> str:
    if value is None:
        return "not shown"
    return f"{value:.3g} {UNITS.get(one['axis'], '')}".rstrip()


def _holds(one: Found) -> str:
    if one["holds_to"] is not None:
        return f"holds to {_value(one['holds_to'], one)}"
    fails = one["fails_at"] is not None and one["fails_at"] == one["probes"][0]["at"]
    return "fails from the start" if fails else "is not shown to hold anywhere"


def _ratio(ratio: Mapping[str, Any] | None) -> str:
    if ratio is None:
        return ""
    value, high = ratio["value"], ratio["high"]
    ends = f"[{ratio['low'] or 0:.2f}, {'none' if high is None else f'{high:.2f}'}]"
    return ends if value is None else f"{value:.2f} {ends}"


def _asked(one: Found) -> str:
    if not one["grid"]:
        return f"{one['asked']:,} calls"
    return f"{one['asked']:,} of {one['grid']:,} rows ({one['asked'] / one['grid']:.1%})"


def _below_one(ratio: Mapping[str, Any]) -> bool:
    return ratio["high"] is not None and ratio["high"] <= 1


def _same_axis(one: Found, other: Found) -> bool:
    return one["ratio"] is None and all(one[key] == other[key] for key in ("axis", "dataset"))


def _reasons(one: Found) -> Iterator[str]:
    for probe in one["probes"]:
        if probe["reason"]:
            yield (
                f"undecided: {one['axis']} {probe['at']:.3g} of {one['candidate']}:"
                f" {probe['reason']}"
            )
