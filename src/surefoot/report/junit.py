"""The report as JUnit XML: one test case a budget finding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from surefoot.core.printable import printable
from surefoot.report.content import BudgetLine, Content, Standing

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 may not hold, even escaped."""


def junit(content: Content) -> str:
    """The report as XML that CI systems show as tests.

    A budget that failed is a `failure`. One that is INCONCLUSIVE is an `error`, not `skipped`: what
    is skipped counts as success in every CI system, and INCONCLUSIVE releases nothing. The
    candidates that were not chosen are `skipped`: that a rival lost breaks no build.

    Args:
        content: What it says.

    Returns:
        XML.
    """
    first = next(s for s in content.standings if s.name == content.candidate)
    others = [s for s in content.standings[1:] if s.name != content.candidate]
    counts = {o: sum(b.outcome == o for b in first.budgets) for o in ("FAIL", "INCONCLUSIVE")}
    totals = (
        f'tests="{len(first.budgets) + len(others)}" failures="{counts["FAIL"]}"'
        f' errors="{counts["INCONCLUSIVE"]}"'
    )
    group = f"surefoot.{content.task}"
    mine = f"{group}.{content.candidate}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites name={_attribute(group)} {totals}>",
        f'<testsuite name={_attribute(mine)} {totals} skipped="{len(others)}">',
        *_properties(content),
        *(line for one in first.budgets for line in _case(one, mine)),
        *(line for one in others for line in _other(one, f"{group}.{one.name}")),
        f"<system-out>{_text(content.line)}</system-out>",
        "</testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _properties(content: Content) -> Iterator[str]:
    known = {"verdict": content.outcome, "candidate": content.candidate, "run": content.key}
    yield "<properties>"
    for name, value in known.items():
        yield f"<property name={_attribute(name)} value={_attribute(value)}/>"
    yield "</properties>"


def _case(one: BudgetLine, group: str) -> Iterator[str]:
    name = _attribute(f"{one.subject}, {one.limit}")
    said = f"{one.subject} {one.measured}, {one.limit}"
    n = f"n={one.estimate.n:,}, {one.estimate.method}"
    message = f"{said} ({n})" + (f"; {one.note}" if one.note else "")
    start = f"<testcase classname={_attribute(group)} name={name}"
    if one.outcome == "PASS":
        yield f"{start}/>"
        return
    tag = "failure" if one.outcome == "FAIL" else "error"
    yield f"{start}>"
    yield f'<{tag} type="{one.outcome}" message={_attribute(message)}>{_text(message)}</{tag}>'
    yield "</testcase>"


def _other(one: Standing, group: str) -> Iterator[str]:
    yield f"<testcase classname={_attribute(group)} name={_attribute('was not chosen')}>"
    yield f"<skipped message={_attribute(one.line)}/>"
    yield "</testcase>"


def _attribute(words: str) -> str:
    return quoteattr(_FORBIDDEN.sub("?", printable(words)))


def _text(words: str) -> str:
    return escape(_FORBIDDEN.sub("?", printable(words)))
