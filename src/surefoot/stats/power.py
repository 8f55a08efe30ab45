"""How many rows a question needs, and what given rows can decide, before anything runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite_limit, open_share
from surefoot.stats.proportions import FEW, proportion_at_most, score

_LEFT_OUT = 1e-9
"""Probability that a sum may leave out."""
_SUMMED = 10_000_000
"""From so many rows on the approximation stands in for the exact sum."""


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
    finite_limit(margin, "margin")
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


def release_power(
    n: ArrayLike,
    lost_rate: ArrayLike,
    won_rate: ArrayLike,
    margin: ArrayLike,
    *,
    level: ArrayLike = 0.95,
) -> np.ndarray:
    """The exact chance that `noninferiority` is at most 1 - level, which releases the candidate.

    The trinomial distribution of lost and won rows, summed over all counts but a billionth. With
    the won rows given, the score rises with the lost ones for as long as it is below 0, since its
    variance rises too: the counts that release run from 0 to a last one, and a binomial tail is
    their sum. The few changed rows that the exact tail judges are summed by themselves.

    Args:
        n: Rows; a broken one does not count.
        lost_rate: The true share of rows that the baseline gets right and the candidate wrong.
        won_rate: The true share of the reverse.
        margin: The drop that is too much, in (0, 1).
        level: One-sided confidence, at least 0.5.

    Returns:
        Probabilities, in the shape that the arguments broadcast to.

    Raises:
        DataError: No rows, or rates that no rows could have.
        BudgetError: A margin or level outside (0, 1).
    """
    from scipy.stats import binom

    alpha = 1 - open_share(level, "level")
    given = np.broadcast_arrays(
        *_possible(n, lost_rate, won_rate), open_share(margin, "margin"), alpha
    )
    rows, lost, won, margin, alpha = (x.reshape(-1, 1) for x in given)
    if not rows.size:
        return np.zeros(given[0].shape)
    first, last = binom.ppf(_LEFT_OUT / 2, rows, won), binom.isf(_LEFT_OUT / 2, rows, won)
    counts = first + np.arange(np.max(last - first) + 1)
    weight, counts = binom.pmf(counts, rows, won), np.minimum(counts, rows)
    left, share = rows - counts, np.clip(lost / np.maximum(1 - won, _LEFT_OUT), 0, 1)
    few, by_score = FEW - 1 - counts, _most_lost(counts, rows, margin, alpha)
    exact = [proportion_at_most(np.minimum(k, rows), rows, margin) <= alpha for k in range(FEW)]
    by_tail = np.sum(exact, axis=0) - 1
    released = (
        _at_most(by_score, left, share)
        - _at_most(np.minimum(by_score, few), left, share)
        + _at_most(np.minimum(by_tail, few), left, share)
    )
    return np.asarray(np.clip((weight * released).sum(axis=1), 0, 1).reshape(given[0].shape))


def share_power(
    n: ArrayLike, rate: ArrayLike, limit: ArrayLike, *, level: ArrayLike = 0.95
) -> np.ndarray:
    """The exact chance that `proportion_at_most` is at most 1 - level, which keeps the limit.

    For "at least" turn both around: the share of failures, and what is allowed of them.

    Args:
        n: Rows; a broken one does not count.
        rate: The true share.
        limit: What the share may be, in (0, 1).
        level: One-sided confidence.

    Returns:
        Probabilities, in the shape that the arguments broadcast to.

    Raises:
        DataError: No rows, or a rate that is no share.
        BudgetError: A limit or level outside (0, 1).
    """
    from scipy.stats import binom

    rows, rate, _ = _possible(n, rate, 0.0)
    limit, alpha = open_share(limit, "limit"), 1 - open_share(level, "level")
    most = binom.ppf(alpha, rows, limit)
    most = np.where(binom.cdf(most, rows, limit) <= alpha, most, most - 1)
    return np.asarray(binom.cdf(most, rows, rate))


def release_rows(
    lost_rate: ArrayLike,
    won_rate: ArrayLike,
    margin: ArrayLike,
    *,
    level: ArrayLike = 0.95,
    power: float = 0.9,
) -> np.ndarray:
    """The rows that `release_power` needs, where `rows_needed` is its approximation.

    Power rises in a saw of small teeth: one row more can cost a little of it. This is the count at
    which a tooth reaches the power, and the count before does not.

    Args:
        lost_rate: The true share of rows that the baseline gets right and the candidate wrong.
        won_rate: The true share of the reverse.
        margin: The drop that is too much, in (0, 1).
        level: One-sided confidence, at least 0.5.
        power: Probability of a release.

    Returns:
        Whole numbers as float64; inf where the drop is the margin or beyond it.
    """
    _, lost, won = _possible(1, lost_rate, won_rate)
    lost, won, margin, level = np.broadcast_arrays(lost, won, margin, level)
    near = rows_needed(lost + won, lost - won, margin, level=level, power=power)
    near = np.where(lost - won < margin, near, np.inf)
    cells = (lost, won, margin, level)
    return _fewest(
        near,
        cells,
        power,
        lambda n, lost, won, m, level: release_power(n, lost, won, m, level=level),
    )


def share_rows(
    rate: ArrayLike, limit: ArrayLike, *, level: ArrayLike = 0.95, power: float = 0.9
) -> np.ndarray:
    """The rows that `share_power` needs, found as in `release_rows`.

    Args:
        rate: The true share.
        limit: What the share may be, in (0, 1).
        level: One-sided confidence.
        power: Probability that the limit is shown to be kept.

    Returns:
        Whole numbers as float64; inf where the rate is the limit or above it.
    """
    _, rate, _ = _possible(1, rate, 0.0)
    rate, limit, level = np.broadcast_arrays(rate, limit, level)
    near = rows_needed(rate, rate, limit, level=level, power=power)
    near = np.where(rate < limit, near, np.inf)
    return _fewest(
        near,
        (rate, limit, level),
        power,
        lambda n, r, limit, level: share_power(n, r, limit, level=level),
    )


def _fewest(
    near: np.ndarray,
    cells: tuple[np.ndarray, ...],
    power: float,
    power_at: Callable[..., np.ndarray],
) -> np.ndarray:
    """Where the power is reached, by doubling and halving, each different cell once."""
    chosen = np.isfinite(near) & (near < _SUMMED)
    found = near.copy()
    if chosen.any():
        columns = np.stack([near[chosen], *(np.asarray(c, float)[chosen] for c in cells)])
        different, where = np.unique(columns, axis=1, return_inverse=True)
        high, rest = different[0], different[1:]
        while (short := power_at(high, *rest) < power).any():
            high = np.where(short, 2 * high, high)
        low = np.zeros_like(high)
        while (high - low > 1).any():
            middle = np.maximum(np.floor((low + high) / 2), 1)
            enough = power_at(middle, *rest) >= power
            high, low = np.where(enough, middle, high), np.where(enough, low, middle)
        found[chosen] = high[where]
    return found


def _most_lost(won: np.ndarray, n: np.ndarray, margin: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The most lost rows that the score test still releases, -1 for none, by halving."""
    from scipy.special import ndtr

    low, high = np.full(np.broadcast_shapes(won.shape, n.shape), -1.0), n - won + 1
    for _ in range(int(np.log2(np.max(high) + 1)) + 1):
        middle = np.floor((low + high) / 2)
        statistic, _ = score(np.clip(middle, 0, n - won), won, n, margin)
        released = (middle < 0) | ((ndtr(statistic) <= alpha) & (middle <= n - won))
        low, high = np.where(released, middle, low), np.where(released, high, middle)
    return low


def _at_most(count: np.ndarray, n: np.ndarray, share: np.ndarray) -> np.ndarray:
    """P(X <= count) of a binomial; 0 for a count below 0."""
    from scipy.special import betaincc

    tail = betaincc(np.maximum(count, 0) + 1, np.maximum(n - count, 0.5), share)
    return np.where(count < 0, 0.0, np.where(count >= n, 1.0, tail))


def _possible(n: ArrayLike, lost: ArrayLike, won: ArrayLike) -> tuple[np.ndarray, ...]:
    rows, lost, won = np.broadcast_arrays(*(np.asarray(x, float) for x in (n, lost, won)))
    if not np.all(rows >= 1):
        raise DataError("there are no rows", fix="at least one row is needed")
    if not np.all((lost >= 0) & (won >= 0) & (lost + won <= 1 + 1e-12)):
        raise DataError("a rate is no share, or the rates are more than 1 together")
    # Rates that no number of rows shows; scipy overflows on the smallest of them.
    return np.floor(rows), np.where(lost < 1e-15, 0.0, lost), np.where(won < 1e-15, 0.0, won)
