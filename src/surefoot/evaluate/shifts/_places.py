"""Draws the places of a text that are changed."""

from collections.abc import Callable

import numpy as np

Change = Callable[[str, int, float], tuple[str, int] | None]
"""Given a text, a position and a number from 0 to 1 that decides how: what stands there instead,
and how many characters it stands for; None where nothing fits."""


def changed(
    inputs: np.ndarray, rng: np.random.Generator, rate: float, change: Change
) -> np.ndarray:
    """The texts with a share of their characters changed.

    The draws do not depend on the rate, so that more of it adds to the places of less.

    Args:
        inputs: (n,) texts.
        rng: Which characters, and how.
        rate: The share of the positions at which a change is tried.
        change: What is done at one of them.
    """
    return np.array([_one(text, rng, rate, change) for text in inputs.tolist()], inputs.dtype)


def _one(text: str, rng: np.random.Generator, rate: float, change: Change) -> str:
    chances, ways = rng.random((2, len(text)))
    parts, end = [], 0
    for at in np.flatnonzero(chances < rate).tolist():
        found = change(text, at, float(ways[at])) if at >= end else None
        if found:
            parts += [text[end:at], found[0]]
            end = at + found[1]
    return "".join([*parts, text[end:]])
