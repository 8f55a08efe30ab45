"""The same text in other code points."""

import re
import unicodedata

import numpy as np

from surefoot.evaluate.shifts._places import changed

INPUT = "text"
FORMS = {
    "...": "\u2026", "--": "\u2014", "fi": "\ufb01", "fl": "\ufb02", "ff": "\ufb00",
    "'": "\u2019", '"': "\u201d", "!": "\uff01", "?": "\uff1f", ",": "\uff0c", ":": "\uff1a",
    "(": "\uff08", ")": "\uff09",
}  # fmt: skip
"""Ligatures, typographic and wide marks that mean what the plain ones mean."""
RATE = 0.06
LETTERS = 0.2
"""Of the letters and digits that are drawn, the share that becomes wide."""
WIDE = 0xFEE0
"""From a printable ASCII character to its wide form."""
_PIECES = re.compile("|".join(map(re.escape, FORMS)))


def unicode_forms(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """The same text in other code points: ligatures, wide letters, curly quotes, split accents.

    About 6 % of the marks, ligatures and accents per unit of severity, and a fifth as many letters.
    Whoever reads the text sees the same words, so the label stays true; a program that normalises
    its input (NFKC) sees most of them too. Source: Unicode Standard Annex 15, "Unicode
    normalization forms".

    Args:
        inputs: (n,) texts.
        rng: Which characters.
        severity: 0 (none) to 5 (three in ten).
    """
    return changed(inputs, rng, RATE * severity, _formed)


def _formed(text: str, at: int, way: float) -> tuple[str, int] | None:
    piece, char = _PIECES.match(text, at), text[at]
    if piece:
        return FORMS[piece[0]], len(piece[0])
    if not char.isascii():
        return unicodedata.normalize("NFD", char), 1
    return (chr(ord(char) + WIDE), 1) if char.isalnum() and way < LETTERS else None
