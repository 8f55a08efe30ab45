"""How many processors this process may use."""

from __future__ import annotations

import os


def usable_cpus() -> int:
    """The processors that the system lets this process run on, which may be fewer than there are.

    Answers of integer and half-precision kernels can depend on it, through the number of threads.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
