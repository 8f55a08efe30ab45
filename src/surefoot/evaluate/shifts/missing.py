"""Values that were not recorded."""

import numpy as np

INPUT = "numeric"
RATE = 0.05


def missing(inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0) -> np.ndarray:
    """Values that were not recorded, and were filled with the median of their column.

    One in twenty per unit of severity. The row is about the same thing as before, so its label
    stays true. Source: Little and Rubin (2002), "Statistical analysis with missing data".

    Args:
        inputs: (n, d) float32 numbers; one that is missing already stays so.
        rng: Which values.
        severity: 0 (none) to 5 (a quarter of them).
    """
    gone = (rng.random(inputs.shape) < RATE * severity) & ~np.isnan(inputs)
    found = inputs.copy()
    for column in np.flatnonzero(gone.any(axis=0)).tolist():
        known = inputs[:, column].astype(np.float64)
        found[gone[:, column], column] = np.nanmedian(known)
    return found
