"""How far answers moved, against what a model differs by from itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from surefoot import stats
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Repeat

LEVEL = 0.95


def against_floor(differ: int, rows: int, floor: Repeat) -> float:
    """Fisher's exact test of as many different answers as the floor has.

    Fisher 1922, "On the interpretation of chi-squared from contingency tables". A machine that
    repeats itself to the last bit has no floor: there one different answer is enough.

    Args:
        differ: Rows with another answer.
        rows: Rows compared.
        floor: What the model differs by from itself.

    Returns:
        The p-value of no more differing than the floor does.
    """
    from scipy.stats import fisher_exact

    if not differ:
        return 1.0
    if not floor.largest:
        return 0.0
    table = [[differ, rows - differ], [floor.flips, floor.rows - floor.flips]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def share(differ: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """The share of rows that differ; of grouped rows as a difference from nothing.

    Args:
        differ: (n,) bool.
        groups: (n,) the cluster of each row; None when rows are independent.
    """
    if groups is None:
        interval = stats.proportion_interval(differ.sum(), len(differ), level=LEVEL)
        return _estimate(interval, "Clopper-Pearson", len(differ))
    found = difference(differ.astype(int), groups)
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def difference(gain: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """The mean of -1, 0 and 1 per row, with its interval.

    Args:
        gain: (n,) right now minus right then.
        groups: (n,) the cluster of each row; None when rows are independent.
    """
    if groups is None:
        lost, won = (gain < 0).sum(), (gain > 0).sum()
        interval = stats.paired_proportions(lost, won, len(gain), level=LEVEL)
        return _estimate(interval, "Tango score", len(gain))
    clusters = np.unique(groups, return_inverse=True)[1]
    if not clusters.any():
        unknown = stats.Interval(value=gain.mean(), low=np.array(-1.0), high=np.array(1.0))
        return _estimate(unknown, "one group", len(gain))
    interval = stats.clustered_proportions(gain, clusters, level=LEVEL)
    return _estimate(interval, "clustered score", len(gain))


def _estimate(interval: stats.Interval, method: str, n: int) -> Estimate:
    return interval.estimate(level=LEVEL, method=method, n=n)
