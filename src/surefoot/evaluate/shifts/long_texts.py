"""A world in which people write more."""

import numpy as np

from surefoot.evaluate.shifts._rows import thinned

INPUT = "text"
GIVES = "rows"
"""Positions of rows that stay, not changed inputs."""


def long_texts(
    inputs: np.ndarray, rng: np.random.Generator, *, severity: float = 1.0
) -> np.ndarray:
    """A world in which people write more: long texts are more frequent than in the data.

    Covariate shift by resampling: rows are drawn by the logarithm of their length, of which the
    mean rises by about 0.4, 0.6, 0.9, 1.0 and 1.1 standard deviations at severity 1 to 5, while 64,
    47, 38, 32 and 29 % of the rows are left. No text is changed, so the label stays true. Source:
    Shimodaira (2000), "Improving predictive inference under covariate shift by weighting the
    log-likelihood function".

    Args:
        inputs: (n,) texts.
        rng: Which rows are left.
        severity: 0 (all rows) to 5.

    Returns:
        (m,) positions of rows, each at most once, in their order.
    """
    lengths = np.fromiter(map(len, inputs.tolist()), np.float64, len(inputs))
    return thinned(np.log1p(lengths), rng, severity)
