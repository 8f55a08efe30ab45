"""How surprised a model is by the truth."""

import math

import numpy as np

HIGHER_IS_BETTER = False
SMALLEST = 1e-7
"""About the smallest probability that float32 scores can tell from zero."""
SPAN = -math.log(SMALLEST)
"""The most that two models can differ by on a row."""


def log_loss(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log of the probability given to the right class, in nats; 0 is perfect.

    A probability of zero counts as 1e-7, so that one certain error does not make a mean infinite.

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.

    Returns:
        (n,) float64.
    """
    right = scores[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(right, SMALLEST)), dtype=np.float64)
