"""How many rows a question needs, before anything runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import open_share


def rows_needed(
    flip_rate: ArrayLike,
    drop: ArrayLike,
    margin: ArrayLike,
    *,
    level: ArrayLike = 0.95,
    power: float = 0.9,
) -> np.ndarray:
    """Rows that decide "is the drop below the margin" with the given power.

    (z_level + z_power)^2 (flip rate - drop^2) / (margin - drop)^2, the sample size of the paired
    score test (Tango 1998, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design"; Connor 1987, "Sample size for testing differences in
    proportions for the paired-sample design"), and never fewer than the exact tail needs when no
    row at all is lost, log(1 - level) / log(1 - margin).

    Args:
        flip_rate: Share of rows lost or won; for a real-valued metric its mean squared difference.
        drop: The true drop to be decided about, baseline - candidate.
        margin: The drop that is too much.
        level: One-sided confidence.
        power: Probability of a decision.

    Returns:
        Whole numbers as float64; inf where the drop is the margin, which no data decides.

    Raises:
        DataError: NaN, or a flip rate below the squared drop.
        BudgetError: A level or power outside (0, 1).
    """
    from scipy.special import ndtri

    flips, drop, margin = np.broadcast_arrays(
        *(np.asarray(x, float) for x in (flip_rate, drop, margin))
    )
    variance = flips - drop**2
    if not np.all(variance >= -1e-12):
        raise DataError("the flip rate is smaller than the squared drop, or not a number")
    confidence = open_share(level, "level")
    z = ndtri(confidence) + ndtri(float(open_share(power, "power")))
    distance = np.abs(margin - drop)
    close = distance < 1e-12
    rows = z**2 * np.maximum(variance, 0) / np.where(close, 1, distance) ** 2
    bounded = (margin > 0) & (margin < 1)
    least = np.log1p(-confidence) / np.log1p(-np.where(bounded, margin, 0.5))
    rows = np.maximum(rows, np.where(bounded & (drop < margin), least, 2))
    return np.asarray(np.where(close, np.inf, np.ceil(rows - 1e-9)))
