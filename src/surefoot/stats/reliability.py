"""How often answers are right, by how sure the model was of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import open_share
from surefoot.stats.clusters import clustered_proportions
from surefoot.stats.interval import Interval
from surefoot.stats.proportions import proportion_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A reliability diagram: rows from the least to the most confident, equally many a bin."""

    n: np.ndarray
    """(bins,) rows."""
    confidence: np.ndarray
    """(bins,) mean confidence."""
    accuracy: np.ndarray
    """(bins,) share of right answers."""
    low: np.ndarray
    """(bins,) lower end of the consistency bar."""
    high: np.ndarray
    """(bins,) upper end of the consistency bar."""


def reliability_bins(
    confidence: np.ndarray,
    right: np.ndarray,
    bins: int,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Bins:
    """Accuracy by confidence, with the bars between which it lies if confidence tells the truth.

    Broecker and Smith 2007, "Increasing the reliability of reliability diagrams". The bars are
    quantiles of the binomial distribution with the mean confidence of the bin instead of theirs of
    resampled rows: rows of unequal confidence vary less (Hoeffding 1956, "On the distribution of
    the number of successes in independent trials"), so that they hold at least the level. With
    groups they are wider by the root of the design effect of all rows.

    Args:
        confidence: (n,) probability given to the answer.
        right: (n,) whether the answer is right.
        bins: How many; at most n.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        level: Share of the bins whose accuracy lies between their bars, if all is well.

    Raises:
        DataError: More bins than rows, or none.
    """
    from scipy.stats import binom

    if not 1 <= bins <= len(confidence):
        raise DataError(f"{bins} bins of {len(confidence)} rows")
    confidence, right = (np.asarray(x, dtype=np.float64) for x in (confidence, right))
    tail = (1 - float(open_share(level, "level"))) / 2
    order, n = np.argsort(confidence, kind="stable"), len(confidence)
    member = np.empty(n, dtype=np.int64)
    member[order] = np.arange(n) * bins // n
    rows = np.bincount(member)
    mean = np.minimum(np.bincount(member, weights=confidence) / rows, 1.0)
    spread = np.sqrt(_design_effect(right - confidence, groups))
    low, high = (mean + (binom.ppf(q, rows, mean) / rows - mean) * spread for q in (tail, 1 - tail))
    return Bins(
        n=rows,
        confidence=mean,
        accuracy=np.bincount(member, weights=right) / rows,
        low=np.maximum(low, 0),
        high=np.minimum(high, 1),
    )


def share_interval(
    right: np.ndarray, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The share of right answers: exact for independent rows, cluster-robust for groups.

    Args:
        right: (n,) whether the answer is right.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        level: Two-sided confidence.

    Raises:
        DataError: No rows, or rows of one group only.
    """
    if groups is None:
        return proportion_interval(np.sum(right), len(right), level)
    found = clustered_proportions(np.asarray(right, dtype=np.float64) - 1, groups, level=level)
    low, high = np.maximum(found.low + 1, 0), np.minimum(found.high + 1, 1)
    return Interval(value=found.value + 1, low=low, high=high)


def _design_effect(residual: np.ndarray, groups: ArrayLike | None) -> float:
    """How many rows in groups say as much as one independent row (Kish 1965, "Survey sampling")."""
    squares = float(np.square(residual).sum())
    if groups is None or not squares:
        return 1.0
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=residual)
    return max(1.0, float(np.square(sums).sum()) / squares)
