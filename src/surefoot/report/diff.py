"""What moved between two versions, for the terminal; first and last the summary."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from surefoot.core.diff import USE, AnswersMove, BudgetMove, Diff, LatencyMove, Move, VerdictMove
from surefoot.core.drift import Change
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding
from surefoot.core.printable import printable
from surefoot.report.terminal import amount, limit, table

WORDS = {0: "MOVED", 1: "WORSE", 3: "UNDECIDED", 4: "NOT COMPARABLE"}
ORDER = ("worse", "undecided", "better", "moved", "open", "not compared", "same")
_ONE = "1 budget has the outcome that it had"
MOST_PLACES = 8
"""Places without a change that are named."""


def diff_exit_code(found: Diff) -> int:
    """1 if something is shown to be worse, 4 if the evidence does not fit, 3 if undecided, else 0.

    What is shown to be worse stays so whatever else could not be compared. What could not be
    compared might be worse, and so might what is undecided: neither may pass as 0.
    """
    statuses = _statuses(found)
    if "worse" in statuses:
        return 1
    if found.incompatible:
        return 4
    return 3 if "undecided" in statuses else 0


def diff_lines(found: Diff) -> list[str]:
    """All of it: the summary, what was changed, and what that did."""
    summary = _summary(found)
    parts = [
        [summary, *(printable(f"not comparable: {reason}") for reason in found.incompatible)],
        _changes("plan", found.plan),
        _changes("test set", found.data),
        _changes("environment", found.environment),
        _verdicts(found.verdicts),
        _budgets(found.budgets),
        _answers(found.answers),
        _latencies(found.latencies),
        list(_remarks(found)),
        [summary],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part).splitlines()


def _summary(found: Diff) -> str:
    """One line: the word, the worst thing, and how many places and budgets moved."""
    code = diff_exit_code(found)
    changed = bool(_statuses(found) & {*ORDER[:4]})
    changed = changed or bool(found.plan or found.data or found.environment)
    changed = changed or any(_row(one) != _row(one, then=True) for one in found.verdicts)
    word = "SAME" if code == 0 and not changed else WORDS[code]
    counts = [_count(found.answers, "places"), _count(found.budgets, "budgets")]
    worst = _worst(found) if code in (1, 3) else ""
    told = "; ".join(filter(None, [worst, *counts])) or "nothing to compare"
    return printable(f"{word}  {told}")


def _statuses(found: Diff) -> set[Move]:
    """Every status that stands anywhere."""
    answers, budgets = (m.status for m in found.answers), (m.status for m in found.budgets)
    return {*answers, *budgets, *(m.status for m in found.latencies)}


def _count(moves: Sequence[AnswersMove | BudgetMove], what: str) -> str:
    """`3 of 12 places moved: 1 worse, 2 better`."""
    if not moves:
        return ""
    counts = {word: sum(m.status == word for m in moves) for word in ORDER}
    moved = sum(counts[word] for word in ORDER[:4])
    told = ", ".join(f"{counts[w]} {w}" for w in (*ORDER[:3], "not compared") if counts[w])
    return f"{moved} of {len(moves)} {what} moved" + (f": {told}" if told else "")


def _worst(found: Diff) -> str:
    """The move to quote: a budget, else the place with the smallest chance, else a latency."""
    for word in ORDER[:2]:
        for budget in (b for b in found.budgets if b.status == word and b.then and b.now):
            assert budget.then is not None
            assert budget.now is not None
            outcomes = f"{budget.then.outcome} -> {budget.now.outcome}"
            return f"{budget.candidate}: {budget.subject} {outcomes}, {amount(budget.now)}"
        if places := [a for a in found.answers if a.status == word]:
            worst = min(places, key=lambda a: a.p)
            return f"{worst.candidate}: {worst.metric} on {worst.place} {_difference(worst)}"
        for late in (m for m in found.latencies if m.status == word):
            return f"{late.candidate}: p50 at batch {late.batch} {_times(late.ratio)}"
    return ""


def _changes(what: str, changes: Sequence[Change]) -> list[str]:
    rows = [(change.what, change.there, change.here) for change in changes]
    return table((what, "then", "now"), rows) if rows else []


def _row(one: VerdictMove, *, then: bool = False) -> tuple[str, str, str, str]:
    outcome, model, size, runtime = (
        (one.then, one.model_then, one.bytes_then, one.runtime_then)
        if then
        else (one.now, one.model_now, one.bytes_now, one.runtime_now)
    )
    if model is None:
        return ("not there", "", "", "")
    return (outcome or "", model[:12], f"{(size or 0) / 1e6:.3g}", runtime or "")


def _verdicts(moves: Sequence[VerdictMove]) -> list[str]:
    rows = []
    for one in moves:
        old, new = _row(one, then=True), _row(one)
        both = (
            a if a == b else f"{a or 'none'} -> {b or 'none'}"
            for a, b in zip(old, new, strict=True)
        )
        rows.append([one.candidate, *both])
    return table(("candidate", "verdict", "model", "MB", "runtime"), rows) if rows else []


def _budgets(moves: Sequence[BudgetMove]) -> list[str]:
    """Budgets whose outcome moved or that could not be compared; the others are counted."""
    shown = sorted((m for m in moves if m.status != "same"), key=lambda m: ORDER.index(m.status))
    rows = [
        (m.status, m.candidate, m.subject, _finding(m.then), _finding(m.now), m.note) for m in shown
    ]
    same = len(moves) - len(shown)
    lines = table(("", "candidate", "budget", "then", "now", ""), rows) if rows else []
    said = f"{same} budgets have the outcome that they had" if same > 1 else _ONE
    return [*lines, *([said] if same else [])]


def _finding(finding: Finding | None) -> str:
    return "" if finding is None else f"{finding.outcome} {amount(finding)}, {limit(finding)}"


def _answers(moves: Sequence[AnswersMove]) -> list[str]:
    """A line for each place that moved; those without a change share one for each candidate."""
    rows = [
        (
            m.status,
            m.candidate,
            m.place,
            m.metric,
            f"{m.rows:,}" if m.rows else "",
            f"{m.lost}/{m.won}/{m.other}" if m.paired and m.rows else "",
            f"{m.then:.4f} -> {m.now:.4f}" if m.rows else "",
            _difference(m),
            f"{m.p:.2g}" if m.difference else "",
            m.note,
        )
        for m in sorted(moves, key=lambda m: ORDER.index(m.status))
        if m.status != "same"
    ]
    header = ("", "candidate", "on", "metric", "rows", "lost/won/other", "", "change", "p", "")
    lines = table(header, rows) if rows else []
    return [*lines, *map(printable, _same_answers(moves))]


def _same_answers(moves: Sequence[AnswersMove]) -> Iterator[str]:
    """Where nothing moved: candidates with the same answers everywhere share a line."""
    same: dict[str, dict[str, None]] = defaultdict(dict)
    for m in moves:
        if m.status == "same":
            same[m.candidate][f"{m.place} (n={m.rows:,})"] = None
    moved = {m.candidate for m in moves if m.status != "same"}
    if still := [name for name in same if name not in moved]:
        yield f"same answers in every place: {', '.join(still)}"
    for name in (name for name in same if name in moved):
        places = [*same[name]]
        more = f" and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
        yield f"same answers: {name} on {', '.join(places[:MOST_PLACES])}{more}"


def _difference(move: AnswersMove) -> str:
    found = move.difference
    if found is None:
        return ""
    scale, form, unit = (100, "+.2f", " pp") if move.metric == "accuracy" else (1, "+.3g", "")
    value, low, high = (
        "none" if math.isinf(x) else f"{scale * x + 0.0:{form}}"
        for x in (found.value, found.low, found.high)
    )
    return f"{value}{unit} [{low}, {high}]"


def _latencies(moves: Sequence[LatencyMove]) -> list[str]:
    rows = [
        (m.status, m.candidate, str(m.batch), _times(m.ratio), _times(m.beside_baseline), m.note)
        for m in moves
    ]
    header = ("", "candidate", "batch", "p50 now over then", "beside the baseline's", "")
    return table(header, rows) if rows else []


def _times(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}] x"


def _remarks(found: Diff) -> Iterator[str]:
    tested = [m for m in found.answers if m.status not in ("same", "not compared")]
    if tested:
        yield (
            f"worse and better: at 5 % for all {len(tested)} places that moved together (Holm);"
            " of answers row by row by the exact McNemar test, of groups by the sign test"
        )
    if any(change.what == USE for change in found.plan):
        yield (
            "a later use of the test sets is allowed less error: an outcome may move for that alone"
        )
    if any(not m.paired for m in tested):
        yield "where no id is shared, the change has a wider interval: rows are not paired"
    if any(m.status == "undecided" for m in found.answers):
        yield "undecided: nothing is shown, and a drop beyond what the plan allows is not ruled out"
