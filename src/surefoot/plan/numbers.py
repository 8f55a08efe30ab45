"""Numbers of a plan that are out of range, each problem as `key: what`.

A number that is too large is as wrong as one that is too small: it would end a run after hours, for
want of memory or of an end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

ROWS = 10_000_000
"""The most rows, calls or requests of one measurement: each keeps numbers of its own in memory."""
CALL = 100_000
"""The most rows of one call, which are in memory at once."""
WORKERS = 1_024
"""The most threads and processes."""
SEEDS = 1_000
"""The most models of one recipe."""
DAY = 86_400.0
"""The most seconds of one measurement."""


def count_problems(key: str, value: int, most: int, least: int = 1) -> Iterator[str]:
    """A count that is too small or too large.

    Args:
        key: Its key.
        value: The count.
        most: The largest that is allowed.
        least: The smallest that is allowed.
    """
    if value < least:
        yield f"{key}: must be at least {least}, found {value}"
    elif value > most:
        yield f"{key}: must be at most {most:,}, found {value:,}"


def positive_problems(key: str, value: float, most: float = math.inf) -> Iterator[str]:
    """A number that is not above 0, has no end or is too large.

    Args:
        key: Its key.
        value: The number.
        most: The largest that is allowed; by default any that is finite.
    """
    if not 0 < value < math.inf:
        wanted = "above 0 and finite" if value > 0 else "above 0"
        yield f"{key}: must be {wanted}, found {value}"
    elif value > most:
        yield f"{key}: must be at most {most:,g}, found {value:g}"


def total_problems(key: str, rate: float, seconds: float) -> Iterator[str]:
    """More requests than one measurement can keep.

    Args:
        key: The key of the rate.
        rate: Requests a second, above 0.
        seconds: For how long, above 0.
    """
    if rate * seconds > ROWS:
        yield (
            f"{key}: {rate:g} a second for {seconds:g} seconds are {rate * seconds:,.0f} requests;"
            f" {ROWS:,} at most"
        )
