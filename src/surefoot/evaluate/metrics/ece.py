"""How far confidence and accuracy lie apart."""

import numpy as np

HIGHER_IS_BETTER = False
BINS = 15
LEAST = 20
"""Rows of a bin, at least: fewer bins where there are few rows."""


def ece(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How far confidence and accuracy lie apart: the debiased calibration error, 0 is perfect.

    The root of the mean squared gap between confidence and accuracy in bins of equally many rows,
    less what chance alone adds to each: a plain ECE is above zero for a perfectly calibrated model,
    and the more so the fewer rows there are. Source: Kumar, Liang and Ma (2019), "Verified
    uncertainty calibration". Reweighted rows say less than as many independent ones, by Kish's
    effective number of rows, so that bootstrap replicates are debiased as well.

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.
        weights: (draws, n) weights of the rows.

    Returns:
        (draws,) float64.
    """
    n, confidence = len(labels), scores.max(axis=1).astype(np.float64)
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    bins = max(1, min(BINS, n // LEAST))
    order = np.argsort(confidence, kind="stable")
    member = np.zeros((n, bins))
    member[order, np.arange(n) * bins // n] = 1
    total = weights @ member
    worth = total**2 / (np.square(weights) @ member)
    accuracy = (weights @ (member * right[:, None])) / total
    gap = (weights @ (member * confidence[:, None])) / total - accuracy
    chance = accuracy * (1 - accuracy) / np.maximum(worth - 1, 1)
    squares = (total * (np.square(gap) - chance)).sum(axis=1) / total.sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
