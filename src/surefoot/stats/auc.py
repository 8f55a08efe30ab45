"""The area under the ROC curve of two models on the same rows, without resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, open_share
from surefoot.stats.interval import Interval

_NO_ERROR = 1e-12
"""A standard error below this is that of rounding."""


def auc_interval(
    labels: ArrayLike, scores: ArrayLike, level: float = 0.95, *, groups: ArrayLike | None = None
) -> Interval:
    """How well scores rank positive rows above negative ones, with DeLong's interval.

    With groups the placements are added up by cluster (Obuchowski 1997, "Nonparametric analysis of
    clustered ROC curve data"). Where the scores part the rows perfectly, or not at all, there is no
    error to go by: then the interval is the exact one of as many disjoint pairs of a positive and a
    negative row, each of another cluster, as there are (Clopper and Pearson 1934, "The use of
    confidence or fiducial limits illustrated in the case of the binomial").

    Args:
        labels: (n,) true for positive rows.
        scores: (..., n) larger means more positive.
        level: Two-sided confidence.
        groups: (n,) which cluster a row belongs to; None when rows are independent.

    Raises:
        DataError: NaN scores, or fewer than two positive or two negative rows.
    """
    value, error = _auc(labels, np.asarray(scores))
    positive = np.asarray(labels, dtype=bool)
    if groups is not None:
        error = _clustered_error(positive, np.asarray(scores), groups)
    found, all_alike = _normal(value, error, level), error < _NO_ERROR
    # All pairs came out alike: less than this share of them would do so by chance too rarely.
    share = ((1 - level) / 2) ** (1 / _pairs(positive, groups))
    return Interval(
        value=value,
        low=np.where(all_alike, share * value, found.low),
        high=np.where(all_alike, 1 - share * (1 - value), found.high),
    )


def auc_difference(
    labels: ArrayLike, baseline: ArrayLike, candidate: ArrayLike, *, level: float = 0.95
) -> Interval:
    """How much the area changed, candidate - baseline, with the covariance of the two.

    DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated
    receiver operating characteristic curves", by the ranks of Sun and Xu 2014, "Fast implementation
    of DeLong's algorithm".

    Args:
        labels: (n,) true for positive rows.
        baseline: (..., n) scores; larger means more positive.
        candidate: (..., n) scores of the same rows.
        level: Two-sided confidence.

    Raises:
        DataError: NaN scores, or fewer than two positive or two negative rows.
    """
    return _normal(*_auc(labels, np.asarray(candidate), np.asarray(baseline)), level)


def _auc(
    labels: ArrayLike, scores: np.ndarray, minus: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The area, or the difference of two, and its standard error."""
    given = np.asarray(labels)
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise DataError("a label is not a number")
    positive = given.astype(bool)
    above, below = _placements(positive, scores)
    if minus is not None:
        other_above, other_below = _placements(positive, minus)
        above, below = above - other_above, below - other_below
    error = above.var(axis=-1, ddof=1) / above.shape[-1]
    error = error + below.var(axis=-1, ddof=1) / below.shape[-1]
    return above.mean(axis=-1), np.sqrt(error)


def _placements(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each positive row the share of negatives it beats, and for each negative the reverse."""
    from scipy.stats import rankdata

    values = finite(scores, "the scores")
    m, n = int(positive.sum()), int((~positive).sum())
    if positive.shape != values.shape[-1:]:
        raise DataError(f"{positive.size} labels for {values.shape[-1]} scores")
    if min(m, n) < 2:
        raise DataError(f"{m} positive and {n} negative rows", fix="the area needs two of each")
    ranks = rankdata(values, axis=-1)
    above = (ranks[..., positive] - rankdata(values[..., positive], axis=-1)) / n
    below = 1 - (ranks[..., ~positive] - rankdata(values[..., ~positive], axis=-1)) / m
    return above, below


def _pairs(positive: np.ndarray, groups: ArrayLike | None) -> int:
    """How many disjoint pairs of a positive and a negative row, each of another cluster."""
    if groups is None:
        return int(min(positive.sum(), (~positive).sum()))
    kinds = [len(np.unique(np.asarray(groups)[kind])) for kind in (positive, ~positive)]
    return min(*kinds, len(np.unique(groups)) // 2)


def _clustered_error(positive: np.ndarray, scores: np.ndarray, groups: ArrayLike) -> np.ndarray:
    """The standard error of the area from what each cluster adds to it."""
    members, positions = np.unique(groups, return_inverse=True)
    if len(positions) != len(positive) or len(members) < 2:
        raise DataError(f"{len(members)} groups of {len(positions)} rows for {len(positive)} rows")
    pull = np.empty(scores.shape)
    for rows, placements in zip((positive, ~positive), _placements(positive, scores), strict=True):
        centred = placements - placements.mean(axis=-1, keepdims=True)
        pull[..., rows] = centred / placements.shape[-1]
    order = np.argsort(positions, kind="stable")
    starts = np.searchsorted(positions[order], np.arange(len(members)))
    sums = np.add.reduceat(pull[..., order], starts, axis=-1)
    return np.asarray(np.sqrt(np.square(sums).sum(axis=-1) * len(members) / (len(members) - 1)))


def _normal(value: np.ndarray, error: np.ndarray, level: float) -> Interval:
    from scipy.special import ndtri

    half = ndtri((1 + float(open_share(level, "level"))) / 2) * error
    return Interval(value=value, low=value - half, high=value + half)
