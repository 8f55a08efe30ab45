"""Refuses what no statistic can be computed from, in one line that says why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import BudgetError, DataError


def open_share(value: ArrayLike, name: str) -> np.ndarray:
    """A share as float64, strictly between 0 and 1.

    Raises:
        BudgetError: It is 0, 1, outside, or not a number.
    """
    share = np.asarray(value, dtype=np.float64)
    if not np.all((share > 0) & (share < 1)):
        raise BudgetError(
            f"{name} is {_first(share, ~((share > 0) & (share < 1)))}",
            fix=f"give a {name} strictly between 0 and 1, such as 0.01 for one percent",
        )
    return share


def counts(n: ArrayLike, parts: Mapping[str, ArrayLike]) -> tuple[np.ndarray, ...]:
    """Counts as float64, broadcast together: each part at least 0, all parts together at most n.

    Args:
        n: All rows.
        parts: Counts that exclude each other, by the name for a message.

    Returns:
        n, then the parts in their order.

    Raises:
        DataError: There are no rows, or the counts contradict each other.
    """
    arrays = [np.asarray(x, dtype=np.float64) for x in (n, *parts.values())]
    total, *given = np.broadcast_arrays(*arrays)
    if not np.all(total >= 1):
        raise DataError(f"n is {_first(total, ~(total >= 1))}", fix="at least one row is needed")
    negative = [name for name, part in zip(parts, given, strict=True) if not np.all(part >= 0)]
    if negative:
        raise DataError(f"the count '{negative[0]}' is negative or not a number")
    if not np.all(sum(given) <= total):
        raise DataError(f"{' + '.join(parts)} is more than n = {_first(total, sum(given) > total)}")
    return total, *given


def finite(values: ArrayLike, name: str) -> np.ndarray:
    """Numbers as float64 with at least one value along the last axis.

    Raises:
        DataError: A value is NaN or infinite, or there is none.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise DataError(f"{name} has no values")
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0]
        raise DataError(f"{name} is {array[tuple(where)]} at position {where[-1]}")
    return array


def ordered(values: ArrayLike, name: str) -> np.ndarray:
    """Numbers as float64 that can be put in order: infinity may be one, NaN not.

    Raises:
        DataError: A value is NaN, or there is none.
    """
    array = np.asarray(values, dtype=np.float64)
    finite(np.where(np.isinf(array), 0.0, array), name)
    return array


def finite_limit(value: ArrayLike, name: str) -> np.ndarray:
    """A margin or limit as float64.

    Raises:
        BudgetError: It is NaN or infinite.
    """
    limit = np.asarray(value, dtype=np.float64)
    if not np.isfinite(limit).all():
        raise BudgetError(f"the {name} is not a finite number")
    return limit


def _first(values: np.ndarray, bad: np.ndarray) -> float:
    return float(values[bad].flat[0])
