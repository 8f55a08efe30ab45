"""The same text in other code points."""

import re
import unicodedata

import numpy as np

INPUT = "text"
FORMS = {
    "...": "\u2026", "--": "\u2014", "fi": "\ufb01", "fl": "\ufb02", "ff": "\ufb00",
    "'": "\u2019", '"': "\u201d", "!": "\uff01", "?": "\uff1f", ",": "\uff0c", ":": "\uff1a",
    "(": "\uff08", ")": "\uff09",
}  # fmt: skip
"""Ligatures, typographic and wide marks that mean what the plain ones mean."""
RATE = 0.06
WIDE = 0xFEE0
"""From a printable ASCII character to its wide form."""
_PIECES = re.compile("|".join([*map(re.escape, FORMS), "[0-9A-Za-z]", r"[^\x00-\x7f]"]))


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
    found = [_formed(text, rng, RATE * severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _formed(text: str, rng: np.random.Generator, rate: float) -> str:
    # The draws do not depend on the rate, so that more severity adds to the places of less.
    draws = iter(rng.random(len(text)).tolist())

    def other(piece: re.Match[str]) -> str:
        plain, chance = piece[0], next(draws)
        if plain in FORMS:
            return FORMS[plain] if chance < rate else plain
        if plain.isascii():
            return chr(ord(plain) + WIDE) if chance < rate / 5 else plain
        return unicodedata.normalize("NFD", plain) if chance < rate else plain

    return _PIECES.sub(other, text)
