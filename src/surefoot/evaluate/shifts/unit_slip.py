"""Values in the wrong unit."""

import numpy as np

INPUT = "numeric"
RATE = 0.01
FACTOR = 10.0


def unit_slip(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Values in the wrong unit: ten times too large or too small, as centimetres for millimetres.

    One in a hundred per unit of severity. The label is that of the row as it should have been read:
    the thing that was measured is the same, and only its record is wrong.

    Args:
        inputs: (n, d) float32 numbers.
        rng: Which values, and which way.
        severity: 0 (none) to 5 (one in twenty).

    Returns:
        Numbers of the same shape.
    """
    chances, ways = rng.random((2, *inputs.shape))
    slipped = chances < RATE * severity
    found, limit = inputs.copy(), np.finfo(inputs.dtype).max
    factors = np.where(ways[slipped] < 0.5, FACTOR, 1 / FACTOR)
    found[slipped] = np.clip(inputs[slipped] * factors, -limit, limit)
    return found
