"""Paired proportions when rows come in groups: several rows a speaker, document or user.

Signs as in `stats.proportions`. The last axis holds the rows; all axes before it are cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from surefoot.stats.checks import open_share
from surefoot.stats.interval import Interval
from surefoot.stats.means import (
    ClusterSums,
    cluster_sums,
    exact_fall,
    exact_interval,
    studentised_fall,
    studentised_interval,
)
from surefoot.stats.proportions import largest_drop, score

FEW_CLUSTERS = 10
"""With fewer changed clusters than this their variance says too little; exact tails replace it."""


def clustered_proportions(
    difference: ArrayLike, groups: ArrayLike, *, level: float = 0.95
) -> Interval:
    """`paired_proportions` for grouped rows: the wider of two intervals at each end.

    One is Tango's score interval on effective counts: all counts divided by the design effect, the
    cluster-robust variance of the difference over its variance were the rows independent (Rao and
    Scott 1992, "A simple method for the analysis of clustered binary data"), with t on clusters - 1
    in place of the normal distribution. The other is the cluster-robust t interval corrected for
    skewness, as in `paired_mean`. Cluster-robust t as it stands releases up to 13 % of candidates
    whose drop is the margin, because few lost rows also make its variance small. With fewer than
    ten changed clusters each end is the exact limit of the clusters that moved in that direction.

    Args:
        difference: (..., n) candidate - baseline per row: -1 lost, 0 same, 1 won.
        groups: (n,) which cluster a row belongs to.
        level: Two-sided confidence.

    Raises:
        DataError: NaN, no rows, one cluster.
        BudgetError: A level outside (0, 1).
    """
    from scipy.special import ndtr
    from scipy.stats import t

    level = float(open_share(level, "level"))
    cells = _effective(difference, groups)
    alpha = float(ndtr(t.ppf((1 - level) / 2, cells.sums.clusters - 1)))
    exact = exact_interval(cells.sums, level)
    robust = studentised_interval(cells.sums, level)
    drop = largest_drop(cells.lost, cells.won, cells.n, alpha)
    gain = largest_drop(cells.won, cells.lost, cells.n, alpha)
    return Interval(
        value=cells.sums.mean,
        low=np.where(cells.few, exact.low, np.minimum(-drop, robust.low)),
        high=np.where(cells.few, exact.high, np.maximum(gain, robust.high)),
    )


def clustered_noninferiority(
    difference: ArrayLike, groups: ArrayLike, margin: ArrayLike
) -> np.ndarray:
    """`noninferiority` for grouped rows: p-value of "the drop is at least the margin".

    It is below alpha exactly where the interval of `clustered_proportions` at level 1 - 2 alpha
    lies above -margin.

    Args:
        difference: (..., n) candidate - baseline per row: -1 lost, 0 same, 1 won.
        groups: (n,) which cluster a row belongs to.
        margin: The drop that is too much, in (0, 1).
    """
    from scipy.stats import t

    margin = open_share(margin, "margin")
    cells = _effective(difference, groups)
    statistic, _ = score(cells.lost, cells.won, cells.n, margin)
    tango = t.cdf(statistic, cells.sums.clusters - 1)
    release = np.maximum(tango, studentised_fall(cells.sums, margin))
    return np.where(cells.few, exact_fall(cells.sums, margin), release)


def clustered_inferiority(
    difference: ArrayLike, groups: ArrayLike, margin: ArrayLike
) -> np.ndarray:
    """`inferiority` for grouped rows: p-value of "the drop is at most the margin".

    With ten changed clusters or more it is below alpha exactly where the interval of
    `clustered_proportions` at level 1 - 2 alpha lies below -margin; fewer never fail a candidate.

    Args:
        difference: (..., n) candidate - baseline per row: -1 lost, 0 same, 1 won.
        groups: (n,) which cluster a row belongs to.
        margin: The drop that is allowed, in (0, 1).
    """
    from scipy.stats import t

    margin = open_share(margin, "margin")
    cells = _effective(difference, groups)
    statistic, _ = score(cells.lost, cells.won, cells.n, margin)
    tango = t.sf(statistic, cells.sums.clusters - 1)
    mirrored = replace(cells.sums, mean=-cells.sums.mean, skew=-cells.sums.skew)
    fail = np.maximum(tango, studentised_fall(mirrored, -margin))
    return np.where(cells.few, 1.0, fail)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effective:
    sums: ClusterSums
    lost: np.ndarray
    won: np.ndarray
    n: np.ndarray
    few: np.ndarray


def _effective(difference: ArrayLike, groups: ArrayLike) -> _Effective:
    """Counts divided by the design effect, never multiplied by it."""
    rows = np.asarray(difference)
    sums = cluster_sums(rows, groups, usual=0.0)
    n = rows.shape[-1]
    lost, won = (rows < 0).sum(axis=-1), (rows > 0).sum(axis=-1)
    independent = ((lost + won) / n - sums.mean**2) / n
    varies = independent > 0
    ratio = sums.error**2 / np.where(varies, independent, 1.0)
    # Where all rows agree, no variance tells how alike the rows of a cluster are: wholly, then.
    effect = np.where(varies, np.maximum(ratio, 1.0), n / sums.clusters)
    return _Effective(
        sums=sums,
        lost=lost / effect,
        won=won / effect,
        n=n / effect,
        few=sums.fallen + sums.risen < FEW_CLUSTERS,
    )
