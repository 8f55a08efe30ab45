"""Characters that look the same and are others."""

import numpy as np

INPUT = "text"
LOOKS = {
    " ": "\u00a0", "a": "\u0430", "e": "\u0435", "o": "\u043e", "p": "\u0440", "c": "\u0441",
    "x": "\u0445", "i": "\u0456", "A": "\u0391", "E": "\u0395", "O": "\u039f", "'": "\u2019",
    '"': "\u201d", "-": "\u2011",
}  # fmt: skip
RATE = 0.02


def confusables(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """Characters that look the same and are others: Cyrillic letters, curly quotes and the like.

    About 2 % of the characters that have such a double per unit of severity. Nobody sees a
    difference on the screen, so the label stays true. Source: Unicode Technical Standard 39,
    "Unicode security mechanisms".

    Args:
        inputs: (n,) texts.
        rng: Which characters.
        severity: 0 (none) to 5 (every tenth).
    """
    found = []
    for text in inputs.tolist():
        changed = rng.random(len(text)) < RATE * severity
        pairs = zip(text, changed.tolist(), strict=True)
        found.append("".join(LOOKS.get(char, char) if yes else char for char, yes in pairs))
    return np.array(found, dtype=inputs.dtype)
