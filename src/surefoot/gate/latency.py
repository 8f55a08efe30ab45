"""Latencies summed up as estimates, for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot import stats
from surefoot.core.estimate import Estimate
from surefoot.core.load import LoadProfile
from surefoot.evaluate.latency import AGAIN
from surefoot.stats import BLOCKS, FEWEST

LEVEL = 0.95
NOISIEST = 1.1
"""A machine on which two equal models appear further apart than this certifies no latency."""


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
        }
        for (name, batch), load in twins.items()
        if name.endswith(AGAIN)
    ]


def machine_noise(loads: Mapping[tuple[str, int], LoadProfile], baseline: str, batch: int) -> str:
    """Why latencies at a batch size cannot be judged; empty where they can.

    Args:
        loads: By candidate and batch size.
        baseline: The baseline's name.
        batch: Rows per call.
    """
    one, again = loads.get((baseline, batch)), loads.get((baseline + AGAIN, batch))
    if one is None or again is None:
        return ""
    ratio = quantile(again.wall_ms / one.wall_ms, 0.5)
    if ratio.low >= 1 / NOISIEST and ratio.high <= NOISIEST:
        return ""
    return (
        f"this machine is too noisy: the baseline took {ratio.value:.2f}"
        f" [{ratio.low:.2f}, {ratio.high:.2f}] times as long as itself; up to {NOISIEST} is allowed"
    )


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
