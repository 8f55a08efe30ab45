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
    such words without noticing, so the label stays true. Source: Belinkov and Bisk (2018),
    "Synthetic and natural noise both break neural machine translation".

    Args:
        inputs: (n,) texts.
        rng: Where the slips are drawn from.
        severity: 0 (none) to 5 (every tenth letter).
    """
    found = [_slipped(text, rng, RATE * severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _slipped(text: str, rng: np.random.Generator, rate: float) -> str:
    slips = np.flatnonzero(rng.random(len(text)) < rate)
    kinds = rng.integers(4, size=len(slips))
    letters = list(text)
    for at, kind in zip(slips.tolist(), kinds.tolist(), strict=True):
        if not at or not (text[at].isalpha() and text[at - 1].isalpha()):
            continue
        near = NEIGHBOURS.get(text[at].lower(), "")
        if kind == 0 and near:
            letters[at] = near[at % len(near)]
        elif kind == 1:
            letters[at] = ""
        elif kind == 2:
            letters[at] = text[at] * 2
        elif at + 1 < len(text) and text[at + 1].isalpha():
            letters[at], letters[at + 1] = text[at + 1], text[at]
    return "".join(letters)
