"""Quantiles of latencies: intervals from order statistics, which assume nothing about the shape.

A bound that no order statistic serves is infinite, never an interpolated number: a one-sided 95 %
bound of the 99th percentile exists from 299 calls on. The last axis holds the calls.

Under load neighbouring calls are alike. With `blocks` the series is cut into that many stretches of
neighbours (or holds that many repeats of equal length, one after the other): how much the share of
calls below the quantile varies between them says how many independent calls the series is worth,
and t on blocks - 1 pays for the estimate (Woodruff 1952, "Confidence intervals for medians and
other position measures"; Korn and Graubard 1998, "Confidence intervals for proportions with small
expected number of positive counts estimated from survey data"). A stretch must be longer than the
calls remember: ten kept the coverage between 94 and 99 % up to an autocorrelation of 0.95 in 2,000
calls, where the plain interval fell to 30 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, finite_limit, open_share, ordered
from surefoot.stats.interval import Interval

BLOCKS = 10
"""Into how many stretches of time latencies are cut, everywhere."""
FEWEST = 10 * BLOCKS
"""With fewer calls nothing shows how alike neighbours are, and no latency is judged."""


def quantile_interval(
    values: ArrayLike, q: float, level: float = 0.95, *, blocks: int | None = None
) -> Interval:
    """Where a quantile lies: the order statistics whose binomial tails are within the level.

    Scheffe and Tukey 1945, "Non-parametric estimation: validation of order statistics"; Hahn and
    Meeker 1991, "Statistical intervals".

    Args:
        values: (..., n) measurements, in the order they were made; infinite where none ended.
        q: Which quantile, in (0, 1).
        level: Two-sided confidence.
        blocks: For calls that resemble their neighbours; None for independent ones.

    Returns:
        The smallest value that at least the share q is at or below, and its interval; an end
        is infinite where n is too small for it.

    Raises:
        DataError: NaN, no values, or fewer values than blocks.
        BudgetError: q or level outside (0, 1).
    """
    from scipy.stats import binom

    series, q = ordered(values, "the series"), float(open_share(q, "quantile"))
    alpha = _alpha((1 - float(open_share(level, "level"))) / 2, blocks)
    ranked, n = np.sort(series, axis=-1), series.shape[-1]
    value = ranked[..., _rank(q, n) - 1]
    worth = _worth(series, q, value, blocks)
    low, high = binom.ppf(alpha, worth, q), binom.ppf(1 - alpha, worth, q) + 1
    below = np.where(low >= 1, np.floor(low * n / worth), 0).astype(int)
    above = np.where(high <= worth, np.ceil(high * n / worth), n + 1).astype(int)
    edge = np.full((*ranked.shape[:-1], 1), np.inf)
    padded = np.concatenate([-edge, ranked, edge], axis=-1)
    ends = [np.take_along_axis(padded, at[..., None], axis=-1)[..., 0] for at in (below, above)]
    return Interval(value=value, low=ends[0], high=ends[1])


def quantile_at_most(
    values: ArrayLike, q: float, limit: ArrayLike, *, blocks: int | None = None
) -> np.ndarray:
    """p-value of "the quantile is above the limit"; small where enough calls were within it.

    It is at most alpha exactly where the interval of `quantile_interval` at level 1 - 2 alpha ends
    at or below the limit.

    Args:
        values: (..., n) measurements, in the order they were made.
        q: Which quantile, in (0, 1).
        limit: In the unit of the values, one a cell.
        blocks: For calls that resemble their neighbours; None for independent ones.
    """
    from scipy.stats import binom

    series, q, within, worth = _within(values, q, limit, blocks)
    hits = within * worth // series.shape[-1]
    return _p_value(binom.sf(hits - 1, worth, q), blocks)


def quantile_above(
    values: ArrayLike, q: float, limit: ArrayLike, *, blocks: int | None = None
) -> np.ndarray:
    """p-value of "the quantile is at most the limit"; small where too few calls were within it.

    It is at most alpha exactly where the interval of `quantile_interval` at level 1 - 2 alpha
    begins above the limit.

    Args:
        values: (..., n) measurements, in the order they were made.
        q: Which quantile, in (0, 1).
        limit: In the unit of the values, one a cell.
        blocks: For calls that resemble their neighbours; None for independent ones.
    """
    from scipy.stats import binom

    series, q, within, worth = _within(values, q, limit, blocks)
    hits = -(-(within + 1) * worth // series.shape[-1]) - 1
    return _p_value(binom.cdf(hits, worth, q), blocks)


def calls_needed(q: ArrayLike, level: ArrayLike = 0.95, *, blocks: int | None = None) -> np.ndarray:
    """The fewest calls that can bound a quantile from above at all: 299 for the 99th percentile.

    Args:
        q: Which quantile, in (0, 1).
        level: One-sided confidence.
        blocks: As in `quantile_interval`; 339 for the 99th percentile with 10.
    """
    q, miss = open_share(q, "quantile"), _alpha(1 - open_share(level, "level"), blocks)
    # The tolerance keeps 0.5 at 0.75, exactly two calls, from rounding up to three.
    return np.asarray(np.ceil(np.log(miss) / np.log(q) - 1e-9), dtype=np.int64)


def block_mean(values: ArrayLike, level: float = 0.95, *, blocks: int = 10) -> Interval:
    """The mean of calls that resemble their neighbours, by Student's t of the means of stretches.

    Conway 1963, "Some tactical problems in digital simulation" (batch means).

    Args:
        values: (..., n) measurements, in the order they were made.
        level: Two-sided confidence.
        blocks: Into how many stretches they are cut; the first calls left over do not count.

    Raises:
        DataError: NaN, or fewer values than blocks.
        BudgetError: A level outside (0, 1).
    """
    from scipy.stats import t

    mean, error = _block_error(values, blocks)
    half = t.ppf((1 + float(open_share(level, "level"))) / 2, blocks - 1) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


def block_mean_at_most(values: ArrayLike, limit: ArrayLike, *, blocks: int = 10) -> np.ndarray:
    """p-value of "the mean is above the limit"; a small one shows that it is not.

    Args:
        values: (..., n) measurements, in the order they were made.
        limit: What the mean may be.
        blocks: As in `block_mean`.
    """
    from scipy.stats import t

    mean, error = _block_error(values, blocks)
    distance = mean - finite_limit(limit, "limit")
    score = distance / np.where(error > 0, error, 1.0)
    return np.asarray(np.where(error > 0, t.cdf(score, blocks - 1), (distance > 0).astype(float)))


def _block_error(values: ArrayLike, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the stretches and its standard error."""
    series = finite(values, "the series")
    n = series.shape[-1]
    if blocks < 2 or n < blocks:
        raise DataError(f"{n} calls cannot be cut into {blocks} blocks")
    cut = series[..., n % blocks :].reshape(*series.shape[:-1], blocks, n // blocks)
    means = cut.mean(axis=-1)
    return means.mean(axis=-1), means.std(axis=-1, ddof=1) / np.sqrt(blocks)


def _rank(q: float, n: int) -> int:
    """Counted from 1; the tolerance keeps 0.07 of 100 calls, exactly 7, from rounding up."""
    return min(max(int(np.ceil(n * q - 1e-9)), 1), n)


def _worth(series: np.ndarray, q: float, value: np.ndarray, blocks: int | None) -> np.ndarray:
    """How many independent calls the series is worth, at least 1 and at most its length."""
    n = series.shape[-1]
    if blocks is None:
        return np.full(series.shape[:-1], n)
    if blocks < 2 or n < blocks:
        raise DataError(f"{n} calls cannot be cut into {blocks} blocks")
    # Of a quantile that is infinite, what ended at all tells how alike neighbours are.
    below = (np.isfinite(series) & (series <= value[..., None]))[..., n % blocks :]
    shares = below.reshape(*series.shape[:-1], blocks, n // blocks).mean(axis=-1)
    error = np.maximum(shares.var(axis=-1, ddof=1) / blocks, q * (1 - q) / n)
    calls = np.maximum(np.floor(q * (1 - q) / error + 1e-9), 1)
    return np.asarray(calls.astype(int))


def _alpha(tail: ArrayLike, blocks: int | None) -> np.ndarray:
    """The tail to use where the number of independent calls was itself estimated."""
    from scipy.special import ndtr
    from scipy.stats import t

    return np.asarray(tail if blocks is None else ndtr(t.ppf(tail, blocks - 1)))


def _p_value(tail: np.ndarray, blocks: int | None) -> np.ndarray:
    """The reverse of `_alpha`."""
    from scipy.special import ndtri
    from scipy.stats import t

    return np.asarray(tail if blocks is None else t.cdf(ndtri(tail), blocks - 1))


def _within(
    values: ArrayLike, q: float, limit: ArrayLike, blocks: int | None
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """The series, the quantile, how many calls are within the limit and what all are worth."""
    series, q = ordered(values, "the series"), float(open_share(q, "quantile"))
    bound = np.asarray(limit, dtype=np.float64)
    if np.isnan(bound).any():
        raise DataError("the limit is not a number")
    rank = _rank(q, series.shape[-1]) - 1
    value = np.partition(series, rank, axis=-1)[..., rank]
    worth = _worth(series, q, value, blocks)
    return series, q, (series <= bound[..., None]).sum(axis=-1), worth
