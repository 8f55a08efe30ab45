"""Verdicts as lines and tables of plain text; a name in them may be of others: all is printable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from surefoot import plugins
from surefoot.core.evidence import Finding, Verdict
from surefoot.core.printable import printable

PERCENT = ("accuracy", "macro_f1", "flips", "lost", "won", "other")
UNITS = {"p50_ms": "ms", "p90_ms": "ms", "p99_ms": "ms", "size_mb": "MB", "speedup": "x"}
UNITS |= {"memory_mb": "MB", "rows_per_s": "rows/s", "cpu_hours": "CPU hours a million rows"}
WORST_FIRST = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}


def verdict_line(verdict: Verdict) -> str:
    """The one line a verdict is quoted by: outcome, candidate, and the finding that decided it."""
    worst = deciding(verdict)
    count = sum(f.outcome == verdict.outcome for f in verdict.findings)
    total = len(verdict.findings)
    head = f"{verdict.outcome}  {printable(verdict.candidate)}  {count} of {total} budgets"
    return (
        f"{head}: {finding_text(worst)}"
        if verdict.outcome != "PASS"
        else f"{head}; closest: {finding_text(worst)}"
    )


def deciding(verdict: Verdict) -> Finding:
    """The finding to show first: of the worst outcome, the one furthest from passing."""
    return min(
        verdict.findings,
        key=lambda f: (WORST_FIRST[f.outcome], f.p_fail if f.outcome == "FAIL" else -f.p_pass),
    )


def finding_text(finding: Finding) -> str:
    """`accuracy on tweets -3.1 pp [-4.8, -1.5], allowed -1.0 pp (n=812, Tango score)`."""
    basis = f"(n={finding.estimate.n:,}, {finding.estimate.method})"
    text = f"{finding.subject} {amount(finding)}, {limit(finding)} {basis}"
    return printable(text if finding.outcome != "INCONCLUSIVE" else f"{text}; {need(finding)}")


def amount(finding: Finding) -> str:
    """The estimate with its interval and unit."""
    e, unit = finding.estimate, _unit(finding)
    value = _number(e.value, finding)
    if e.method == "exact":
        return f"{value} {unit}".rstrip()
    low, high = _end(e.low, finding), _end(e.high, finding)
    return f"{value} {unit} [{low}, {high}]".replace("  ", " ")


def need(finding: Finding) -> str:
    """What an INCONCLUSIVE finding would take to be decided."""
    check = _is_check(finding)
    what = "calls" if finding.paired is None and not check else "rows"
    if finding.needed is None and finding.reason:
        return finding.reason
    if finding.needed is None:
        return f"no number of {what} would decide: the estimate lies on the limit"
    needs = f"needs about {finding.needed:,} {what}"
    if what == "calls":
        load = finding.budget.load
        calls = "evaluate.latency.calls, and seconds enough"
        needs += f" ({f'evaluate.load.{load}.seconds' if load else calls})"
    if check:
        needs += " asked (evaluate.check_rows)"
    return f"{needs}; {finding.reason}" if finding.reason else needs


def remark(finding: Finding) -> str:
    """What would decide a finding where nothing did, else the reason that goes with it."""
    return need(finding) if finding.outcome == "INCONCLUSIVE" else finding.reason


def decided(verdict: Verdict) -> str:
    """What kept a candidate from a PASS; empty where nothing did."""
    if verdict.outcome == "PASS":
        return ""
    finding = deciding(verdict)
    return f"{finding.subject} {amount(finding)}, {limit(finding)}"


def findings_table(verdict: Verdict) -> list[str]:
    """One aligned line per budget and place."""
    rows = [
        (
            f.outcome,
            f.subject,
            amount(f),
            limit(f),
            changes(f),
            remark(f),
        )
        for f in verdict.findings
    ]
    return table(("outcome", "budget", "measured", "limit", "lost/won", ""), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned columns under a header, two spaces apart; a column of nothing is left out."""
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    head, *lines = [[printable(line[i]) for i in kept] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(kept))]
    rule = ["-" * width for width in widths]
    return [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in (head, rule, *lines)
    ]


def interval(estimate: Mapping[str, Any]) -> str:
    """An estimate of calls as it stands in verdict.json; an end that is missing is infinite."""
    if estimate["low"] is None:
        return "too few calls"
    if estimate["high"] is None:  # too few calls for an upper end, so no point estimate either
        return f"at least {estimate['low']:.3g}"
    return f"{estimate['value']:.3g} [{estimate['low']:.3g}, {estimate['high']:.3g}]"


def limit(finding: Finding) -> str:
    """What the estimate is held against, in words."""
    budget = finding.budget
    words = "at least" if budget.at_least is not None else "at most"
    words = "allowed" if budget.max_drop is not None else words
    return f"{words} {_number(finding.limit, finding)} {_unit(finding)}".rstrip()


def changes(finding: Finding) -> str:
    """Answers lost and won, `12/9`; empty where no rows were asked."""
    return "" if finding.paired is None else f"{finding.paired.lost}/{finding.paired.won}"


def _is_check(finding: Finding) -> bool:
    return finding.budget.quantity in plugins.names("check")


def _unit(finding: Finding) -> str:
    quantity = finding.budget.quantity
    if _percent(finding):
        return "pp" if finding.budget.max_drop is not None else "%"
    return UNITS.get(quantity, "")


def _percent(finding: Finding) -> bool:
    """Whether the quantity is a share, shown in percent."""
    named, rows = finding.budget.quantity in PERCENT or _is_check(finding), finding.paired
    if rows is None:
        return named
    # A log's accuracy may be in percent already.
    return rows.share or (named and not max(abs(rows.baseline), abs(rows.value)) > 1)


def _number(value: float, finding: Finding) -> str:
    value += 0.0  # no "-0"
    sign = "+" if finding.budget.max_drop is not None else ""
    if _percent(finding):
        return f"{value * 100:{sign}.{_decimals(finding)}f}"
    return f"{value:{sign}.3g}" if abs(value) < 100 else f"{value:{sign}.0f}"


def _decimals(finding: Finding) -> int:
    """Decimals of a percentage point: more where the interval is narrow, or the limit has more."""
    allowed, fewest = finding.limit * 100, 2 if _width(finding) < 0.002 else 1
    return next((d for d in range(fewest, 5) if math.isclose(allowed, round(allowed, d))), 5)


def _width(finding: Finding) -> float:
    return finding.estimate.high - finding.estimate.low


def _end(value: float, finding: Finding) -> str:
    return "none" if math.isinf(value) else _number(value, finding)
