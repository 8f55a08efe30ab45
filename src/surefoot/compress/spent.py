"""What a piece of work costs: time, memory, energy, and the rows that it learnt from."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from surefoot.core.model import Cost
from surefoot.core.seen import rows_counted

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Linux: has the peak of a process begin anew at what it holds."""
POWERCAP = Path("/sys/class/powercap")
PACKAGES = "intel-rapl:?"
"""The counters of whole processor packages, and not those of their parts."""


@contextmanager
def measured() -> Iterator[Callable[[], Cost]]:
    """Measure what the block costs; gives a function that tells it, up to now.

    The memory is that of this process alone, and the energy that of all processor packages, so
    that of two pieces of work at a time each is told what both took.
    """
    _give_back()
    held, energy = _reset_peak(), _energy()
    began, used = time.perf_counter(), _cpu_seconds()
    with rows_counted() as rows:
        yield lambda: Cost(
            wall_s=time.perf_counter() - began,
            cpu_s=_cpu_seconds() - used,
            rows=rows(),
            peak_mb=max(_peak() - held, 0) / 1e6,
            energy_j=_joules(energy, _energy()),
        )


def _give_back() -> None:
    """Hand freed memory back to the system: what is held and used again would not be counted."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak() -> int:
    """Bytes held now, from which on the peak counts; the peak so far where it cannot be reset."""
    try:
        CLEAR.write_text(RESET_PEAK)
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int:
    """Bytes; `ru_maxrss`, which the rest of the world has, cannot be reset."""
    try:
        return _status("VmHWM")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _status(key: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[key].split()[0]) * 1024


def _energy() -> dict[Path, tuple[int, int]]:
    """Microjoules that each counter shows, and where it starts again from 0."""
    found = {}
    for counter in sorted(POWERCAP.glob(PACKAGES)):
        with suppress(OSError, ValueError):  # most systems let only root read it
            most = int((counter / "max_energy_range_uj").read_text())
            found[counter] = (int((counter / "energy_uj").read_text()), most)
    return found


def _joules(
    before: dict[Path, tuple[int, int]], after: dict[Path, tuple[int, int]]
) -> float | None:
    """Joules between two looks, of the counters that both saw; None without any."""
    both = [(before[counter], after[counter]) for counter in before if counter in after]
    if not both:
        return None
    return sum((now - then) % (most + 1) for (then, most), (now, _) in both) / 1e6
