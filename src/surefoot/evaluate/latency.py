"""Latency of all candidates in turns, so that a change of the machine's speed hits all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.load import LoadProfile, Machine
from surefoot.core.model import Candidate
from surefoot.core.plan import LatencyPlan
from surefoot.core.progress import Progress, Silent
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.evaluate.machine import (
    machine_columns,
    machine_of,
    twin_noise,
    watch_machine,
    worth_keeping,
)
from surefoot.models import open_model, own_threads
from surefoot.store import Store

WARM_UP = 5
"""Calls of each candidate that are not counted: allocation, caches, lazy kernels."""
WARM_MS = 0.5
"""Beside models that take longer, one that does not is called for so long, uncounted, before each
call that counts: its own calls would leave it warm caches, and a large model does not."""
AGAIN = " (again)"
"""Ends the name under which the baseline runs a second time: the A/A noise floor."""

FILE = "latency.parquet"

Call = Callable[[np.ndarray], Any]


def measure_latency(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    store: Store,
    settings: LatencyPlan,
    progress: Progress | None = None,
) -> tuple[LoadProfile, ...]:
    """Time every candidate at every batch size, one call each in turn, on the same rows.

    The first candidate, the baseline, takes part twice: the second profile says how far apart two
    equal things appear on this machine. What a noisy machine showed is not kept for a later run.

    Args:
        candidates: The baseline first.
        dataset: Where rows are drawn from.
        store: Where the latencies are kept that can be judged.
        settings: The plan's `evaluate.latency`.
        progress: Told of every round.

    Returns:
        A profile per batch size and candidate, and one more for the baseline.
    """
    entries = [(c.name, c) for c in candidates] + [(candidates[0].name + AGAIN, candidates[0])]
    profiles: list[LoadProfile] = []
    for batch in settings.batch:
        key = {
            "models": [(name, c.model.fingerprint, c.runtime) for name, c in entries],
            "rows": dataset.fingerprint,
            "batch": batch,
            "settings": [settings.calls, settings.seconds, settings.threads],
            "machine": os.uname()[1:],
        }
        columns = store.kept("latency", key, _read)
        if columns is None:
            with _opened(entries, settings.threads) as calls:
                seen = watch_machine()
                wall, cpu = take_turns(calls, dataset, batch, settings, progress or Silent())
            columns = _columns(wall, cpu, seen())
        found = _profiles(columns, entries, batch, settings.threads)
        if worth_keeping(twin_noise(found[0], found[-1])):
            store.make("latency", key, partial(_write, columns))
        profiles += found
    return tuple(profiles)


@contextmanager
def _opened(entries: Sequence[tuple[str, Candidate]], threads: int) -> Iterator[Mapping[str, Call]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                open_model(c.model, runtime=c.runtime, threads=threads)
            ).run_batch
            for name, c in entries
        }


def _rows(dataset: Dataset, batch: int) -> Iterator[np.ndarray]:
    """Batches of rows drawn without end, the same ones for every run."""
    rng = np.random.default_rng(0)
    while True:
        yield dataset.inputs[rng.integers(len(dataset), size=batch)]


def take_turns(
    calls: Mapping[str, Call],
    dataset: Dataset,
    batch: int,
    settings: LatencyPlan,
    progress: Progress,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Call everybody once a round on the same rows, until the calls or the seconds are used up.

    Args:
        calls: What answers a batch of rows, by name.
        dataset: Where rows are drawn from.
        batch: Rows per call.
        settings: How many calls, and for how long.
        progress: Told of every round.

    Returns:
        Milliseconds on the clock and of CPU time, by name, a value a call.
    """
    rows = _rows(dataset, batch)
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    least = dict.fromkeys(calls, np.inf)  # milliseconds of the quickest call
    for _, inputs in zip(range(WARM_UP), rows, strict=False):
        for name, call in calls.items():
            started = time.perf_counter()
            call(inputs)
            least[name] = min(least[name], (time.perf_counter() - started) * 1000)
    order, rng = list(calls), np.random.default_rng(0)
    progress.start(f"latency at batch {batch}", settings.calls)
    began, told = time.perf_counter(), 0
    for number, inputs, others in zip(range(1, settings.calls + 1), rows, rows, strict=False):
        # A fresh order each round, so that nobody always runs in the cache that another left.
        rng.shuffle(order)
        for name in order:
            if max(least.values()) > WARM_MS:
                _warm(calls[name], others, least[name])
            started, used = time.perf_counter(), time.process_time()
            calls[name](inputs)
            cpu[name].append((time.process_time() - used) * 1000)
            wall[name].append((time.perf_counter() - started) * 1000)
            least[name] = min(least[name], wall[name][-1])
        # Whichever of the two limits is nearer says how much is left.
        spent = (time.perf_counter() - began) / max(settings.seconds, 1e-9)
        done = min(max(number, int(spent * settings.calls)), settings.calls)
        progress.advance(done - told)
        told = done
        if spent > 1:
            break
    return wall, cpu


def _warm(call: Call, inputs: np.ndarray, usual: float) -> None:
    """Fill the processor's caches with what a quick call needs, as its own calls before it would.

    Args:
        call: What answers a batch of rows.
        inputs: Other rows than those that count.
        usual: Milliseconds that a call takes.
    """
    left = WARM_MS
    while usual < left:
        started = time.perf_counter()
        call(inputs)
        left -= (time.perf_counter() - started) * 1000


def _columns(
    wall: Mapping[str, Sequence[float]], cpu: Mapping[str, Sequence[float]], machine: Machine
) -> dict[str, np.ndarray]:
    columns = {f"wall{i}": np.array(values) for i, values in enumerate(wall.values())}
    columns |= {f"cpu{i}": np.array(values) for i, values in enumerate(cpu.values())}
    return columns | machine_columns(machine, len(columns["wall0"]))


def _write(columns: Mapping[str, np.ndarray], folder: Path) -> None:
    write_parquet(folder / FILE, columns)


def _read(folder: Path) -> dict[str, np.ndarray]:
    return read_parquet(folder / FILE)


def _profiles(
    columns: Mapping[str, np.ndarray],
    entries: Sequence[tuple[str, Candidate]],
    batch: int,
    threads: int,
) -> list[LoadProfile]:
    machine = machine_of(columns)
    return [
        LoadProfile(
            candidate=name,
            runtime=candidate.runtime,
            batch=batch,
            threads=own_threads(candidate.model, threads),
            wall_ms=columns[f"wall{i}"],
            cpu_ms=columns[f"cpu{i}"],
            machine=machine,
        )
        for i, (name, candidate) in enumerate(entries)
    ]
