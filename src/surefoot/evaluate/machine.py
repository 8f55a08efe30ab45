"""What else a machine does while something is measured on it, and what figures that leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.core.estimate import Estimate
from surefoot.core.load import LoadProfile, Machine

STAT = Path("/proc/stat")
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
FEWEST_TICKS = 100
"""Of all processors together; a single tick more is then at most 1 %."""

NOISY = "this machine is too noisy"
"""Begins every reason that measuring again on a quieter machine may do away with."""
NOISIEST = 1.1
"""A machine on which two equal models appear further apart than this certifies no latency."""
MOST_STEAL = 0.02
"""The most of all processors' time that a hypervisor may give to others."""
MOST_FOREIGN = 0.2
"""The most of all processors' time that other processes may use where a model runs in process."""
LEVEL = 0.95


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


def disturbed(machine: Machine, *, in_process: bool = True) -> str:
    """Why figures of a machine that did other things meanwhile say little; empty where they do.

    Args:
        machine: What was seen.
        in_process: Whether the model ran here: at an endpoint the others may be what serves it.
    """
    steal, foreign = machine.steal, machine.foreign
    if steal is not None and steal > MOST_STEAL:
        return (
            f"{NOISY}: the hypervisor gave {steal:.1%} of the processors' time to"
            f" others; up to {MOST_STEAL:.0%} is allowed"
        )
    if in_process and foreign is not None and foreign > MOST_FOREIGN:
        return (
            f"{NOISY}: other processes used {foreign:.0%} of the processors'"
            f" time; up to {MOST_FOREIGN:.0%} is allowed"
        )
    return ""


def times_itself(first: np.ndarray, second: np.ndarray) -> Estimate | None:
    """How far apart a model appears from itself: the median of the ratios; None without answers.

    Args:
        first: (n,) times of its calls, infinite where there was no answer.
        second: The same of its second turn, on the same rows.
    """
    both = min(len(first), len(second))
    first, second = first[:both], second[:both]
    answered = np.isfinite(first) & np.isfinite(second)
    return quantile(second[answered] / first[answered], 0.5) if answered.any() else None


def unlike(ratio: Estimate | None, who: str = "the baseline") -> str:
    """Why a model that appears so far from itself leaves latencies unjudged; empty where it is not.

    Args:
        ratio: What `times_itself` found.
        who: The model.
    """
    if ratio is None or (ratio.low >= 1 / NOISIEST and ratio.high <= NOISIEST):
        return ""
    if np.isinf(ratio.low) or np.isinf(ratio.high):
        return f"too few calls show how noisy this machine is: {who} answered {ratio.n}"
    return (
        f"{NOISY}: {who} took {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] times as long"
        f" as itself; up to {NOISIEST} is allowed"
    )


def twin_noise(
    one: LoadProfile, again: LoadProfile, *, paired: bool = False, who: str = "the baseline"
) -> str:
    """Why latencies that were measured in turns cannot be judged; empty where they can.

    Args:
        one: A model's first profile.
        again: Its second.
        paired: Whether it is about the ratio of two calls made in turn: what else the machine did
            slowed both, so that only the two equal models tell how far it can be believed.
        who: The model.
    """
    found = "" if paired or one.machine is None else disturbed(one.machine)
    return found or unlike(times_itself(one.wall_ms, again.wall_ms), who)


def worth_keeping(noise: str) -> bool:
    """Whether a later run is to rely on a measurement, rather than to measure again.

    Args:
        noise: What speaks against it; that calls were few is no fault of the machine.
    """
    return not noise.startswith(NOISY)


def time_blocks(calls: int) -> int | None:
    """The stretches of time that latencies are cut into: neighbours share the machine's moods."""
    return stats.BLOCKS if calls >= stats.FEWEST else None


def quantile(values: np.ndarray, q: float) -> Estimate:
    """A quantile of calls in the order they were made, with its interval."""
    interval = stats.quantile_interval(values, q, level=LEVEL, blocks=time_blocks(len(values)))
    return interval.estimate(level=LEVEL, method="order statistics", n=len(values))


def machine_columns(machine: Machine, rows: int) -> dict[str, np.ndarray]:
    """What was seen, as columns beside `rows` times; NaN where nobody knows."""
    seen = {"steal": machine.steal, "foreign": machine.foreign}
    return {name: np.full(rows, np.nan if one is None else one) for name, one in seen.items()}


def machine_of(columns: Mapping[str, np.ndarray]) -> Machine:
    """The reverse of `machine_columns`; nothing is known of a table without rows."""
    found = {name: float(columns[name][0]) for name in ("steal", "foreign") if len(columns[name])}
    steal, foreign = (found.get(name, np.nan) for name in ("steal", "foreign"))
    return Machine(
        steal=None if np.isnan(steal) else steal, foreign=None if np.isnan(foreign) else foreign
    )


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
