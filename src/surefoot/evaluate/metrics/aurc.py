"""How well confidence tells which answers to trust."""

import numpy as np

HIGHER_IS_BETTER = False


def aurc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How well confidence tells which answers to trust: the area under the risk-coverage curve.

    The error rate among the rows that are at least as confident as a row, averaged over the rows:
    0 is perfect, and a confidence that says nothing gives the error rate. Rows of equal confidence
    are accepted together, since no threshold can part them. Source: Geifman, Uziel and El-Yaniv
    (2019), "Bias-reduced uncertainty estimation for deep neural classifiers".

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.
        weights: (draws, n) weights of the rows.

    Returns:
        (draws,) float64, 0 to 1.
    """
    confidence = scores.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (scores.argmax(axis=1) != labels)[order]
    weights = weights[:, order]
    accepted, errors = np.cumsum(weights, axis=1), np.cumsum(weights * wrong, axis=1)
    # The last row of each stretch of equal confidence; the weights of a stretch count together.
    last = np.flatnonzero(np.diff(confidence[order], append=-1.0))
    if len(last) < len(order):
        accepted, errors = accepted[:, last], errors[:, last]
        weights = np.diff(accepted, axis=1, prepend=0)
    risk = errors / np.maximum(accepted, np.finfo(np.float64).tiny)
    return np.asarray((weights * risk).sum(axis=1) / accepted[:, -1])
