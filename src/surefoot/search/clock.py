"""How long a search has taken, and how much of it was work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Clock:
    """Seconds, those that earlier runs of a search spent on steps included."""

    began: float = field(default_factory=time.perf_counter)
    earlier: float = 0.0
    """Seconds that earlier runs spent, as the store remembers them."""
    worked: float = 0.0
    """Seconds of this run inside steps, models and timing."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count what the block takes as work."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.worked += time.perf_counter() - started

    @property
    def here(self) -> float:
        """Seconds of this run."""
        return time.perf_counter() - self.began

    @property
    def elapsed(self) -> float:
        """Seconds of the search."""
        return self.here + self.earlier
