"""How far a candidate holds along an axis of time: rows a call, threads, deadlines."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.evidence import Probe, Side
from surefoot.core.model import Candidate
from surefoot.core.plan import TIMED_AXES, EnvelopePlan, LatencyPlan
from surefoot.evaluate.latency import measure_latency
from surefoot.store import Store

ROUNDS = 1000
"""Rounds of two calls at most, for each value that is tried."""
BLOCKS = 10
"""Stretches that calls are cut into: neighbours share the machine's moods."""
NOISIEST = 1.1
"""Where a model appears further apart from itself than this, nothing is decided."""
QUANTILE = 0.99


def points(wanted: EnvelopePlan) -> Sequence[int]:
    """The values of a timed axis that can be tried, the easiest first.

    Args:
        wanted: The axis.
    """
    if wanted.axis == "threads":
        return range(os.cpu_count() or 1, 0, -1)
    last = wanted.up_to or TIMED_AXES["batch"] or 1
    return [2**power for power in range(last.bit_length())]


def probe_calls(
    candidate: Candidate,
    dataset: Dataset,
    store: Store,
    wanted: EnvelopePlan,
    at: int,
    alpha: float,
) -> Probe:
    """Decide whether the 99th percentile of a call's time is within the limit.

    The model runs twice in turns, which shows the machine's noise; all calls count. Too few calls
    or too much noise leave it undecided.

    Args:
        candidate: The candidate.
        dataset: Where rows are drawn from.
        store: Where times are kept.
        wanted: The axis and its limit.
        at: The value that is tried.
        alpha: The largest probability of a false answer.
    """
    rows, threads = (at, 1) if wanted.axis == "batch" else (1, at)
    times, reason = pooled_calls(candidate, dataset, store, wanted.seconds, (rows, threads))
    side: Side = "undecided" if reason else _side(times, float(wanted.at_most or 0), alpha)
    value = float(np.quantile(times, QUANTILE, method="inverted_cdf"))
    return Probe(at=float(at), side=side, value=value, n=len(times), reason=reason)


def pooled_calls(
    candidate: Candidate,
    dataset: Dataset,
    store: Store,
    seconds: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, str]:
    """The times of calls of one model that takes turns with itself.

    Args:
        candidate: The candidate.
        dataset: Where rows are drawn from.
        store: Where times are kept.
        seconds: For how long at most.
        size: Rows a call, and threads.

    Returns:
        (calls,) milliseconds in the order of the calls, and why they decide nothing, if so.
    """
    batch, threads = size
    settings = LatencyPlan(batch=[batch], calls=ROUNDS, seconds=seconds, threads=threads)
    one, again = measure_latency([candidate], dataset, store, settings)
    times = np.stack([one.wall_ms, again.wall_ms], axis=1).ravel()
    if len(times) < 2 * BLOCKS:
        return times, f"only {len(times)} calls in {seconds:g} seconds; give it more `seconds`"
    ratio = stats.quantile_interval(again.wall_ms / one.wall_ms, 0.5, blocks=BLOCKS)
    if ratio.low >= 1 / NOISIEST and ratio.high <= NOISIEST:
        return times, ""
    return times, (
        f"this machine is too noisy: the model took {float(ratio.value):.2f}"
        f" [{float(ratio.low):.2f}, {float(ratio.high):.2f}] times as long as itself;"
        f" up to {NOISIEST} is allowed"
    )


def _side(times: np.ndarray, limit: float, alpha: float) -> Side:
    if stats.quantile_at_most(times, QUANTILE, limit, blocks=BLOCKS) <= alpha:
        return "holds"
    above = stats.quantile_above(times, QUANTILE, limit, blocks=BLOCKS)
    return "fails" if above <= alpha else "undecided"
