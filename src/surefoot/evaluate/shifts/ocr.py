"""What scanners take for something else."""

import re

import numpy as np

from surefoot.evaluate.shifts._places import changed

INPUT = "text"
LOOKS = {
    "rn": "m", "m": "rn", "l": "1", "1": "l", "O": "0", "0": "O", "o": "0", "e": "c", "c": "e",
    "S": "5", "5": "S", "B": "8", "8": "B", "i": "l", "h": "b", "cl": "d", "vv": "w", "u": "v",
}  # fmt: skip
_PIECES = re.compile("|".join(sorted(map(re.escape, LOOKS), key=len, reverse=True)))
RATE = 0.02


def ocr(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """What a scanner takes for something else: rn for m, 0 for O, 1 for l.

    About 2 % of the characters that can be mistaken per unit of severity. The text says what it
    said, to whoever looks at the page, so the label stays true.

    Args:
        inputs: (n,) texts.
        rng: Where the mistakes are drawn from.
        severity: 0 (none) to 5 (every tenth such character).
    """
    return changed(inputs, rng, RATE * severity, _mistaken)


def _mistaken(text: str, at: int, _: float) -> tuple[str, int] | None:
    piece = _PIECES.match(text, at)
    return (LOOKS[piece[0]], len(piece[0])) if piece else None
