"""Which waivers count, and whether they cover everything that a verdict does not show to hold.

A waiver changes no verdict: FAIL stays FAIL. It says that somebody answers for it until a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from surefoot.core.evidence import Budget, Finding, Verdict
from surefoot.core.waiver import Limit, Standing, Waived, Waiver
from surefoot.gate.verdict import RANK


def hold_waivers(
    waivers: Sequence[Waiver], verdicts: Sequence[Verdict], *, now: date, written: date | None
) -> Waived:
    """Hold waivers against verdicts and a day.

    A clock that was set back prolongs nothing: of today and the day of the verdict the later one
    counts, and a difference of the wrong sign is said.

    Args:
        waivers: The waivers.
        verdicts: What was judged.
        now: Today, in UTC.
        written: The day of the verdicts; None where nobody wrote it down.
    """
    day, note = now, ""
    if written is not None and written > now:
        day = written
        note = (
            f"the clock here says {now}, and the verdict is dated {written}: one of them is wrong;"
            f" waivers are held against {written}"
        )
    by_name = {verdict.candidate: verdict for verdict in verdicts}
    standings = tuple(_standing(w, by_name.get(w.candidate), day) for w in waivers)
    return Waived(day=day, standings=standings, note=note)


def covering(finding: Finding, candidate: str, waived: Waived) -> Waiver | None:
    """The waiver that counts for a finding and lasts longest; None where there is none."""
    found = [
        one.waiver
        for one in waived.standings
        if one.state == "counts"
        and one.waiver.candidate == candidate
        and is_about(one.waiver, finding)
    ]
    return max(found, key=lambda waiver: waiver.until, default=None)


def released(verdict: Verdict, waived: Waived) -> bool:
    """Whether budgets of a verdict were not shown to hold, and each of these is waived."""
    covered = [covering(one, verdict.candidate, waived) for one in verdict.open]
    return bool(covered) and all(covered)


def is_about(waiver: Waiver, finding: Finding) -> bool:
    """Whether a finding is of the budget that a waiver names."""
    return waiver.budget == finding.subject and waiver.limit == limit_kind(finding.budget)


def limit_kind(budget: Budget) -> Limit:
    """The kind of a budget's limit: `at_most`, `at_least` or `max_drop`."""
    if budget.max_drop is not None:
        return "max_drop"
    return "at_least" if budget.at_least is not None else "at_most"


def bad_end(finding: Finding) -> float:
    """The end of a finding's interval that lies on the side of its limit; may be infinite."""
    return finding.estimate.low if _least(finding) else finding.estimate.high


def _least(finding: Finding) -> bool:
    """Whether low values are bad: a drop of what should be high, or a limit from below."""
    kind = limit_kind(finding.budget)
    return kind == "at_least" or (kind == "max_drop" and finding.limit < 0)


def _standing(waiver: Waiver, verdict: Verdict | None, day: date) -> Standing:
    found = [f for f in verdict.findings if is_about(waiver, f)] if verdict else []
    open_ = [finding for finding in found if finding.outcome != "PASS"]
    if waiver.made > day:
        note = f"it is dated {waiver.made}, which is after {day}"
        return Standing(waiver=waiver, state="misdated", note=note)
    if waiver.until < day:
        return Standing(waiver=waiver, state="expired", note=f"it ended on {waiver.until}")
    if not open_:
        note = "the budget holds" if found else "no such budget of this candidate was judged"
        return Standing(waiver=waiver, state="not needed", note=note)
    worse = next(filter(None, (_worse(waiver, finding) for finding in open_)), "")
    return Standing(waiver=waiver, state="exceeded" if worse else "counts", note=worse)


def _worse(waiver: Waiver, finding: Finding) -> str:
    """How a finding is worse than what was signed; empty where it is not."""
    if RANK[finding.outcome] > RANK[waiver.outcome]:
        return f"it was signed as {waiver.outcome}, and is {finding.outcome} now"
    value, worst = finding.estimate.value, waiver.worst
    beyond = worst is not None and (value < worst if _least(finding) else value > worst)
    return "what is measured now lies beyond the interval that was signed" if beyond else ""
