"""Is the candidate right less often than the baseline, on the same rows; and plain proportions.

Signs, once for the whole package: `lost` counts rows that the baseline got right and the candidate
wrong, `won` the reverse. Intervals are about the *difference* candidate - baseline, (won - lost)/n:
below 0 is worse. Margins are about the *drop*, its negative: a margin of 0.01 allows a difference
down to -0.01, and an interval speaks for release when its low end lies above -margin.

Everything is vectorised: counts and margins broadcast, one result a cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import BudgetError
from surefoot.stats.checks import counts, open_share
from surefoot.stats.interval import Interval

FEW = 5
"""With fewer changed rows (or clusters) than this, exact tails replace the normal approximation."""
_HALVINGS = 54


def paired_proportions(
    lost: ArrayLike, won: ArrayLike, n: ArrayLike, *, level: ArrayLike = 0.95
) -> Interval:
    """How much more often the candidate is right than the baseline: Tango's score interval.

    Inverts the score test with its closed-form constrained estimate (Tango 1998, "Equivalence test
    and confidence interval for the difference in proportions for the paired-sample design"). With
    fewer than five changed rows the score is too sure of itself (it releases 6.6 % of candidates
    whose drop is the margin), so each end is the exact Clopper-Pearson limit of the rows changed
    in that direction: the drop can be no larger than the share of lost rows.

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        level: Two-sided confidence; its low end is the one-sided bound of level (1 + level) / 2.

    Raises:
        DataError: No rows, or counts that contradict each other.
        BudgetError: A level outside (0, 1).
    """
    alpha = (1 - open_share(level, "level")) / 2
    n, lost, won, alpha = np.broadcast_arrays(*counts(n, {"lost": lost, "won": won}), alpha)
    down, up, rows = np.stack([lost, won]), np.stack([won, lost]), np.stack([n, n])
    exact, tango = _largest_share(down, rows, alpha), largest_drop(down, up, rows, alpha)
    drop, gain = np.where(lost + won < FEW, exact, tango)
    return Interval(value=(won - lost) / n, low=-drop, high=gain)


def noninferiority(lost: ArrayLike, won: ArrayLike, n: ArrayLike, margin: ArrayLike) -> np.ndarray:
    """p-value of "the drop is at least the margin"; a small one releases the candidate.

    Tango's score test; with fewer than five changed rows the exact binomial tail of the lost rows
    (a drop of `margin` needs at least that share of lost rows, so the tail holds whatever the share
    of won rows is). Over n from 30 to 2,000, margins of 0.5 to 5 points and every share of won rows
    the error at the margin is at most 5.4 % at a nominal 5 %. It is below alpha exactly where the
    interval of `paired_proportions` at level 1 - 2 alpha lies above -margin.

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        margin: The drop that is too much, in (0, 1).

    Raises:
        DataError: No rows, or counts that contradict each other.
        BudgetError: A margin outside (0, 1).
    """
    from scipy.special import ndtr

    n, lost, won, margin = np.broadcast_arrays(
        *counts(n, {"lost": lost, "won": won}), open_share(margin, "margin")
    )
    statistic, _ = score(lost, won, n, margin)
    return np.where(lost + won < FEW, _at_most(lost, n, margin), ndtr(statistic))


def inferiority(lost: ArrayLike, won: ArrayLike, n: ArrayLike, margin: ArrayLike) -> np.ndarray:
    """p-value of "the drop is at most the margin"; a small one fails the candidate.

    In this tail Tango's score is anticonservative where few rows are lost (8.9 % at a nominal 5 %
    where three lost rows are expected, three times nominal at 0.1 %), because lost rows are skewed
    to the right. So the score is corrected for skewness (Gart and Nam 1990, "Approximate interval
    estimation of the difference in binomial parameters: correction for skewness and extension to
    multiple tables"; Laud 2017, "Equal-tailed confidence intervals for comparison of rates") and
    for continuity: at most 4.9 % on the same grid. Whenever it is below alpha, the interval of
    `paired_proportions` at level 1 - 2 alpha lies below -margin; the reverse does not hold near
    the limit. Fewer than five changed rows never fail a candidate.

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        margin: The drop that is allowed, in (0, 1).

    Raises:
        DataError: No rows, or counts that contradict each other.
        BudgetError: A margin outside (0, 1).
    """
    from scipy.special import ndtr

    n, lost, won, margin = np.broadcast_arrays(
        *counts(n, {"lost": lost, "won": won}), open_share(margin, "margin")
    )
    statistic, variance = score(lost, won, n, margin)
    flips = variance + margin**2
    skewness = (margin - 3 * margin * flips + 2 * margin**3) / np.sqrt(n * variance**3)
    continuous = statistic - 0.5 / np.sqrt(n * variance) + skewness / 6
    root = np.sqrt(np.maximum(1 + 2 / 3 * skewness * continuous, 0))
    strict = np.minimum(2 * continuous / (1 + root), statistic)
    return np.where(lost + won < FEW, 1.0, ndtr(-strict))


def score(
    lost: np.ndarray, won: np.ndarray, n: np.ndarray, drop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tango's score for a drop, and the variance of one row under it.

    The share of won rows that fits best under the drop is the larger root of
    2n q^2 + linear q - won drop (1 - drop) = 0.

    Args:
        lost: Rows the baseline got right and the candidate wrong; need not be whole.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        drop: In (-1, 1).

    Returns:
        The standardised score, below 0 where the data show a smaller drop, and the variance.
    """
    spread = drop * (1 - drop)
    linear = (2 * n - lost + won) * drop - lost - won
    # Zero where all rows are won, but for rounding.
    root = np.sqrt(np.maximum(linear * linear + 8 * n * won * spread, 0))
    variance = (root - linear) / (2 * n) + spread
    return (lost - won - n * drop) / np.sqrt(n * variance), variance


def largest_drop(
    lost: np.ndarray, won: np.ndarray, n: np.ndarray, alpha: float | np.ndarray
) -> np.ndarray:
    """The largest drop that the one-sided score test does not reject, by halving.

    Args:
        lost: Rows the baseline got right and the candidate wrong; need not be whole.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        alpha: The level of the test.
    """
    from scipy.special import ndtri

    critical = ndtri(alpha)
    low, high = (lost - won) / n, np.ones_like(n)
    for _ in range(_HALVINGS):
        # Short of 1, where all rows lost leave no variance to divide by.
        middle = np.minimum((low + high) / 2, 1 - 1e-15)
        kept = score(lost, won, n, middle)[0] > critical
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
    return high


def mcnemar(lost: ArrayLike, won: ArrayLike) -> np.ndarray:
    """p-value of "the candidate is no worse at all": the one-sided mid-p McNemar test.

    Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional".

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.

    Returns:
        Small where rows were lost more often than chance swaps them; 0.5 where nothing changed.
    """
    from scipy.stats import binom

    lost, won = np.asarray(lost, float), np.asarray(won, float)
    flips, lost, won = counts(np.maximum(lost + won, 1), {"lost": lost, "won": won})
    flips = lost + won
    return np.asarray(binom.sf(lost, flips, 0.5) + 0.5 * binom.pmf(lost, flips, 0.5))


def exact_mcnemar(lost: ArrayLike, won: ArrayLike) -> np.ndarray:
    """p-value of "neither is better": the exact two-sided McNemar test.

    The binomial test of the changed rows, conditional on their number (McNemar 1947, "Note on the
    sampling error of the difference between correlated proportions or percentages"). With groups
    it is the sign test of the groups that lost and won more than the reverse.

    Args:
        lost: Rows, or groups, that got worse.
        won: Rows, or groups, that got better.

    Returns:
        1 where nothing changed.
    """
    from scipy.stats import binom

    lost, won = np.asarray(lost, float), np.asarray(won, float)
    _, lost, won = counts(np.maximum(lost + won, 1), {"lost": lost, "won": won})
    fewer = np.minimum(lost, won)
    return np.asarray(np.minimum(2 * binom.cdf(fewer, lost + won, 0.5), 1.0))


def newcombe10(
    lost: ArrayLike, won: ArrayLike, n: ArrayLike, right: ArrayLike, *, level: float = 0.95
) -> Interval:
    """The same difference by Newcombe's method 10, as a check on Tango's interval.

    Wilson intervals of both accuracies, squared and added, with the correlation between them
    (Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10).

    Args:
        lost: Rows the baseline got right and the candidate wrong.
        won: Rows the baseline got wrong and the candidate right.
        n: All rows.
        right: Rows both got right.
        level: Two-sided confidence.
    """
    n, lost, won, right = counts(n, {"lost": lost, "won": won, "right": right})
    wrong = n - lost - won - right
    base = wilson_interval(right + lost, n, level)
    candidate = wilson_interval(right + won, n, level)
    margins = (right + lost) * (won + wrong) * (right + won) * (lost + wrong)
    odds = right * wrong - lost * won
    shrunk = np.where(odds > 0, np.maximum(odds - n / 2, 0), odds)
    phi = np.divide(shrunk, np.sqrt(margins), out=np.zeros_like(n), where=margins > 0)
    down = _hypot(candidate.value - candidate.low, base.high - base.value, phi)
    up = _hypot(candidate.high - candidate.value, base.value - base.low, phi)
    difference = (won - lost) / n
    return Interval(value=difference, low=difference - down, high=difference + up)


def proportion_interval(successes: ArrayLike, n: ArrayLike, level: ArrayLike = 0.95) -> Interval:
    """How often something happens: the Clopper-Pearson interval.

    Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of
    the binomial". Exact rather than Wilson's, which covers the level only on average: its one-sided
    error is more than double where few successes are expected, which is where budgets lie.

    Args:
        successes: How often it happened.
        n: All trials.
        level: Two-sided confidence.

    Raises:
        DataError: No trials, or more successes than trials.
        BudgetError: A level outside (0, 1).
    """
    n, successes = counts(n, {"successes": successes})
    alpha = (1 - open_share(level, "level")) / 2
    high = _largest_share(successes, n, alpha)
    return Interval(value=successes / n, low=1 - _largest_share(n - successes, n, alpha), high=high)


def proportion_at_most(successes: ArrayLike, n: ArrayLike, limit: ArrayLike) -> np.ndarray:
    """p-value of "the proportion is above the limit": the exact binomial test.

    Args:
        successes: How often it happened.
        n: All trials.
        limit: In [0, 1].
    """
    n, successes = counts(n, {"successes": successes})
    return _at_most(successes, n, _closed_share(limit))


def proportion_at_least(successes: ArrayLike, n: ArrayLike, limit: ArrayLike) -> np.ndarray:
    """p-value of "the proportion is below the limit": the exact binomial test.

    Args:
        successes: How often it happened.
        n: All trials.
        limit: In [0, 1].
    """
    n, successes = counts(n, {"successes": successes})
    return _at_most(n - successes, n, 1 - _closed_share(limit))


def _at_most(successes: np.ndarray, n: np.ndarray, share: np.ndarray) -> np.ndarray:
    """P(X <= successes) of a binomial."""
    from scipy.special import betaincc

    room = np.maximum(n - successes, 0.5)
    return np.where(successes >= n, 1.0, betaincc(successes + 1, room, share))


def _largest_share(successes: np.ndarray, n: np.ndarray, alpha: float | np.ndarray) -> np.ndarray:
    """The share at which P(X <= successes) is alpha."""
    from scipy.special import betainccinv

    room = np.maximum(n - successes, 0.5)
    return np.where(successes >= n, 1.0, betainccinv(successes + 1, room, alpha))


def wilson_interval(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """How often something happens, at its level on average: Wilson's score interval.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". What two of
    them are combined into is closer to its level than of two exact intervals.

    Args:
        successes: How often it happened.
        n: All trials.
        level: Two-sided confidence.

    Raises:
        DataError: No trials, or more successes than trials.
        BudgetError: A level outside (0, 1).
    """
    from scipy.special import ndtri

    n, successes = counts(n, {"successes": successes})
    z = ndtri((1 + float(open_share(level, "level"))) / 2)
    share = successes / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Interval(value=share, low=center - half, high=center + half)


def _hypot(one: np.ndarray, other: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(one**2 - 2 * correlation * one * other + other**2))


def _closed_share(limit: ArrayLike) -> np.ndarray:
    share = np.asarray(limit, dtype=np.float64)
    if not np.all((share >= 0) & (share <= 1)):
        raise BudgetError(f"a limit on a share is {share}", fix="give a limit from 0 to 1")
    return share
