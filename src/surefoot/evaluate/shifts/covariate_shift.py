"""A world in which other rows are common."""

import numpy as np

from surefoot.evaluate.shifts._rows import thinned

INPUT = "numeric"
GIVES = "rows"
"""Positions of rows that stay, not changed inputs."""


def covariate_shift(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """A world in which other rows are common: those at one end of what tells rows apart most.

    Covariate shift by resampling: rows are drawn by the first principal component of the
    standardised columns, of which the mean rises by about 0.4, 0.6, 0.9, 1.0 and 1.1 standard
    deviations at severity 1 to 5, while 64, 47, 38, 32 and 29 % of the rows are left. No value is
    changed, so the label stays true. Source: Shimodaira (2000), "Improving predictive inference
    under covariate shift by weighting the log-likelihood function".

    Args:
        inputs: (n, d) float32 numbers; a missing one counts as its column's mean.
        rng: Which rows are left.
        severity: 0 (all rows) to 5.

    Returns:
        (m,) positions of rows, each at most once, in their order.
    """
    return thinned(_first_component(inputs), rng, severity)


def _first_component(inputs: np.ndarray) -> np.ndarray:
    """(n,) each row's place along the line on which the rows differ most."""
    known = np.isfinite(inputs)
    counts = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, inputs, 0).astype(np.float64)
    centred = np.where(known, values - values.sum(axis=0) / counts, 0)
    spread = np.sqrt(np.square(centred).sum(axis=0) / counts)
    standard = centred / np.where(spread > 0, spread, 1)
    axis = np.linalg.eigh(standard.T @ standard)[1][:, -1]
    # An eigenvector has no sign of its own; its largest part is positive on every machine.
    return np.asarray(standard @ axis * np.sign(axis[np.abs(axis).argmax()]))
