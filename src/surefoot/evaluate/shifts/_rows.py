"""Draws some rows more often than others, each of them at most once."""

import numpy as np

STEP = 0.5
ALWAYS = 0.84
"""Rows above this quantile are always kept; of a normal covariate, one standard deviation."""


def thinned(covariate: np.ndarray, rng: np.random.Generator, severity: float) -> np.ndarray:
    """Positions of the rows that stay, so that high values of a covariate become more frequent.

    A row stays with probability min(1, exp(severity / 2 * (z - q))), z its standardised value and q
    the 84 % quantile of z: what stays are independent rows of a population whose density is tilted
    by just that factor (von Neumann 1951, "Various techniques used in connection with random
    digits"). No row comes twice, so ids still pair; more severity keeps a part of what less keeps.

    Args:
        covariate: (n,) finite numbers.
        rng: Which rows stay.
        severity: 0 (all) to 5.

    Returns:
        (m,) int64, rising; at least one unless there are no rows.
    """
    draws = rng.random(len(covariate))
    spread = covariate.std() if len(covariate) else 0.0
    if not severity or not spread > 0:
        return np.arange(len(covariate))
    z = (covariate - covariate.mean()) / spread
    # Above the quantile the exponent is above 0: every draw is below its exponential.
    tilt = STEP * severity * (z - np.quantile(z, ALWAYS))
    return np.flatnonzero(draws < np.exp(np.minimum(tilt, 0)))
