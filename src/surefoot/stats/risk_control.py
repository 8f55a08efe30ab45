"""Which confidence a small model needs before its answer may stand: a promise, not an estimate.

The threshold that looks best on the calibration rows was picked because chance was kind to it
there. Learn-then-Test asks of each threshold whether its risk is shown to be small enough, and may
pick any that passed (Angelopoulos, Bates, Candes, Jordan and Lei 2021, "Learn then test:
calibrating predictive algorithms to achieve risk control", with fixed-sequence testing; Bauer 1991,
"Multiple testing in clinical trials").

It holds for rows that are exchangeable with the calibration rows, and for those only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import open_share
from surefoot.stats.proportions import proportion_at_most


def thresholds_passed(
    losses: ArrayLike, n: ArrayLike, *, alpha: ArrayLike, delta: ArrayLike
) -> np.ndarray:
    """How many thresholds, counted from the strictest, are shown to keep the risk at most alpha.

    Walks the grid while P(Binomial(n, alpha) <= losses), the exact p-value of "the risk is above
    alpha", is at most delta. The walk ends at the first threshold that fails, so no correction for
    the number of thresholds is needed: the chance that any of those passed has a risk above alpha
    is at most delta. The grid must be fixed before the rows are looked at.

    Args:
        losses: (..., thresholds) rows of the n that cost a loss, from the strictest threshold to
            the laxest; every row counts, also one that a threshold does not accept.
        n: Calibration rows, one number for all grids or one each.
        alpha: The largest risk, in (0, 1).
        delta: How often the promise may be broken, in (0, 1); over several grids (slices) that
            must all hold, divide it by their number.

    Returns:
        (...,) whole numbers; 0 where not even the strictest passed.

    Raises:
        DataError: No rows, no thresholds, or more losses than rows.
        BudgetError: An alpha or delta outside (0, 1).
    """
    counted = np.asarray(losses, dtype=np.float64)
    if counted.ndim == 0 or counted.shape[-1] == 0:
        raise DataError("the grid has no thresholds")
    rows, risk, miss = (
        np.asarray(x, dtype=np.float64)[..., None]
        for x in (n, open_share(alpha, "alpha"), open_share(delta, "delta"))
    )
    passed = proportion_at_most(counted, rows, risk) <= miss
    return np.asarray(np.logical_and.accumulate(passed, axis=-1).sum(axis=-1))


def last_threshold(losses: ArrayLike, n: int, *, alpha: float, delta: float) -> int | None:
    """Where in one grid to deploy: the laxest threshold that `thresholds_passed` reaches.

    Args:
        losses: (thresholds,) rows of the n that cost a loss, from strict to lax.
        n: Calibration rows.
        alpha: The largest risk, in (0, 1).
        delta: How often the promise may be broken, in (0, 1).

    Returns:
        Its index; None where none passed, and everything goes to the fallback.
    """
    passed = int(thresholds_passed(losses, n, alpha=alpha, delta=delta))
    return passed - 1 if passed else None


def calibration_rows_needed(alpha: ArrayLike, delta: ArrayLike) -> np.ndarray:
    """The fewest rows that can promise anything, without a single loss: ln delta / ln(1 - alpha).

    Args:
        alpha: The largest risk, in (0, 1).
        delta: How often the promise may be broken, in (0, 1).
    """
    rows = np.log(open_share(delta, "delta")) / np.log1p(-open_share(alpha, "alpha"))
    # The tolerance keeps 0.25 at 0.5, exactly two rows, from rounding up to three.
    return np.asarray(np.ceil(rows - 1e-9), dtype=np.int64)
