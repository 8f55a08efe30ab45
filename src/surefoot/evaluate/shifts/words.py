"""Words that are missing or stand there twice."""

import re

import numpy as np

INPUT = "text"
RATE = 0.03
KEPT = re.compile(
    r"(?:not?|never|none|nothing|nobody|nor|without|cannot|.*n['\u2019]t)\W*", re.IGNORECASE
)
"""Words that turn a meaning round, and therefore stay as they are."""


def words(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Words that are missing or stand there twice, as in hasty writing.

    About 3 % of the words per unit of severity. Negations are never touched and a text never loses
    its last word, so that what it says, and the label, stay the same.

    Args:
        inputs: (n,) texts.
        rng: Which words.
        severity: 0 (none) to 5 (15 %).
    """
    found = [_changed(text, rng, RATE * severity) for text in inputs.tolist()]
    return np.array(found, dtype=inputs.dtype)


def _changed(text: str, rng: np.random.Generator, rate: float) -> str:
    parts = re.split(r"(\s+)", text)
    chances = rng.random(len(parts))
    last = len(parts) - 1
    for at in range(0, len(parts), 2):
        if chances[at] >= rate or not parts[at] or KEPT.fullmatch(parts[at]):
            continue
        if chances[at] < rate / 2:
            parts[at] = f"{parts[at]} {parts[at]}"
        elif at < last:
            parts[at] = parts[at + 1] = ""
    return "".join(parts)
