"""The same question for real-valued metrics and for rows that come in groups.

Differences are candidate - baseline with "larger is better"; signs as in `stats.proportions`.
The last axis holds the rows; all axes before it are cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, finite_limit, open_share
from surefoot.stats.interval import Interval
from surefoot.stats.proportions import FEW, proportion_at_most, proportion_interval
from surefoot.stats.sequential import betting_interval, betting_p_value

_USUAL_KURTOSIS = 6
"""That of a Laplace distribution; below it t holds however few the rows."""


def paired_mean(
    difference: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    span: float = 1.0,
) -> Interval:
    """How much the mean of a metric changed: the studentised paired interval.

    With `groups` the standard error is cluster-robust, with t on clusters - 1 (Miller 2024, "Adding
    error bars to evals: a statistical approach to language model evaluations"). On the side of the
    longer tail t is too sure of itself (a Brier score over 200 rows, 3 % of them flipped, releases
    14 % of candidates at the margin), so that end is moved out as the skewness says (Hall 1992, "On
    the removal of skewness by transformation"), and never in.

    Where a handful of rows carry the variance neither holds. If fewer than five clusters (rows,
    without groups) differ from the usual value, each end is the exact Clopper-Pearson limit of the
    clusters that moved in that direction; if the kurtosis exceeds a tenth of their number, the
    bounded mean of `stats.sequential`. Both take a row to move by `span` at most, or by the largest
    move seen if that is larger: a Brier score can move by 2, and taking it to move by 1 releases
    21 % of candidates at the margin. Where a row can move without bound, neither says anything.

    Args:
        difference: (..., n) candidate - baseline per row.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        level: Two-sided confidence.
        span: The most that a row can move, in the unit of the metric; may be infinite.

    Raises:
        DataError: NaN, no rows, fewer than two rows or clusters.
        BudgetError: A level outside (0, 1).
    """
    level = float(open_share(level, "level"))
    sums = cluster_sums(difference, groups, span=span)
    exact, studentised = exact_interval(sums, level), studentised_interval(sums, level)
    low = np.where(sums.few, exact.low, studentised.low)
    high = np.where(sums.few, exact.high, studentised.high)
    heavy = sums.heavy & ~sums.few
    if heavy.any():
        bounded = betting_interval(_unit(sums, heavy), level)
        scale, usual = sums.reach[heavy], sums.usual[heavy]
        low[heavy] = (2 * bounded.low - 1) * scale + usual
        high[heavy] = (2 * bounded.high - 1) * scale + usual
    return Interval(value=sums.mean, low=low, high=high)


def mean_p_value(
    difference: ArrayLike,
    *,
    margin: ArrayLike,
    groups: ArrayLike | None = None,
    span: float = 1.0,
) -> np.ndarray:
    """p-value of "the mean fell by the margin or more"; a small one releases the candidate.

    It is below alpha exactly where the interval of `paired_mean` at level 1 - 2 alpha lies above
    -margin. For "the mean fell by the margin at most" pass the negated difference and margin.

    Args:
        difference: (..., n) candidate - baseline per row.
        margin: The fall that is too much, in the unit of the metric.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        span: The most that a row can move, in the unit of the metric; may be infinite.

    Raises:
        DataError: NaN, no rows, fewer than two rows or clusters.
        BudgetError: A margin that is not finite.
    """
    sums = cluster_sums(difference, groups, span=span)
    margin = np.broadcast_to(finite_limit(margin, "margin"), sums.mean.shape)
    p = np.where(sums.few, exact_fall(sums, margin), studentised_fall(sums, margin))
    heavy = sums.heavy & ~sums.few
    if heavy.any():
        limit = -(margin + sums.usual)[heavy] / sums.reach[heavy]
        p[heavy] = betting_p_value(_unit(sums, heavy), np.clip((limit + 1) / 2, 0, 1))
    return p


def _unit(sums: ClusterSums, chosen: np.ndarray) -> np.ndarray:
    """The clusters of some cells, moved into [0, 1] and out of the file's order."""
    order = np.random.default_rng(0).permutation(sums.clusters)
    shares = sums.moved[chosen][..., order] / sums.reach[chosen][..., None]
    return np.asarray(np.clip((shares + 1) / 2, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSums:
    """What the tests need of rows that were added up by cluster; one of each a cell."""

    mean: np.ndarray
    """The mean difference."""
    error: np.ndarray
    """Its cluster-robust standard error."""
    clusters: int
    """How many clusters."""
    usual: np.ndarray
    """What most rows have: 0 where answers rarely change."""
    fallen: np.ndarray
    """Clusters below the usual value."""
    risen: np.ndarray
    """Clusters above it."""
    moved: np.ndarray
    """(..., clusters) how far from the usual value; their mean is `mean` - `usual`."""
    reach: np.ndarray
    """The furthest one cluster can move."""
    skew: np.ndarray
    """Skewness of the clusters over the root of their number."""
    heavy: np.ndarray
    """Whether a handful of clusters carries the variance."""

    @property
    def few(self) -> np.ndarray:
        """Whether too few clusters moved to show a variance."""
        return np.asarray((self.fallen + self.risen < FEW) | (self.error <= 0))


def cluster_sums(
    difference: ArrayLike,
    groups: ArrayLike | None,
    *,
    usual: float | None = None,
    span: float = 1.0,
) -> ClusterSums:
    """Add rows up by cluster; without groups each row is its own.

    Args:
        difference: (..., n) candidate - baseline per row.
        groups: (n,) which cluster a row belongs to.
        usual: What most rows have; None takes the median.
        span: The most that a row can move.

    Raises:
        DataError: NaN, no rows, fewer than two rows or clusters.
    """
    difference = finite(difference, "the paired difference")
    n = difference.shape[-1]
    if usual is None:
        base = np.median(difference, axis=-1, keepdims=True)
    else:
        base = np.full((*difference.shape[:-1], 1), usual)
    moved, largest = difference - base, 1.0
    if groups is not None:
        order, starts, sizes = _runs(groups, n)
        moved = np.add.reduceat(moved[..., order], starts, axis=-1)
        largest = float(sizes.max())
    clusters = moved.shape[-1]
    if clusters < 2:
        raise DataError(
            "only one row" if groups is None else "all rows belong to one group",
            fix="an interval needs at least two independent rows or groups",
        )
    mean = moved.sum(axis=-1, keepdims=True) / n
    noise = moved - mean * (1 if groups is None else sizes)
    largest_noise = np.abs(noise).max(axis=-1, keepdims=True)
    # Powers of the noise itself would vanish where it is tiny.
    shape = noise / np.where(largest_noise > 0, largest_noise, 1.0)
    squares = np.square(noise).sum(axis=-1)
    safe = np.maximum(np.square(shape).sum(axis=-1), 1.0)
    furthest = np.maximum(np.abs(difference - base).max(axis=-1), span)
    return ClusterSums(
        mean=mean[..., 0] + base[..., 0],
        error=np.sqrt(squares * clusters / (clusters - 1)) / n,
        clusters=clusters,
        usual=base[..., 0],
        fallen=(moved < 0).sum(axis=-1),
        risen=(moved > 0).sum(axis=-1),
        moved=moved * clusters / n,
        reach=furthest * largest * clusters / n,
        skew=(shape**3).sum(axis=-1) / safe**1.5,
        heavy=clusters * (shape**4).sum(axis=-1) / safe**2 > max(clusters / 10, _USUAL_KURTOSIS),
    )


def exact_interval(sums: ClusterSums, level: float) -> Interval:
    """An interval from the number of clusters that moved, when too few did to show a variance."""
    fallen = proportion_interval(sums.fallen, sums.clusters, level).high * sums.reach
    risen = proportion_interval(sums.risen, sums.clusters, level).high * sums.reach
    return Interval(value=sums.mean, low=sums.usual - fallen, high=sums.usual + risen)


def exact_fall(sums: ClusterSums, margin: np.ndarray) -> np.ndarray:
    """p-value of "the mean fell by the margin or more" from the number of clusters that fell.

    Such a fall takes at least the share margin / reach of all clusters.
    """
    share = np.clip((sums.usual + margin) / sums.reach, 0, 1)
    return proportion_at_most(sums.fallen, sums.clusters, share)


def studentised_interval(sums: ClusterSums, level: float) -> Interval:
    """The t interval with the end towards the longer tail moved out."""
    from scipy.stats import t

    critical = float(t.ppf((1 + level) / 2, sums.clusters - 1))
    return Interval(
        value=sums.mean,
        low=sums.mean - _reach_out(critical, sums.skew) * sums.error,
        high=sums.mean + _reach_out(critical, -sums.skew) * sums.error,
    )


def studentised_fall(sums: ClusterSums, margin: np.ndarray) -> np.ndarray:
    """p-value of "the mean fell by the margin or more" that goes with the interval."""
    from scipy.stats import t

    # Beyond any table, and its powers are still numbers where the error is tiny.
    score = np.clip((sums.mean + margin) / np.where(sums.error > 0, sums.error, 1.0), -1e9, 1e9)
    return np.asarray(t.sf(np.minimum(score, unskewed(score, sums.skew)), sums.clusters - 1))


def unskewed(score: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """A studentised mean with the skewness taken out of it (Hall 1992).

    Args:
        score: The mean over its standard error.
        skew: Skewness of the rows or clusters over the root of their number.
    """
    return np.asarray(score + skew * (score**2 / 3 + 1 / 6) + skew**2 * score**3 / 27)


def _reach_out(critical: float, skew: np.ndarray) -> np.ndarray:
    """The score at which Hall's transformation is critical, if that is further out."""
    small = np.abs(skew) < 1e-6
    safe = np.where(small, 1.0, skew)
    unskewed = 3 / safe * (np.cbrt(1 + safe * (critical - safe / 6)) - 1)
    return np.asarray(np.where(small, critical, np.maximum(unskewed, critical)))


def _runs(groups: ArrayLike, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order that brings each group together, where each starts, and its size."""
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise DataError(f"{labels.size} group labels for {n} rows")
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, starts, np.diff(np.append(starts, n))
