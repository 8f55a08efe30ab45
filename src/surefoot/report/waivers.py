"""Waivers for readers: which count, which do not and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from surefoot.core.evidence import Verdict
from surefoot.core.printable import printable
from surefoot.core.waiver import Waived, Waiver
from surefoot.gate import covering, hold_waivers, released
from surefoot.report.tables import Table, as_table
from surefoot.report.terminal import deciding, table
from surefoot.waivers import decode_waivers, today


def waived_of(
    data: Mapping[str, Any], verdicts: tuple[Verdict, ...], where: Path, *, now: date | None = None
) -> Waived:
    """The waivers of a bundle, held against its verdicts and today.

    Args:
        data: Its verdict.json.
        verdicts: The same verdicts, decoded.
        where: The bundle, for an error.
        now: The day to hold them against; today by default.

    Raises:
        BundleError: They are not as surefoot writes them.
    """
    waivers = decode_waivers(data.get("waivers", []), where)
    try:
        written = datetime.fromisoformat(data.get("written") or "").astimezone(UTC).date()
    except (TypeError, ValueError, OverflowError):
        written = None  # an older bundle
    return hold_waivers(waivers, verdicts, now=now or today(), written=written)


def waived_line(verdict: Verdict, waived: Waived) -> str:
    """What to add to the line of a verdict: who answers for it; empty where nobody does."""
    open_ = verdict.open
    covered = [w for f in open_ if (w := covering(f, verdict.candidate, waived))]
    if not covered:
        return ""
    if not released(verdict, waived):
        return f"; {len(covered)} of these {len(open_)} are waived"
    first = covering(deciding(verdict), verdict.candidate, waived) or covered[0]
    more = f", and {len(open_) - 1} more" if len(open_) > 1 else ""
    return f"; {waiver_text(first)}{more}"


def waiver_text(waiver: Waiver) -> str:
    """`waived until 2026-12-31 by Ada Lovelace: the reason`."""
    return printable(f"waived until {waiver.until} by {waiver.by}: {waiver.reason}")


def waiver_table(waived: Waived) -> Table:
    """All waivers with their state; without rows where there is none.

    Args:
        waived: What `waived_of` gave.
    """
    header = ("waiver", "budget", "candidate", "until", "signed by", "signed for", "reason", "")
    rows = [
        (
            one.state,
            one.waiver.budget,
            one.waiver.candidate,
            str(one.waiver.until),
            f"{one.waiver.by} on {one.waiver.made}",
            f"{one.waiver.outcome} {one.waiver.measured}",
            one.waiver.reason,
            one.note,
        )
        for one in waived.standings
    ]
    return as_table("", header, rows, [f"warning: {waived.note}"] if rows and waived.note else ())


def waiver_lines(waived: Waived) -> list[str]:
    """The same for the terminal; nothing where there is no waiver."""
    found = waiver_table(waived)
    return [*table(found.header, found.rows), *found.notes] if found.rows else []
