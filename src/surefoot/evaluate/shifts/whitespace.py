"""Blanks that are doubled, odd or invisible."""

import re

import numpy as np

INPUT = "text"
BLANKS = ("  ", "\t", "\n", "\u00a0", "\u2009", "\u3000", "\u200b ", " \ufeff")
"""What may stand for one blank: two, a tab, a new line, no-break, thin and wide blanks, and a blank
beside a character of no width."""
INVISIBLE = ("\u200b", "\u00ad", "\u2060")
"""Characters of no width that may stand inside a word: a place to break, a soft hyphen, a joiner."""
RATE = 0.06
INSIDE = 0.01
_PLACES = re.compile(r" |(?<=[^\W\d_])(?=[^\W\d_])")


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
    found = [_spaced(text, rng, severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _spaced(text: str, rng: np.random.Generator, severity: float) -> str:
    # The draws do not depend on the severity, so that more of it adds to the places of less.
    draws = iter(rng.random((len(text) + 1, 2)).tolist())

    def other(place: re.Match[str]) -> str:
        chance, way = next(draws)
        kinds, rate = (BLANKS, RATE) if place[0] else (INVISIBLE, INSIDE)
        return kinds[int(way * len(kinds))] if chance < rate * severity else place[0]

    return _PLACES.sub(other, text)
