"""Values that were not recorded."""

import numpy as np

INPUT = "numeric"
RATE = 0.05


def missing(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Values that were not recorded, and were filled with the median of their column.

    One in twenty per unit of severity. The row is about the same thing as before, so its label
    stays true. Source: Little and Rubin (2002), "Statistical analysis with missing data".

    Args:
        inputs: (n, d) float32 numbers.
        rng: Which values.
        severity: 0 (none) to 5 (a quarter of them).
    """
    if not len(inputs):
        return inputs.copy()
    gone = rng.random(inputs.shape) < RATE * severity
    return np.where(gone, np.median(inputs.astype(np.float64), axis=0).astype(inputs.dtype), inputs)
