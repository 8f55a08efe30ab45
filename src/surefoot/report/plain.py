"""The report for a terminal: the tables of a run, what was not tested, how to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surefoot.core.printable import printable
from surefoot.report.bundle import bundle_lines
from surefoot.report.content import Content
from surefoot.report.terminal import table


def plain_lines(folder: Path, content: Content) -> list[str]:
    """What `surefoot gate` says of a run, and what a reader of a bundle needs besides.

    Args:
        folder: The bundle's.
        content: What the report says.
    """
    *lines, last = bundle_lines(folder, content.data)
    gaps: Sequence[Sequence[str]] = [(gap.what, gap.fix) for gap in content.gaps]
    return [
        *lines,
        *table(("what was not tested", "what would tell"), gaps),
        "",
        "how to reproduce it:",
        *(f"  {printable(line)}" for line in content.reproduce),
        "",
        last,
    ]
