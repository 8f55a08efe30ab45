"""Intervals that stay valid while rows keep coming in: look after every batch, stop at any time.

Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting" (hedged
capital, predictable plug-in bets), and 2020, "Confidence sequences for sampling without
replacement". A bettor stakes on the mean being above (or below) a hypothetical one; if that one is
true the capital exceeds 1 / alpha with probability alpha at most, at whatever time one looks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, finite_limit, open_share
from surefoot.stats.interval import Interval

_BOLDEST = 0.75
"""The largest share of the capital a single row may cost."""
_TUNED_FOR = 0.05
"""The alpha at which the stakes are best; they are valid at any."""
_HALVINGS = 30
_SPREAD = np.geomspace(0.02, 0.95, 8)
"""The stakes of a mixture, as shares of the capital that a row of -1 would cost."""


def betting_interval(
    values: ArrayLike, level: float = 0.95, *, population: int | None = None
) -> Interval:
    """The mean of bounded rows, valid at every stopping time.

    Args:
        values: (..., t) the rows seen so far, in [0, 1], in random order.
        level: Two-sided confidence, over all times together.
        population: Size of the finite set that rows are drawn from without replacement, whose own
            mean is sought; None for independent rows.

    Raises:
        DataError: Rows outside [0, 1], or more of them than the population has.
        BudgetError: A level outside (0, 1).
    """
    alpha = 1 - float(open_share(level, "level"))
    rows = _bounded(values, population)
    bets = _bets(rows)
    return Interval(
        value=rows.mean(axis=-1),
        low=_lowest(rows, bets, 2 / alpha, population),
        high=1 - _lowest(1 - rows, bets, 2 / alpha, population),
    )


def betting_p_value(
    values: ArrayLike, mean: ArrayLike, *, population: int | None = None
) -> np.ndarray:
    """p-value of "the mean is at most this", valid at every stopping time.

    It is below alpha exactly where the interval of `betting_interval` at level 1 - 2 alpha lies
    above the mean. For "the mean is at least this" pass 1 - values and 1 - mean.

    Args:
        values: (..., t) the rows seen so far, in [0, 1], in random order.
        mean: The hypothetical mean, in [0, 1], one a cell.
        population: Size of the finite set rows are drawn from without replacement.
    """
    rows = _bounded(values, population)
    bets = _bets(rows)
    hypothetical = np.broadcast_to(finite_limit(mean, "mean"), rows.shape[:-1])
    most = _capital(rows, bets, hypothetical, population)
    return np.asarray(np.exp(-np.maximum(most, 0)))


def mixture_p_value(values: ArrayLike) -> np.ndarray:
    """p-value of "the mean is at most 0", valid at every stopping time, for independent rows.

    The capital is spread over several constant stakes, and the best of them earns for all. On rows
    of which most are 0, as differences of two models are, it takes half to four fifths of the rows
    that `betting_p_value` takes. For "the mean is at least 0" pass -values.

    Args:
        values: (..., t) the rows seen so far, in [-1, 1], in random order.

    Raises:
        DataError: Rows outside [-1, 1], or none.
    """
    rows = finite(values, "a row's value")
    if np.abs(rows).max() > 1:
        raise DataError("a row's value is outside [-1, 1]", fix="rescale by the metric's range")
    held = np.log1p(_SPREAD[:, None] * rows[..., None, :]).cumsum(axis=-1)
    capital = np.logaddexp.reduce(held, axis=-2) - np.log(len(_SPREAD))
    return np.asarray(np.exp(-np.maximum(capital.max(axis=-1), 0)))


def _bounded(values: ArrayLike, population: int | None) -> np.ndarray:
    rows = finite(values, "a row's value")
    if rows.min() < 0 or rows.max() > 1:
        raise DataError("a row's value is outside [0, 1]", fix="rescale by the metric's range")
    if population is not None and rows.shape[-1] > population:
        raise DataError(f"{rows.shape[-1]} rows seen of a population of {population}")
    return rows


def _bets(rows: np.ndarray) -> np.ndarray:
    """Each row's stake from the rows before it: larger where they varied little."""
    t = np.arange(1, rows.shape[-1] + 1)
    mean = (np.cumsum(rows, axis=-1) + 0.5) / (t + 1)
    variance = (np.cumsum(np.square(rows - mean), axis=-1) + 0.25) / (t + 1)
    before = np.concatenate([np.full((*rows.shape[:-1], 1), 0.25), variance[..., :-1]], axis=-1)
    return np.asarray(np.sqrt(2 * np.log(2 / _TUNED_FOR) / (before * t * np.log1p(t))))


def _capital(
    rows: np.ndarray, bets: np.ndarray, mean: np.ndarray, population: int | None
) -> np.ndarray:
    """The log of the most that staking on "above this mean" ever made; inf if it cannot be."""
    centre = np.broadcast_to(mean[..., None], rows.shape)
    if population is not None:
        t = np.arange(rows.shape[-1])
        past = np.cumsum(rows, axis=-1) - rows
        centre = (population * centre - past) / (population - t)
    impossible = (centre < -1e-9).any(axis=-1) | ((centre <= 0) & (rows > 0)).any(axis=-1)
    stakes = np.minimum(bets, _BOLDEST / np.maximum(centre, 1e-12))
    growth = np.log1p(stakes * (rows - np.clip(centre, 0, 1)))
    return np.where(impossible, np.inf, np.cumsum(growth, axis=-1).max(axis=-1))


def _lowest(rows: np.ndarray, bets: np.ndarray, limit: float, population: int | None) -> np.ndarray:
    """The lowest mean not refuted, by halving: the capital falls as the mean rises."""
    low, high = np.zeros(rows.shape[:-1]), np.ones(rows.shape[:-1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        refuted = _capital(rows, bets, middle, population) >= np.log(limit)
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low
