"""Blanks that are doubled, odd or invisible."""

import numpy as np

from surefoot.evaluate.shifts._places import changed

INPUT = "text"
BLANKS = ("  ", "\t", "\n", "\u00a0", "\u2009", "\u3000", "\u200b ", " \ufeff")
"""What may stand for one blank: two, a tab, a new line, no-break, thin and wide blanks, and a blank
beside a character of no width."""
INVISIBLE = ("\u200b", "\u00ad", "\u2060")
"""Characters of no width that may stand in a word: a place to break, a soft hyphen, a joiner."""
RATE = 0.06
INSIDE = 1 / 6
"""Of the places inside words that are drawn, the share that gets an invisible character."""


def whitespace(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Blanks that are doubled, odd or invisible, as copying from pages and documents leaves them.

    About 6 % of the blanks and 1 % of the places between two letters per unit of severity. Words
    and their order are the same on the screen, so the label stays true. Source: Boucher,
    Shumailov, Anderson and Papernot (2022), "Bad characters: imperceptible NLP attacks".

    Args:
        inputs: (n,) texts.
        rng: Which places.
        severity: 0 (none) to 5 (three blanks in ten).
    """
    return changed(inputs, rng, RATE * severity, _spaced)


def _spaced(text: str, at: int, way: float) -> tuple[str, int] | None:
    if text[at] == " ":
        return BLANKS[int(way * len(BLANKS))], 1
    if at and way < INSIDE and text[at].isalpha() and text[at - 1].isalpha():
        return INVISIBLE[int(way / INSIDE * len(INVISIBLE))], 0
    return None
