"""Texts in capitals, in small letters, or with capital words."""

import numpy as np

INPUT = "text"
FORMS = (str.upper, str.lower, str.title)


def case(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Whole texts in capitals, in small letters, or with every word capitalised.

    A fifth of the texts per unit of severity. The words are the same, so the label stays true,
    unless it is about capitals. A model that lower-cases its input does not notice.

    Args:
        inputs: (n,) texts.
        rng: Which texts, and how.
        severity: 0 (none) to 5 (all).
    """
    chosen = rng.random(len(inputs)) < severity / 5
    forms = rng.integers(len(FORMS), size=len(inputs))
    found = [
        FORMS[form](text) if yes else text
        for text, yes, form in zip(inputs.tolist(), chosen, forms, strict=True)
    ]
    return np.array(found, dtype=inputs.dtype)
