"""Latencies summed up as estimates, for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from surefoot.core.load import LoadProfile
from surefoot.evaluate.latency import AGAIN
from surefoot.evaluate.machine import quantile, times_itself, twin_noise


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
            "ratio": times_itself(twins[name.removesuffix(AGAIN), batch].wall_ms, load.wall_ms),
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
        paired: Whether it is about the ratio of two calls made in turn.
    """
    one, again = loads.get((baseline, batch)), loads.get((baseline + AGAIN, batch))
    if one is None or again is None:
        return ""
    return twin_noise(one, again, paired=paired)
