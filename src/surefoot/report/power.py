"""What a plan's data can decide, as lines of plain text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from surefoot.core.evidence import Budget
from surefoot.gate.power import Outlook, Prospect, TooSmall
from surefoot.report.terminal import PERCENT, UNITS, table


def power_lines(outlook: Outlook) -> list[str]:
    """The answer, a row for every budget in every place, what was assumed, the answer again."""
    changed = [_percent(share) for share in outlook.flips]
    needs = f"{_percent(outlook.power)} needs"
    header = ("budget", "limit", "data", *changed, needs, "missing", "")
    return [
        power_line(outlook),
        "",
        "chance of a PASS if nothing gets worse, but so many answers change, half lost, half won:",
        *table(header, [_row(prospect) for prospect in outlook.prospects]),
        "",
        *_remarks(outlook),
        "",
        power_line(outlook),
    ]


def power_line(outlook: Outlook) -> str:
    """How many budgets can be decided, and what is missing most."""
    head = (
        f"POWER  {outlook.decided} of {outlook.budgets} budgets can be decided at"
        f" {_percent(outlook.power)} power if {_percent(outlook.flips[outlook.middle])} of the"
        " answers change"
    )
    worst = outlook.worst()
    return head if worst is None else f"{head}; {worst.subject} {_lack(worst, outlook.middle)}"


def too_small_line(found: TooSmall) -> str:
    """`tweets [short]: 40 rows cannot pass the budget on accuracy (drop at most 2 pp): …`."""
    budget, place = found.budget, found.place
    return (
        f"{place.name}: {place.rows:,} rows cannot pass the budget on {budget.quantity}"
        f" ({_limit(budget)}), which takes {found.least:,} even if no answer changes;"
        " surefoot power says more"
    )


def too_short_line(found: Prospect) -> str:
    """`p99_ms under peak: 450 requests give no bound, which takes 1,665; raise …`."""
    load = found.budget.load
    unit = "requests" if load else "calls"
    key = f"evaluate.load.{load}.seconds" if load else "evaluate.latency.calls"
    return (
        f"{found.subject}: {found.n:,} {unit} give no bound, which takes {found.needed[0]:,}"
        f" however fast they are; raise {key}"
    )


def _lack(prospect: Prospect, at: int) -> str:
    missing = prospect.missing[at]
    if missing is None:
        return "cannot be foreseen"
    return f"misses {missing:,} {prospect.unit}"


def _row(prospect: Prospect) -> list[str]:
    chances = ["" if p is None else f"{math.floor(p * 100)} %" for p in prospect.power]
    return [
        prospect.subject,
        _limit(prospect.budget),
        _data(prospect),
        *(chances or [""] * len(prospect.decided)),
        _counts(prospect.needed),
        _counts(prospect.missing) if any(prospect.missing) else "",
        _note(prospect),
    ]


def _data(prospect: Prospect) -> str:
    if not prospect.unit:
        return "read off"
    text = f"{prospect.n:,} {prospect.unit}"
    return text if prospect.clusters is None else f"{text} in {prospect.clusters:,} groups"


def _counts(counts: Sequence[int | None]) -> str:
    """One number an assumption, or a single one where they agree."""
    known = [f"{count:,}" for count in counts if count is not None]
    return " / ".join(known if len(set(known)) > 1 else known[:1])


def _note(prospect: Prospect) -> str:
    if prospect.least is not None and prospect.n < prospect.least:
        return f"if no answer changes, a PASS takes {prospect.least:,} rows"
    return prospect.reason


def _limit(budget: Budget) -> str:
    value = budget.max_drop or budget.at_least or budget.at_most or 0.0
    words = "at least" if budget.at_least is not None else "at most"
    if budget.quantity not in PERCENT:
        unit = UNITS.get(budget.quantity, "")
        return f"{'drop ' if budget.max_drop else ''}{words} {value:g} {unit}".rstrip()
    if budget.max_drop is not None:
        return f"drop at most {value * 100:.4g} pp"
    return f"{words} {_percent(value)}"


def _remarks(outlook: Outlook) -> Iterator[str]:
    known = [p for p in outlook.prospects if p.power and p.power[0] is not None]
    if len(known) > 1 and any(outlook.together):
        together = " / ".join(f"{math.floor(p * 100)} %" for p in outlook.together)
        yield f"all of them at once, as a PASS takes: at least {together} (Bonferroni)"
    yield from _alpha(outlook)
    if any(p.clusters is not None for p in outlook.prospects):
        alike = f"{outlook.alike:g}"
        yield (
            f"groups: rows count as rows / (1 + (group size - 1) * {alike}), on the assumption that"
            f" rows of one group correlate by {alike}; a fixed limit on a share takes more"
            " than that where groups are of very different sizes"
        )
    if any(p.power and p.budget.max_drop is None for p in outlook.prospects):
        yield "shares with a fixed limit: the truth is taken to be at most half of what is allowed"
    timed = [p.budget.load for p in outlook.prospects if p.unit == "calls"]
    if None in timed:
        yield (
            "calls: fewer give no bound at all; a limit near the truth takes more, and"
            " evaluate.latency.seconds may end them earlier"
        )
    keys = dict.fromkeys(f"evaluate.load.{load}.seconds" for load in timed if load is not None)
    if keys:
        yield f"under load: the same of requests; {' and '.join(keys)} bring more"
    if outlook.design.seeds > 1:
        yield "several seeds: what differs between them comes on top, only a run can tell how much"


def _alpha(outlook: Outlook) -> Iterator[str]:
    candidates, use = outlook.design.candidates, outlook.design.use
    if candidates > 1:
        yield f"alpha is divided by {candidates} candidates (the first step of Holm)"
    if use is not None:
        which = "first use" if use.count == 1 else f"use {use.count}"
        spent = _percent(use.share)
        yield f"it would be the {which} of these test sets, which spends {spent} of alpha"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
