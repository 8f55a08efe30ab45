"""Metrics that only a whole set of rows has (macro F1, ECE): recomputed on reweighted rows.

Weights rather than copied rows: the same draws serve every cell, and one matrix product can
evaluate a hundred of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import counts, finite_limit, open_share
from surefoot.stats.interval import Interval

Statistic = Callable[[np.ndarray], np.ndarray]
"""(batch, n) weights that average 1 -> (batch, ...) the metric's difference under each."""

_JACKKNIFE_PARTS = 200
_BATCH_NUMBERS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampled:
    """A statistic, its bootstrap replicates, and what the BCa correction needs."""

    value: np.ndarray
    """(...,) on the rows as they are."""
    replicates: np.ndarray
    """(draws, ...) on reweighted rows."""
    acceleration: np.ndarray
    """(...,) how fast the standard error changes with the statistic."""


def resample(
    statistic: Statistic,
    n: int,
    *,
    groups: ArrayLike | None = None,
    draws: int = 2_000,
    weights: Literal["counts", "exponential"] = "counts",
    seed: int = 0,
) -> Resampled:
    """The paired bootstrap of any metric: baseline and candidate get the same weights.

    Efron 1979, "Bootstrap methods: another look at the jackknife"; exponential weights, which never
    lose a rare class, are the multiplier (Bayesian) bootstrap of Rubin 1981, "The Bayesian
    bootstrap". With groups whole clusters are drawn (Davison and Hinkley 1997, "Bootstrap methods
    and their application").

    Args:
        statistic: The difference candidate - baseline, or one a cell, for each row of weights.
        n: How many rows there are.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        draws: How often.
        weights: Whole numbers of copies, or exponential weights.
        seed: For the draws.

    Raises:
        DataError: Fewer than two rows or clusters, or a statistic that is not finite.
    """
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    clusters = int(cluster.max(initial=-1)) + 1
    if len(cluster) != n:
        raise DataError(f"{len(cluster)} group labels for {n} rows")
    if clusters < 2:
        raise DataError(f"{clusters} clusters cannot be resampled", fix="at least two are needed")

    def draw(size: int) -> np.ndarray:
        if weights == "exponential":
            return rng.standard_exponential((size, clusters))
        return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size).astype(np.float64)

    def evaluate(by_cluster: np.ndarray) -> np.ndarray:
        by_row = by_cluster[:, cluster]
        found = np.asarray(statistic(by_row / by_row.mean(axis=1, keepdims=True)), np.float64)
        if not np.isfinite(found).all():
            raise DataError("the metric is not a number on resampled rows")
        return found

    batch = max(1, _BATCH_NUMBERS // n)
    sizes = [min(batch, draws - start) for start in range(0, draws, batch)]
    part = rng.permutation(clusters) % min(clusters, _JACKKNIFE_PARTS)
    left_out = (part != np.arange(part.max() + 1)[:, None]).astype(np.float64)
    jackknife = np.concatenate(
        [evaluate(left_out[at : at + batch]) for at in range(0, len(left_out), batch)]
    )
    return Resampled(
        value=evaluate(np.ones((1, clusters)))[0],
        replicates=np.concatenate([evaluate(draw(size)) for size in sizes]),
        acceleration=_acceleration(jackknife),
    )


def resample_counts(
    lost: ArrayLike, won: ArrayLike, n: ArrayLike, *, draws: int = 2_000, seed: int = 0
) -> Resampled:
    """The paired bootstrap of right and wrong answers from their counts alone.

    Drawing n rows with replacement draws how many of them were lost and won from a multinomial:
    exactly the same, and it never touches a row.

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        draws: How often.
        seed: For the draws.
    """
    n, lost, won = counts(n, {"lost": lost, "won": won})
    rng = np.random.default_rng(seed)
    down = rng.binomial(n.astype(int), lost / n, (draws, *n.shape))
    rest = np.where(lost < n, won / np.maximum(n - lost, 1), 0)
    up = rng.binomial(n.astype(int) - down, np.minimum(rest, 1))
    mean = (won - lost) / n
    squares = lost + won - n * mean**2
    cubes = lost * (-1 - mean) ** 3 + won * (1 - mean) ** 3 - (n - lost - won) * mean**3
    safe = np.where(squares > 0, squares, 1.0)
    return Resampled(
        value=mean, replicates=(up - down) / n, acceleration=np.asarray(cubes / (6 * safe**1.5))
    )


def percentile_interval(resampled: Resampled, level: float = 0.95) -> Interval:
    """The plain percentile interval; for comparison, it releases too much at the margin."""
    alpha = (1 - float(open_share(level, "level"))) / 2
    low, high = np.quantile(resampled.replicates, [alpha, 1 - alpha], axis=0)
    return Interval(value=resampled.value, low=low, high=high)


def bca_interval(resampled: Resampled, level: float = 0.95) -> Interval:
    """The percentile interval corrected for bias and skewness.

    Efron 1987, "Better bootstrap confidence intervals".

    Args:
        resampled: What `resample` or `resample_counts` returned.
        level: Two-sided confidence.
    """
    from scipy.special import ndtr, ndtri

    alpha = (1 - float(open_share(level, "level"))) / 2
    bias = _bias(resampled)
    ordered = np.sort(resampled.replicates, axis=0)
    ends = []
    for z in (ndtri(alpha), -ndtri(alpha)):
        shifted = bias + (bias + z) / (1 - resampled.acceleration * (bias + z))
        at = np.clip((ndtr(shifted) * len(ordered)).astype(int), 0, len(ordered) - 1)
        ends.append(np.take_along_axis(ordered, at[None], axis=0)[0])
    return Interval(value=resampled.value, low=ends[0], high=ends[1])


def bca_p_value(resampled: Resampled, margin: ArrayLike) -> np.ndarray:
    """p-value of "the metric fell by the margin or more": where the BCa interval ends at -margin.

    Never below 1 / (draws + 1): replicates cannot show more.

    Args:
        resampled: What `resample` or `resample_counts` returned.
        margin: The fall that is too much.
    """
    from scipy.special import ndtr

    draws = len(resampled.replicates)
    limit = -finite_limit(margin, "margin")
    bias = _bias(resampled)
    distance = _middle_share(resampled.replicates, limit) - bias
    p = ndtr(distance / (1 + resampled.acceleration * distance) - bias)
    return np.asarray(np.maximum(p, 1 / (draws + 1)))


def _bias(resampled: Resampled) -> np.ndarray:
    return _middle_share(resampled.replicates, resampled.value)


def _middle_share(replicates: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The normal quantile of the share of replicates below a limit, ties split in half."""
    from scipy.special import ndtri

    close = 1e-12 * (1 + np.abs(limit))
    below, tied = replicates < limit - close, np.abs(replicates - limit) <= close
    share = below.mean(axis=0) + 0.5 * tied.mean(axis=0)
    edge = 0.5 / len(replicates)
    return np.asarray(ndtri(np.clip(share, edge, 1 - edge)))


def _acceleration(jackknife: np.ndarray) -> np.ndarray:
    """From the statistic with each part of the rows left out in turn."""
    pull = jackknife.mean(axis=0) - jackknife
    squares = np.square(pull).sum(axis=0)
    safe = np.where(squares > 0, squares, 1.0)
    return np.asarray((pull**3).sum(axis=0) / (6 * safe**1.5))
