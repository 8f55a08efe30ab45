"""F1 averaged over the classes, so that a rare class counts as much as a common one."""

import numpy as np

HIGHER_IS_BETTER = True
OF_ANSWERS = True
"""Scores matter only for the answer they lead to: without changed answers there is no variance."""


def macro_f1(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 averaged over the classes, so that a rare class counts as much as a common one.

    Classes that are neither label nor answer of a row that counts are left out. Source: van
    Rijsbergen (1979), "Information retrieval", for F1; Yang and Liu (1999), "A re-examination of
    text categorization methods", for its average.

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.
        weights: (draws, n) weights of the rows.

    Returns:
        (draws,) float64, 0 to 1.
    """
    classes, predicted = np.arange(scores.shape[1]), scores.argmax(axis=1)
    answered, true = predicted[:, None] == classes, labels[:, None] == classes
    hits = weights @ (answered & true).astype(np.float64)
    both = weights @ (answered.astype(np.float64) + true)
    f1 = np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(f1.sum(axis=1) / (both > 0).sum(axis=1))
