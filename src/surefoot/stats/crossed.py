"""Several seeds of one candidate on the same rows: two random factors that cross.

A seed x row is never an independent sample: more rows do not make up for one lucky seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, finite_limit, open_share
from surefoot.stats.interval import Interval

_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Variances:
    """Where the uncertainty of a mean over seeds and rows comes from; one of each a cell."""

    seeds: np.ndarray
    """Variance between seeds, at least 0."""
    rows: np.ndarray
    """Variance between rows, at least 0."""
    rest: np.ndarray
    """Variance of a seed on a row beyond both."""


def crossed_variances(values: ArrayLike) -> Variances:
    """How much seeds, rows and the rest vary, each apart.

    The analysis-of-variance estimators of the two-way crossed model without replication (Searle,
    Casella and McCulloch 1992, "Variance components").

    Args:
        values: (..., seeds, n) candidate - baseline per seed and row.

    Raises:
        DataError: NaN, one seed or one row.
    """
    seeds, rows, rest = _mean_squares(values)
    k, n = np.asarray(values).shape[-2:]
    return Variances(
        seeds=np.maximum(seeds - rest, 0) / n, rows=np.maximum(rows - rest, 0) / k, rest=rest
    )


def crossed_mean(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """The mean over seeds and rows, with the uncertainty of both.

    Its variance is (MS seeds + MS rows - MS rest) / (seeds n). Each part has its own quantile of t,
    squared and added (Burdick and Graybill 1992, "Confidence intervals on variance components",
    modified large-sample intervals), because the usual shared degrees of freedom are too many just
    when three seeds happen to agree.

    Args:
        values: (..., seeds, n) candidate - baseline per seed and row.
        level: Two-sided confidence.

    Raises:
        DataError: NaN, one seed or one row.
        BudgetError: A level outside (0, 1).
    """
    mean, errors = _summary(values)
    half = _half((1 - open_share(level, "level")) / 2, errors)
    return Interval(value=mean, low=mean - half, high=mean + half)


def crossed_p_value(values: ArrayLike, *, margin: ArrayLike) -> np.ndarray:
    """p-value of "the mean over seeds and rows fell by the margin or more".

    It is below alpha exactly where the interval of `crossed_mean` at level 1 - 2 alpha lies above
    -margin; 1 where nothing varies, which no test can judge.

    Args:
        values: (..., seeds, n) candidate - baseline per seed and row.
        margin: The fall that is too much, in the unit of the metric.
    """
    mean, errors = _summary(values)
    distance = mean + finite_limit(margin, "margin")
    low, high = np.full(distance.shape, -30.0), np.full(distance.shape, np.log10(0.5))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        outside = _half(10**middle, errors) < np.abs(distance)
        low, high = np.where(outside, low, middle), np.where(outside, middle, high)
    tail = 10**high
    varies = errors.seeds + errors.rows > 0
    return np.where(varies, np.where(distance > 0, tail, 1 - tail), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errors:
    """Squared standard errors of the mean, and the degrees of freedom behind each."""

    seeds: np.ndarray
    rows: np.ndarray
    freedom: tuple[int, int]


def _summary(values: ArrayLike) -> tuple[np.ndarray, _Errors]:
    seeds, rows, rest = _mean_squares(values)
    array = np.asarray(values, dtype=np.float64)
    k, n = array.shape[-2:]
    errors = _Errors(
        seeds=seeds / (k * n), rows=np.maximum(rows - rest, 0) / (k * n), freedom=(k - 1, n - 1)
    )
    return array.mean(axis=(-2, -1)), errors


def _half(alpha: np.ndarray, errors: _Errors) -> np.ndarray:
    """Half the width of the interval that leaves alpha on either side."""
    from scipy.stats import t

    seeds, rows = (np.square(t.isf(alpha, freedom)) for freedom in errors.freedom)
    return np.asarray(np.sqrt(seeds * errors.seeds + rows * errors.rows))


def _mean_squares(values: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    array = finite(values, "the difference")
    if array.ndim < 2 or min(array.shape[-2:]) < 2:
        raise DataError(
            "seeds and rows cannot be told apart", fix="at least two of each are needed"
        )
    k, n = array.shape[-2:]
    seed = array.mean(axis=-1, keepdims=True)
    row = array.mean(axis=-2, keepdims=True)
    mean = array.mean(axis=(-2, -1), keepdims=True)
    between_seeds = n * np.square(seed - mean).sum(axis=(-2, -1)) / (k - 1)
    between_rows = k * np.square(row - mean).sum(axis=(-2, -1)) / (n - 1)
    rest = np.square(array - seed - row + mean).sum(axis=(-2, -1)) / ((k - 1) * (n - 1))
    return between_seeds, between_rows, rest
