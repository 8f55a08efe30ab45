"""Fits a linear classifier on features."""

from __future__ import annotations

import numpy as np

CONSTANT = 1e-6
"""A feature whose spread is a smaller share of the largest one varies by rounding alone."""


def fit_linear_head(
    features: np.ndarray, targets: np.ndarray, *, l2: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression with an L2 penalty, by L-BFGS.

    Minimises the summed cross-entropy plus `l2 / 2` times the squared weights of the standardised
    features (intercepts are free), as scikit-learn's `LogisticRegression` does with `C = 1 / l2`;
    soft targets as in Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural
    Network".

    Args:
        features: (n, d).
        targets: (n, C) one-hot labels or probabilities.
        l2: The strength of the penalty.

    Returns:
        (C, d) float32 weights and (C,) float32 bias for features as they came, not standardised.
    """
    from scipy.optimize import minimize

    centre, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    # Divided by next to nothing, noise would weigh as much as the rest, and far more in new rows.
    constant = spread <= CONSTANT * spread.max(initial=0)
    spread[constant] = 1.0
    standard = np.where(constant, 0, (features - centre) / spread)
    wanted = targets.astype(np.float64)
    n, width, classes = len(standard), standard.shape[1], targets.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(classes, width + 1)
        weight, bias = table[:, :-1], table[:, -1]
        logits = standard @ weight.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(np.maximum(logits, -200)).sum(axis=1, keepdims=True))
        # Cut off far below any use: numbers too small for their format slow products down tenfold.
        slope = (
            np.exp(np.maximum(logits - log_sum, -200)) * wanted.sum(axis=1, keepdims=True) - wanted
        )
        gradient = np.column_stack([slope.T @ standard + l2 * weight, slope.sum(axis=0)])
        value = (wanted * (log_sum - logits)).sum() + l2 / 2 * (weight**2).sum()
        return value / n, gradient.ravel() / n

    start = np.zeros(classes * (width + 1))
    options = {"maxiter": 1000, "maxfun": 2000}
    table = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    table = table.reshape(classes, width + 1)
    weight = table[:, :-1] / spread
    bias = table[:, -1] - weight @ centre
    return weight.astype(np.float32), bias.astype(np.float32)
