"""The share of right answers."""

import numpy as np

HIGHER_IS_BETTER = True
SPAN = 1.0
"""The most that two models can differ by on a row."""


def accuracy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 where the class with the highest score is the right one, else 0.

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.

    Returns:
        (n,) float64 of 0 and 1.
    """
    return np.asarray(scores.argmax(axis=1) == labels, dtype=np.float64)
