"""How far a candidate holds along an axis of time: rows a call, threads, requests a second.

Another process can make calls slow, and none can make them fast. So a limit that is shown to hold
on a noisy machine holds; that it does not is only concluded on a quiet one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.envelope import Probe, Side
from surefoot.core.load import ServedProfile
from surefoot.core.model import Candidate
from surefoot.core.plan import TIMED_AXES, EnvelopePlan, LatencyPlan, LoadPlan
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.evaluate.latency import measure_latency
from surefoot.evaluate.load.one import measure_load
from surefoot.evaluate.machine import (
    disturbed,
    machine_columns,
    machine_of,
    twin_noise,
    worth_keeping,
)
from surefoot.store import Store

ROUNDS = 1000
"""Rounds of two calls at most, for each value that is tried."""
QUANTILE = 0.99
STEP = 2**0.25
"""From one arrival rate to the next."""
NEVER = 1e9
"""Milliseconds that stand for an answer that never came."""
LATENCIES = "latencies.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One candidate on one axis of time."""

    wanted: EnvelopePlan
    """The axis and its limit."""
    candidate: Candidate
    """Who is timed."""
    dataset: Dataset
    """Where rows are drawn from."""
    store: Store
    """Where times are kept."""
    threads: int
    """Threads that a runtime may use, where they are not the axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What calls or requests took."""

    slow: np.ndarray
    """(n,) milliseconds as they were, in order."""
    fast: np.ndarray
    """(n,) the same without what is the generator's fault."""
    noise: str = ""
    """Why nothing can be said to fail, if so."""


def values(timed: Timed, alpha: float) -> Sequence[int]:
    """The values of an axis that can be tried, the easiest first.

    Arrival rates start where the seconds give enough requests to bound the 99th percentile.

    Args:
        timed: The axis.
        alpha: The largest probability of a false answer at one value.
    """
    wanted = timed.wanted
    if wanted.axis == "threads":
        return range(os.cpu_count() or 1, 0, -1)
    last = wanted.up_to or TIMED_AXES[wanted.axis] or 1
    if wanted.axis == "batch":
        return [2**power for power in range(last.bit_length())]
    first = min(last, math.ceil(1.1 * requests_needed(alpha) / wanted.seconds))
    steps = math.floor(math.log(last / first, STEP))
    return list(dict.fromkeys([*(round(first * STEP**i) for i in range(steps + 1)), last]))


def requests_needed(alpha: float) -> int:
    """The fewest calls or requests that can show the 99th percentile to be within a limit.

    Args:
        alpha: The largest probability of a false answer.
    """
    return max(stats.FEWEST, int(stats.calls_needed(QUANTILE, 1 - alpha, blocks=stats.BLOCKS)))


def probe_time(timed: Timed, at: int, alpha: float) -> Probe:
    """Decide whether the 99th percentile is within the limit at one value of the axis.

    Args:
        timed: The axis.
        at: The value that is tried.
        alpha: The largest probability of a false answer.
    """
    axis = timed.wanted.axis
    if axis == "arrival_rate":
        times = served(timed, at)
    else:
        rows, threads = (at, timed.threads) if axis == "batch" else (1, at)
        times = pooled_calls(timed, rows, threads)
    n, side = len(times.slow), _side(times, float(timed.wanted.at_most or 0), alpha)
    reason = "" if side != "undecided" else times.noise
    if side == "undecided" and n < requests_needed(alpha):
        reason = too_few(timed, n)
    value = float(np.quantile(times.slow, QUANTILE, method="inverted_cdf")) if n else math.nan
    return Probe(at=float(at), side=side, value=value, n=n, reason=reason)


def pooled_calls(timed: Timed, rows: int, threads: int) -> Times:
    """The times of calls of one model that takes turns with itself, which shows the noise.

    Args:
        timed: Who is timed, and for how long at most.
        rows: Rows a call.
        threads: Threads that the runtime may use.
    """
    seconds = timed.wanted.seconds
    settings = LatencyPlan(batch=[rows], calls=ROUNDS, seconds=seconds, threads=threads)
    one, again = measure_latency([timed.candidate], timed.dataset, timed.store, settings)
    pooled = np.stack([one.wall_ms, again.wall_ms], axis=1).ravel()
    return Times(slow=pooled, fast=pooled, noise=twin_noise(one, again, who="the model"))


def served(timed: Timed, rate: int) -> Times:
    """The latencies of requests that arrive at random at a rate, from their scheduled arrival.

    Args:
        timed: Who answers, and for how long requests arrive.
        rate: Requests a second.
    """
    settings = LoadPlan(
        scenario="server",
        target_qps=float(rate),
        seconds=timed.wanted.seconds,
        threads=timed.threads,
    )
    key = {
        "model": timed.candidate.model.fingerprint,
        "runtime": timed.candidate.runtime,
        "rows": timed.dataset.fingerprint,
        "load": [rate, settings.seconds, settings.threads],
        "machine": os.uname()[1:],
    }
    found = timed.store.kept("envelope", key, _read)
    if found is None:
        profile = measure_load(timed.candidate, timed.dataset, settings)
        found = _columns(profile)
        if worth_keeping(disturbed(profile.machine)):
            timed.store.make("envelope", key, partial(_write, found))
    slow, late = np.minimum(found["wall_ms"], NEVER), found["lateness_ms"]
    return Times(slow=slow, fast=slow - late, noise=disturbed(machine_of(found)))


def too_few(timed: Timed, calls: int) -> str:
    """Why so few calls or requests decide nothing, and what would give more or need fewer.

    Args:
        timed: The axis.
        calls: How many there were.
    """
    axis = timed.wanted.axis
    what = f"{calls} calls are too few to bound a quantile"
    if axis == "arrival_rate" or calls < 2 * ROUNDS:
        return f"{what}; give it more `seconds`"
    less = "fewer axes or candidates" + (", or a larger `at_most`" if axis == "deadline" else "")
    return f"{what}, and no more are made; ask for {less}"


def _side(times: Times, limit: float, alpha: float) -> Side:
    """What is shown; with so few calls that nobody knows how alike neighbours are, nothing."""
    if len(times.slow) < stats.FEWEST:
        return "undecided"
    if stats.quantile_at_most(times.slow, QUANTILE, limit, blocks=stats.BLOCKS) <= alpha:
        return "holds"
    above = stats.quantile_above(times.fast, QUANTILE, limit, blocks=stats.BLOCKS)
    return "fails" if above <= alpha and not times.noise else "undecided"


def _columns(profile: ServedProfile) -> dict[str, np.ndarray]:
    columns = {"wall_ms": profile.wall_ms, "lateness_ms": profile.lateness_ms}
    return columns | machine_columns(profile.machine, len(profile.wall_ms))


def _write(columns: Mapping[str, np.ndarray], folder: Path) -> None:
    write_parquet(folder / LATENCIES, columns)


def _read(folder: Path) -> dict[str, np.ndarray]:
    return read_parquet(folder / LATENCIES)
