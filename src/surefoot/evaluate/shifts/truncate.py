"""Texts that break off."""

import re

import numpy as np

INPUT = "text"
LEAST = 40
"""Words that are always kept: what a shorter text says often stands in its last words."""
SHARE = 0.12


def truncate(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Long texts that break off: the last 12 % of the words per unit of severity are missing.

    What a text of several sentences is about is said more than once, and 40 words are always kept,
    so that the label mostly stays true; of all text shifts this is the one whose labels are least
    sure, so look at the rows. Shorter texts are left alone.

    Args:
        inputs: (n,) texts.
        rng: Not used: all texts lose the same share.
        severity: 0 (none) to 5 (six tenths).
    """
    kept = 1 - SHARE * severity
    return np.array([_cut(text, kept) for text in inputs.tolist()], dtype=inputs.dtype)


def _cut(text: str, kept: float) -> str:
    words = list(re.finditer(r"\S+", text))
    count = max(LEAST, round(kept * len(words)))
    return text if count >= len(words) else text[: words[count - 1].end()]
