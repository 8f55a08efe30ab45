"""Many looks, one error rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import finite_limit, open_share

_ROUNDING = 1e-12
"""A sum of as little of what was summed is 0 but for rounding."""


def holm(p: ArrayLike) -> np.ndarray:
    """p-values adjusted so that comparing each with alpha keeps the family-wise error at alpha.

    Holm 1979, "A simple sequentially rejective multiple test procedure".

    Args:
        p: (..., tests) p-values; each row of tests is a family. May be empty.

    Raises:
        DataError: A p-value outside [0, 1] or NaN.
    """
    raw = np.asarray(p, dtype=np.float64)
    if not np.all((raw >= 0) & (raw <= 1)):
        raise DataError("a p-value is outside [0, 1] or not a number")
    order = np.argsort(raw, axis=-1, kind="stable")
    weighted = np.take_along_axis(raw, order, axis=-1) * np.arange(raw.shape[-1], 0, -1)
    adjusted = np.empty_like(raw)
    steps = np.minimum(np.maximum.accumulate(weighted, axis=-1), 1)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted


def spending(use: int) -> tuple[float, float]:
    """How much of alpha the k-th use of the same data may spend, and how much later ones have left.

    6 / (pi^2 k^2), which adds up to 1 over all uses there will ever be: however often a
    confirmation set is used, the chance that any of its verdicts is a false PASS stays below alpha
    (Bonferroni's correction of an endless sequence of tests, which Foster and Stine 2008,
    "Alpha-investing: a procedure for sequential control of expected false discoveries", call alpha
    spending).

    Args:
        use: 1 for the first.

    Raises:
        DataError: A use before the first.
    """
    if use < 1:
        raise DataError(f"use {use} of the data", fix="the first use is 1")
    shares = 6 / (np.pi * np.arange(1, use + 1)) ** 2
    return float(shares[-1]), float(1 - shares.sum())


def max_t(
    difference: ArrayLike,
    *,
    margin: ArrayLike = 0.0,
    groups: ArrayLike | None = None,
    draws: int = 1_000,
    seed: int = 0,
) -> np.ndarray:
    """Adjusted p-values of "this cell's drop is at most the margin", for cells that share rows.

    Step-down max-T: the largest studentised drop is held against the largest under Gaussian
    multipliers, one a row (or cluster) and the same in every cell, so that cells which repeat the
    same rows cost little (Westfall and Young 1993, "Resampling-based multiple testing"; Romano and
    Wolf 2005, "Exact and approximate stepdown methods for multiple hypothesis testing";
    Chernozhukov, Chetverikov and Kato 2013, "Gaussian approximations and multiplier bootstrap for
    maxima of sums of high-dimensional random vectors").

    Args:
        difference: (cells, n) candidate - baseline per row; NaN where a row is not in a cell.
        margin: The drop that is allowed, one for all cells or one each.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        draws: How often the multipliers are drawn.
        seed: For the multipliers.

    Returns:
        (cells,) adjusted p-values; 1 for a cell whose rows do not vary, or lie in one cluster.

    Raises:
        DataError: An infinite difference, a cell without rows, or only one group.
        BudgetError: A margin that is not finite.
    """
    allowed = finite_limit(margin, "margin")
    means, error, noise = _studentised(difference, groups)
    varies = error > 0
    observed = np.where(varies, (-means - allowed) / np.where(varies, error, 1), -np.inf)
    return _step_down(observed, noise.astype(np.float32), draws, np.random.default_rng(seed))


def simultaneous_level(
    blocks: Sequence[tuple[ArrayLike, ArrayLike | None]],
    *,
    level: float = 0.95,
    draws: int = 20_000,
    seed: int = 0,
) -> float:
    """The level at which each cell's own interval holds so that all of them hold at once.

    The largest studentised mean under Gaussian multipliers, one a row (or cluster) and the same in
    every cell of a block, as in `max_t` (Romano and Wolf 2005; Chernozhukov, Chetverikov and Kato
    2013). Given the rows such multipliers make the cells jointly normal, with the correlations of
    their rows, so these are drawn directly. The result is a level rather than an interval: a cell
    takes it to the interval that suits its rows, which the normal one does not where few change.

    Args:
        blocks: For each set of rows the (cells, n) candidate - baseline per row, NaN where a row is
            not in a cell, and the (n,) clusters; None when rows are independent. Blocks share no
            rows. A cell whose rows do not vary, or lie in one cluster, counts as independent of all
            others.
        level: Two-sided confidence of all of them together.
        draws: How often the multipliers are drawn.
        seed: For the draws.

    Raises:
        DataError: An infinite difference, a cell without rows, or only one group.
        BudgetError: A level outside (0, 1).
    """
    from scipy.special import ndtr

    wanted, rng = float(open_share(level, "level")), np.random.default_rng(seed)
    largest = np.zeros(draws)
    for difference, groups in blocks:
        _, _, noise = _studentised(difference, groups)
        correlation = noise @ noise.T
        np.fill_diagonal(correlation, 1.0)
        spread, axes = np.linalg.eigh(correlation)
        root = axes * np.sqrt(np.maximum(spread, 0))
        drawn = rng.standard_normal((draws, len(root))) @ root.T
        largest = np.maximum(largest, np.abs(drawn).max(axis=1))
    return float(1 - 2 * ndtr(-np.quantile(largest, wanted)))


def _studentised(
    difference: ArrayLike, groups: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each cell's mean, its standard error, and what every row or cluster adds to the noise."""
    rows = np.atleast_2d(np.asarray(difference, dtype=np.float64))
    inside = ~np.isnan(rows)
    sizes = inside.sum(axis=-1)
    if np.isinf(rows).any() or not sizes.all():
        raise DataError("a difference is infinite, or a cell has no rows")
    means = np.where(inside, rows, 0).sum(axis=-1) / sizes
    centred = np.where(inside, rows - means[:, None], 0)
    noise = _by_cluster(centred, groups)
    scale = np.sqrt(np.square(noise).sum(axis=-1))
    # Of a cell in one cluster, and of rows that are all alike, rounding alone is left.
    size = np.abs(np.where(inside, rows, 0)).sum(axis=-1)
    nothing = scale <= _ROUNDING * size
    noise[nothing], scale[nothing] = 0, 0
    noise[scale > 0] /= scale[scale > 0, None]
    return means, scale / sizes, noise


def _by_cluster(rows: np.ndarray, groups: ArrayLike | None) -> np.ndarray:
    if groups is None:
        return rows
    labels = np.asarray(groups)
    if labels.shape != rows.shape[1:]:
        raise DataError(f"{labels.size} group labels for {rows.shape[1]} rows")
    members, cluster = np.unique(labels, return_inverse=True)
    if len(members) < 2:
        raise DataError("all rows belong to one group", fix="at least two are needed")
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    return np.asarray(np.add.reduceat(rows[:, order], starts, axis=-1))


def _step_down(
    observed: np.ndarray, noise: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """The share of draws whose largest statistic among the not yet rejected is as large."""
    order = np.argsort(observed)
    reached = np.zeros(len(order))
    for start in range(0, draws, 100):
        multipliers = rng.standard_normal((min(100, draws - start), noise.shape[1]), np.float32)
        drawn = (multipliers @ noise[order].T).astype(np.float64)
        reached += (np.maximum.accumulate(drawn, axis=1) >= observed[order]).sum(axis=0)
    share = (reached + 1) / (draws + 1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(share[::-1])[::-1]
    return adjusted
