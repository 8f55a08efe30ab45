"""The report as Markdown for a comment on a change: one line, and the rest folded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from surefoot.core.printable import printable
from surefoot.report.content import BudgetLine, Content, worst_first
from surefoot.report.heat import SIGNS
from surefoot.report.tables import Table, as_table

MOST = 40
"""Lines of a table; a comment has a limit of 65,536 characters."""
LONGEST = 300
"""Characters of a cell."""


def markdown(content: Content) -> str:
    """The report for a comment; whatever others wrote stands in code spans, where nothing acts.

    Args:
        content: What it says.

    Returns:
        Markdown as GitHub and GitLab read it.
    """
    first = next(s for s in content.standings if s.name == content.candidate)
    sign, name = SIGNS[content.outcome], code(content.candidate)
    head = f"{sign} **{content.outcome}** {name}: {code(_rest(content))}"
    others = [
        (s.outcome or "", s.name, _p50(s.p50_ms), f"{s.size_mb:.2f}", s.decided)
        for s in content.standings
    ]
    standings = as_table("", ("outcome", "candidate", "p50 ms", "MB", "decided by"), others)
    untested = as_table(
        "", ("not tested", "what would tell"), [(g.what, g.fix) for g in content.gaps]
    )
    parts = [
        [head],
        [f"**Warning**: {code(doubt)}" for doubt in content.doubts],
        _folded("Why", [f"- {code(reason)}" for reason in content.reasons]),
        _folded("Waivers", _waivers(content.waivers)) if content.waivers.rows else [],
        _folded("Budgets", table_markdown(_budgets(first.budgets))),
        _folded("Candidates", table_markdown(standings)),
        _folded("What was not tested", table_markdown(untested)),
        _folded("How to reproduce it", ["```sh", *map(_fenced, content.reproduce), "```"]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _waivers(found: Table) -> list[str]:
    """Who signed for what, and what is odd about the dates."""
    return [*table_markdown(found), "", *map(code, found.notes)]


def table_markdown(table: Table) -> list[str]:
    """A table as Markdown; columns of nothing are left out.

    Args:
        table: The table.
    """
    kept = table.kept()
    rows = [[table.header[i] or " " for i in kept]]
    rows += [["---"] * len(kept)]
    rows += [[code(row[i]) for i in kept] for row in table.rows[:MOST]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    more = len(table.rows) - MOST
    return [*lines, *([f"\nand {more:,} more, in the report"] if more > 0 else [])]


def code(words: str) -> str:
    """Words in a code span: no link, mention, HTML or emphasis is made of them.

    Args:
        words: What others wrote, or what quotes it.
    """
    text = printable(words)
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    text = text.replace("|", "\\|")
    if not text.strip():
        return ""
    fence = "`" * (_longest_run(text) + 1)
    room = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{room}{text}{room}{fence}"


def _rest(content: Content) -> str:
    """The verdict's line without its first two words, which stand before it."""
    start = f"{content.outcome}  {printable(content.candidate)}  "
    return content.line.removeprefix(start)


def _budgets(lines: Sequence[BudgetLine]) -> Table:
    rows = [
        (one.outcome, one.subject, one.measured, one.limit, one.changed, one.note)
        for one in worst_first(lines)
    ]
    return as_table("", ("outcome", "budget", "measured", "limit", "lost/won", "remark"), rows)


def _folded(words: str, lines: Sequence[str]) -> list[str]:
    return ["<details>", f"<summary>{words}</summary>", "", *lines, "", "</details>"]


def _p50(estimate: object) -> str:
    value = getattr(estimate, "value", None)
    return "" if value is None else f"{value:.3g} [{_ends(estimate)}]"


def _ends(estimate: object) -> str:
    ends: Iterator[float] = (getattr(estimate, key) for key in ("low", "high"))
    return ", ".join("none" if end == float("inf") else f"{end:.3g}" for end in ends)


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _fenced(line: str) -> str:
    """A line inside a fence of three, which no line of others may end."""
    return printable(line).replace("```", "` ` `")
