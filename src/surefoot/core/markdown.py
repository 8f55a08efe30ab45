"""Text of others in Markdown: names and labels may hold anything."""

from __future__ import annotations

import re
from collections.abc import Sequence

from surefoot.core.printable import printable

_SPECIAL = re.compile(
    r"[\\`*\[\]#|~$<>&@]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE
)
"""What begins markup, a mention, a reference or a link that GitHub makes by itself."""
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;", ":": "&#58;", ".": "&#46;"}


def escaped(text: str) -> str:
    r"""The text so that Markdown shows it as it is, on one line, and nothing in it is a link.

    Args:
        text: Any text.
    """
    return _SPECIAL.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), printable(text))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table with an empty line after it; no lines where there are no rows.

    Args:
        header: The names of the columns, plain text.
        rows: Cells of plain text: they are escaped here.
    """
    if not rows:
        return []
    lines = [[escaped(cell) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]
