"""What else a machine does while something is measured on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from surefoot.core.load import Machine

STAT = Path("/proc/stat")
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
FEWEST_TICKS = 100
"""Of all processors together; a single tick more is then at most 1 %."""


def watch_machine() -> Callable[[], Machine]:
    """Start to watch; what is returned ends it and says what was seen since.

    Linux counts in ticks of 10 ms; of fewer than a hundred nothing is concluded.
    """
    before, own = _ticks(), _own_seconds()

    def seen() -> Machine:
        after = _ticks()
        spent = {name: after[name] - before[name] for name in after.keys() & before.keys()}
        total = sum(spent.values())
        if total < FEWEST_TICKS:
            return Machine(steal=None, foreign=None)
        idle = spent["idle"] + spent["iowait"] + spent["steal"]
        ours = (_own_seconds() - own) * os.sysconf("SC_CLK_TCK")
        foreign = max(total - idle - ours, 0.0) / total
        return Machine(steal=max(spent["steal"], 0) / total, foreign=foreign)

    return seen


def _ticks() -> dict[str, int]:
    """Ticks of all processors together by what they were used for; empty where nobody counts."""
    try:
        first = STAT.read_text().partition("\n")[0].split()[1:]
    except OSError:
        return {}
    found = dict(zip(COLUMNS, map(int, first), strict=False))
    return found if len(found) == len(COLUMNS) else {}


def _own_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system
