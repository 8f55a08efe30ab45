"""Latencies summed up as estimates, for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot import stats
from surefoot.core.estimate import Estimate
from surefoot.core.load import LoadProfile, Machine
from surefoot.evaluate.latency import AGAIN
from surefoot.stats import BLOCKS, FEWEST

LEVEL = 0.95
NOISIEST = 1.1
"""A machine on which two equal models appear further apart than this certifies no latency."""
MOST_STEAL = 0.02
"""The most of all processors' time that a hypervisor may give to others."""
MOST_FOREIGN = 0.2
"""The most of all processors' time that other processes may use where a model runs in process."""


def summaries(loads: Sequence[LoadProfile]) -> list[Mapping[str, object]]:
    """One entry per candidate and batch size: p50 and p99 of wall time, p50 of CPU time.

    A quantile that the calls are too few for has an interval without an upper end.
    """
    return [
        {
            "candidate": load.candidate,
            "batch": load.batch,
            "threads": load.threads,
            "p50_ms": quantile(load.wall_ms, 0.5),
            "p99_ms": quantile(load.wall_ms, 0.99),
            "p50_cpu_ms": quantile(load.cpu_ms, 0.5),
        }
        for load in loads
    ]


def noise(loads: Sequence[LoadProfile]) -> list[Mapping[str, object]]:
    """How far apart the baseline appears from itself, per batch size: the median of the ratios."""
    twins = {(load.candidate, load.batch): load for load in loads}
    return [
        {
            "batch": batch,
            "ratio": quantile(load.wall_ms / twins[name.removesuffix(AGAIN), batch].wall_ms, 0.5),
            "steal": load.machine and load.machine.steal,
            "foreign": load.machine and load.machine.foreign,
        }
        for (name, batch), load in twins.items()
        if name.endswith(AGAIN)
    ]


def machine_noise(
    loads: Mapping[tuple[str, int], LoadProfile], baseline: str, batch: int, *, paired: bool = False
) -> str:
    """Why latencies at a batch size cannot be judged; empty where they can.

    Args:
        loads: By candidate and batch size.
        baseline: The baseline's name.
        batch: Rows per call.
        paired: Whether it is about the ratio of two calls made in turn: what else the machine did
            slowed both, so that only the two equal models tell how far it can be believed.
    """
    one, again = loads.get((baseline, batch)), loads.get((baseline + AGAIN, batch))
    if one is None or again is None:
        return ""
    if not paired and one.machine is not None and (found := disturbed(one.machine)):
        return found
    ratio = quantile(again.wall_ms / one.wall_ms, 0.5)
    if ratio.low >= 1 / NOISIEST and ratio.high <= NOISIEST:
        return ""
    return (
        f"this machine is too noisy: the baseline took {ratio.value:.2f}"
        f" [{ratio.low:.2f}, {ratio.high:.2f}] times as long as itself; up to {NOISIEST} is allowed"
    )


def disturbed(machine: Machine, *, in_process: bool = True) -> str:
    """Why figures of a machine that did other things meanwhile say little; empty where they do.

    Args:
        machine: What was seen.
        in_process: Whether the model ran here: at an endpoint the others may be what serves it.
    """
    steal, foreign = machine.steal, machine.foreign
    if steal is not None and steal > MOST_STEAL:
        return (
            f"this machine is too noisy: the hypervisor gave {steal:.1%} of the processors' time to"
            f" others; up to {MOST_STEAL:.0%} is allowed"
        )
    if in_process and foreign is not None and foreign > MOST_FOREIGN:
        return (
            f"this machine is too noisy: other processes used {foreign:.0%} of the processors'"
            f" time; up to {MOST_FOREIGN:.0%} is allowed"
        )
    return ""


def time_blocks(calls: int) -> int | None:
    """The stretches of time that latencies are cut into: neighbours share the machine's moods."""
    return BLOCKS if calls >= FEWEST else None


def quantile(values: np.ndarray, q: float) -> Estimate:
    """A quantile of calls in the order they were made, with its interval."""
    interval = stats.quantile_interval(values, q, level=LEVEL, blocks=time_blocks(len(values)))
    return Estimate(
        value=float(interval.value),
        low=float(interval.low),
        high=float(interval.high),
        level=LEVEL,
        method="order statistics",
        n=len(values),
    )
