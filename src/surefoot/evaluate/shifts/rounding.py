"""Values that were written down with fewer digits."""

import numpy as np

INPUT = "numeric"
FINEST = 512


def rounding(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Values written down with fewer digits: each column on a coarser grid.

    A column's standard deviation is cut into 512 / 4^severity steps, half a step at severity 5.
    What was measured is the same, so the label stays true.

    Args:
        inputs: (n, d) float32 numbers.
        rng: Not used.
        severity: 0 (none) to 5 (two standard deviations a step).
    """
    if not severity or not len(inputs):
        return inputs.copy()
    spread = inputs.std(axis=0, dtype=np.float64)
    step = np.where(spread > 0, spread, 1.0) * 4**severity / FINEST
    return (np.rint(inputs / step) * step).astype(inputs.dtype)
