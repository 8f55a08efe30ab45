"""Values that were written down with fewer digits."""

import numpy as np

INPUT = "numeric"
DIGITS = (9, 4, 3, 2, 1.5, 1)
"""Significant digits that are left at severity 0 to 5; float32 has fewer than 9."""


def rounding(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Values written down with fewer significant digits: 4, 3, 2, 1 or 2, and 1.

    Between two numbers of digits, a share of the values has the smaller one. What was measured is
    the same, so the label stays true; a value that names something, such as a year or a code, says
    less than before.

    Args:
        inputs: (n, d) float32 numbers.
        rng: Which values have a digit less.
        severity: 0 (none) to 5 (one digit).

    Returns:
        Numbers of the same shape.
    """
    digits = np.floor(np.interp(severity, range(6), DIGITS) + rng.random(inputs.shape))
    if not severity:
        return inputs.copy()
    values, limit = inputs.astype(np.float64), np.finfo(inputs.dtype).max
    sizes = np.floor(np.log10(np.abs(np.where(values == 0, 1.0, values))))
    scales = 10.0 ** (digits - 1 - sizes)
    return np.clip(np.rint(values * scales) / scales, -limit, limit).astype(inputs.dtype)
