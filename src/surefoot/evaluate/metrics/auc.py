"""How well the scores of two classes rank the rows."""

import numpy as np

from surefoot.core.errors import DataError

HIGHER_IS_BETTER = True


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How well the scores of two classes rank the rows: the area under the ROC curve.

    The chance that a row of the second class has a higher score for it than a row of the first;
    equal scores count half. Source: Hanley and McNeil (1982), "The meaning and use of the area
    under a receiver operating characteristic (ROC) curve".

    Args:
        scores: (n, 2) probabilities.
        labels: (n,) class indices.
        weights: (draws, n) weights of the rows.

    Returns:
        (draws,) float64, 0 to 1.

    Raises:
        DataError: More than two classes, or rows of one class only.
    """
    if scores.shape[1] != 2 or len(np.unique(labels)) != 2:
        raise DataError(
            f"'auc' ranks rows of two classes, and these {len(labels)} rows are of"
            f" {len(np.unique(labels))} of the model's {scores.shape[1]} classes"
        )
    order = np.argsort(scores[:, 1], kind="stable")
    ranked, positive = scores[order, 1], labels[order] == 1
    weights = weights[:, order]
    negatives = np.where(positive, 0.0, weights)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(negatives, axis=1)], axis=1)
    first = np.searchsorted(ranked, ranked, side="left")
    last = np.searchsorted(ranked, ranked, side="right")
    beaten = (below[:, first] + below[:, last]) / 2
    positives = np.where(positive, weights, 0.0)
    pairs = positives.sum(axis=1) * below[:, -1]
    return np.asarray((positives * beaten).sum(axis=1) / pairs)
