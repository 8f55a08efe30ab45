"""Does something happen more often in one part of the rows than in the rest?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.clusters import FEW_CLUSTERS
from surefoot.stats.means import unskewed


def excess_p_value(
    events: ArrayLike, inside: ArrayLike, *, groups: ArrayLike | None = None
) -> np.ndarray:
    """p-value of "events are no more frequent inside than outside"; a small one shows an excess.

    Fisher's exact test (Fisher 1935, "The logic of inductive inference"): given how many rows and
    events there are, those inside are hypergeometric if it does not matter where a row lies. With
    groups the difference of the two shares is held against t, its error taken from sums over whole
    clusters (Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models").
    Correction and degrees of freedom are those of the side with fewer clusters: however many lie on
    the other, its variance is known no better (Donald and Lang 2007, "Inference with
    difference-in-differences and other panel data"). Skewness is allowed for where it would show
    too much (Hall 1992, "On the removal of skewness by transformation"). With fewer than ten
    clusters on a side nothing is shown: a part of one would be taken for an excess in 25 % of
    cases at 5 %. What is left is 6.6 % at 5 % where just ten of 60 lie outside.

    Args:
        events: (n,) whether it happened to a row.
        inside: (..., n) which rows are inside, a part each.
        groups: (n,) which cluster a row belongs to; None when rows are independent.

    Returns:
        (...,) p-values; 1 for a part without rows inside or outside, or with too few clusters of
        them, and where nothing varies.

    Raises:
        DataError: Arrays of different lengths, or no rows.
    """
    happened, part = np.asarray(events, dtype=bool), np.asarray(inside, dtype=bool)
    if happened.ndim != 1 or part.shape[-1:] != happened.shape or not happened.size:
        raise DataError(f"{happened.size} events for {part.shape[-1:]} rows")
    if groups is not None:
        return _clustered(happened, part, np.asarray(groups))
    from scipy.stats import hypergeom

    found = (part & happened).sum(axis=-1)
    p = hypergeom.sf(found - 1, happened.size, int(happened.sum()), part.sum(axis=-1))
    return np.asarray(np.clip(p, 0, 1))


def _clustered(happened: np.ndarray, part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    from scipy.stats import t

    cluster = np.unique(groups, return_inverse=True)[1]
    if len(cluster) != happened.size:
        raise DataError(f"{len(cluster)} group labels for {happened.size} rows")
    share = [
        (side * happened).sum(axis=-1) / np.maximum(side.sum(axis=-1), 1) for side in (part, ~part)
    ]
    # What each row adds to the difference of the two shares, around them.
    pull = part * (happened - share[0][..., None]) / np.maximum(part.sum(axis=-1), 1)[..., None]
    rest = ~part * (happened - share[1][..., None])
    pull = pull - rest / np.maximum((~part).sum(axis=-1), 1)[..., None]
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))

    def by_cluster(rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.add.reduceat(rows[..., order], starts, axis=-1))

    touched = [(by_cluster(side.astype(int)) > 0).sum(axis=-1) for side in (part, ~part)]
    freedom = np.maximum(np.minimum(*touched) - 1, 1)
    sums = by_cluster(pull)
    squares = np.square(sums).sum(axis=-1)
    known = (squares > 0) & (np.minimum(*touched) >= FEW_CLUSTERS)
    safe = np.where(known, squares, 1.0)
    statistic = (share[0] - share[1]) / np.sqrt(safe * (freedom + 1) / freedom)
    score = np.minimum(statistic, unskewed(statistic, (sums**3).sum(axis=-1) / safe**1.5))
    return np.asarray(np.where(known, t.sf(score, freedom), 1.0))
