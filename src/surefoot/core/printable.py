"""Text of others made safe to show: a row or a class may hold anything."""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what is not seen but acted upon."""
_JOINERS = "\u200c\u200d"
"""Invisible, but part of how scripts and emoji are written."""


def printable(text: str) -> str:
    r"""The text on one line, with what a terminal or a reader could be misled by written out.

    Control characters and escape sequences, marks that turn the direction of text, and ends of
    lines become escapes such as `\x1b`; everything that can be seen stays.

    Args:
        text: Any text.
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in _HIDDEN and character not in _JOINERS
    return character.encode("unicode_escape").decode() if hidden else character
