"""Slips of the finger on a keyboard."""

import numpy as np

INPUT = "text"
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
NEIGHBOURS = {
    key: "".join(row[max(0, i - 1) : i] + row[i + 1 : i + 2])
    for row in ROWS
    for i, key in enumerate(row)
}
RATE = 0.02


def typos(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Slips of the finger: neighbouring keys, letters dropped, doubled or swapped.

    About 2 % of the letters inside words per unit of severity; first letters stay. People read
    such words without noticing, so the label stays true. Scripts without capitals, such as Chinese,
    where one character may be the "not", are left alone. Source: Belinkov and Bisk (2018),
    "Synthetic and natural noise both break neural machine translation".

    Args:
        inputs: (n,) texts.
        rng: Where the slips are drawn from.
        severity: 0 (none) to 5 (every tenth letter).
    """
    found = [_slipped(text, rng, RATE * severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _slipped(text: str, rng: np.random.Generator, rate: float) -> str:
    # The draws do not depend on the rate, so that more severity adds slips to those of less.
    chances, ways = rng.random((2, len(text)))
    letters = list(text)
    for at in np.flatnonzero(chances < rate).tolist():
        if not at or not (_has_case(text[at]) and text[at - 1].isalpha()):
            continue
        kind, way = divmod(4 * float(ways[at]), 1)
        near = NEIGHBOURS.get(text[at].lower(), "")
        if kind == 0 and near:
            key = near[int(way * len(near))]
            letters[at] = key.upper() if text[at].isupper() else key
        elif kind == 1:
            letters[at] = ""
        elif kind == 2 and _has_case(text[at + 1 : at + 2]):
            letters[at], letters[at + 1] = text[at + 1], text[at]
        else:
            letters[at] = text[at] * 2
    return "".join(letters)


def _has_case(letter: str) -> bool:
    """Latin, Greek, Cyrillic: in scripts without capitals one character may be a whole word."""
    return letter.lower() != letter.upper()
