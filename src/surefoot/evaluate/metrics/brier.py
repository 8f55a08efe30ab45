"""How far the probabilities are from the truth."""

import numpy as np

HIGHER_IS_BETTER = False
SPAN = 2.0
"""The most that two models can differ by on a row."""


def brier(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The squared distance between the probabilities and the truth, 0 (perfect) to 2.

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability".

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.

    Returns:
        (n,) float64.
    """
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    squares = np.square(scores, dtype=np.float64).sum(axis=1)
    return np.asarray(squares - 2 * right + 1)
