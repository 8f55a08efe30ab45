"""Has something begun to happen more often? A bet against "no more often than this", for ever.

A capital of 1 is staked, row by row, on the rate being above a hypothetical one. While it is not,
the capital reaches 1 / alpha with probability alpha at most, however long one looks (Ville 1939,
"Etude critique de la notion de collectif"; Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting"). The stake of a row follows from the rows before it alone.

What is looked for begins some day or never, so nothing may be lost while nothing happens: the
bettor spreads the capital over all days on which it could have begun, most of them still to come
(Shiryaev 1963, "On optimum methods in quickest detection problems", with a prior that is never
used up), and over the sizes that it could have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite, open_share

ODDS = np.array([1.4, 2.2, 5.0])
"""By how much the odds may have grown."""
PATIENCE = 400
"""Half of the capital is staked by this row; after t rows PATIENCE / (PATIENCE + t) never was."""
NEAR = 1e-9
"""What rounding may keep a capital from its goal, as a logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wealth:
    """Where a bettor stands, on one stream of rows or on many at once."""

    seen: int
    """Rows of each stream."""
    log: np.ndarray
    """(...) logarithm of the capital, which began at 0."""
    waiting: np.ndarray
    """(...) share of the capital that is not staked yet."""
    staked: np.ndarray
    """(..., sizes) shares that are, by size of the change."""


def first_wealth(shape: tuple[int, ...] = ()) -> Wealth:
    """What a bettor begins with.

    Args:
        shape: Of the streams; of one alone by default.

    Returns:
        A capital of 1, nothing of it staked.
    """
    return Wealth(
        seen=0,
        log=np.zeros(shape),
        waiting=np.ones(shape),
        staked=np.zeros((*shape, len(ODDS))),
    )


def next_wealth(
    wealth: Wealth, happened: ArrayLike, *, rate: ArrayLike, alpha: ArrayLike
) -> Wealth:
    """What a bettor has after one more row of each stream.

    Never is more staked than it takes to reach 1 / alpha, which then is reached exactly: a capital
    that jumped over it would have been staked in vain (Fischer and Ramdas 2024, "Improving Wald's
    (approximate) sequential probability ratio test by avoiding overshoot").

    Args:
        wealth: Before the row.
        happened: (...) 0 or 1.
        rate: How often it happens at most, if nothing has changed, in (0, 1).
        alpha: How often 1 / alpha may be reached although nothing has, in (0, 1).

    Returns:
        The wealth after it; at 1 / alpha it stays as it is.
    """
    limit, goal = np.asarray(rate, dtype=np.float64), -np.log(np.asarray(alpha, dtype=np.float64))
    odds = (limit / (1 - limit))[..., None] * ODDS
    edge = (odds / (1 + odds) - limit[..., None]) / (limit * (1 - limit))[..., None]
    begins = wealth.waiting / (wealth.seen + 1 + PATIENCE)
    waiting = wealth.waiting - begins
    staked = wealth.staked + (begins / len(ODDS))[..., None]
    surprise = np.asarray(happened, dtype=np.float64) - limit
    enough = np.expm1(np.maximum(goal - wealth.log, 0)) / (1 - limit)
    stake = np.minimum((staked * edge).sum(axis=-1), enough)
    staked = staked * (1 + edge * surprise[..., None])
    total = waiting + staked.sum(axis=-1)
    return Wealth(
        seen=wealth.seen + 1,
        log=wealth.log + np.log1p(stake * surprise),
        waiting=waiting / total,
        staked=staked / total[..., None],
    )


def reached(wealth: Wealth, alpha: ArrayLike) -> np.ndarray:
    """Whether a capital is 1 / alpha: what is looked for has begun.

    Args:
        wealth: Of one stream or many.
        alpha: As it was staked for.

    Returns:
        (...) of each stream.
    """
    return np.asarray(wealth.log >= -np.log(np.asarray(alpha, dtype=np.float64)) - NEAR)


def excess_capital(happened: ArrayLike, *, rate: ArrayLike, alpha: float) -> np.ndarray:
    """The capital after every row that was staked on "it happens more often than this".

    Args:
        happened: (..., t) 0 or 1, in the order in which they came.
        rate: How often it happens at most, if nothing has changed, in (0, 1); one a stream or one.
        alpha: How often 1 / alpha may be reached although nothing has, over all times, in (0, 1).

    Returns:
        (..., t) the capital, at most 1 / alpha; there it stays.

    Raises:
        DataError: A row that is neither 0 nor 1, or none.
        BudgetError: A rate or alpha outside (0, 1).
    """
    rows = finite(happened, "a row's value")
    if not np.isin(rows, (0, 1)).all():
        raise DataError("a row's value is neither 0 nor 1")
    limit, level = open_share(rate, "rate"), float(open_share(alpha, "alpha"))
    wealth, found = first_wealth(rows.shape[:-1]), np.empty(rows.shape)
    for t in range(rows.shape[-1]):
        wealth = next_wealth(wealth, rows[..., t], rate=limit, alpha=level)
        found[..., t] = wealth.log
    return np.asarray(np.exp(found))


def highest_rate(happened: ArrayLike, n: ArrayLike, alpha: float) -> np.ndarray:
    """The most that a rate may be, as rows of a reference tell it.

    The upper Clopper-Pearson bound (Clopper and Pearson 1934, "The use of confidence or fiducial
    limits illustrated in the case of the binomial"). Who bets at `alpha` against it, on a reference
    that was drawn once, is wrong twice `alpha` of the time at most.

    Args:
        happened: How often it happened in the reference.
        n: Rows of the reference.
        alpha: How often the rate may be higher, in (0, 0.5).

    Returns:
        1 where it always happened.

    Raises:
        DataError: No rows, or it happened more often than there are rows.
        BudgetError: An alpha outside (0, 0.5).
    """
    from surefoot.stats.proportions import proportion_interval

    return proportion_interval(happened, n, 1 - 2 * float(open_share(alpha, "alpha"))).high
