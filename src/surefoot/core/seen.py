"""How a step says how many rows it learnt from, for the ledger of costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_COUNT: ContextVar[list[int] | None] = ContextVar("_COUNT", default=None)


def saw(rows: int) -> None:
    """Count rows that were learnt from or calibrated on; a second pass over them counts again.

    Args:
        rows: How many.
    """
    count = _COUNT.get()
    if count is not None:
        count.append(rows)


@contextmanager
def rows_counted() -> Iterator[Callable[[], int]]:
    """Count what is seen within the block; gives a function that tells how many rows it was."""
    count: list[int] = []
    token = _COUNT.set(count)
    try:
        yield lambda: sum(count)
    finally:
        _COUNT.reset(token)
