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
from surefoot.core.errors import BundleError
from surefoot.core.evidence import LoadProfile
from surefoot.core.model import Candidate
from surefoot.core.plan import LatencyPlan
from surefoot.core.progress import Progress, Silent
from surefoot.data.columns import read_parquet, write_parquet
from surefoot.models import open_model
from surefoot.store import Store

WARM_UP = 5
"""Calls of each candidate that are not counted: allocation, caches, lazy kernels."""
AGAIN = " (again)"
"""Ends the name under which the baseline runs a second time: the A/A noise floor."""

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
    equal things appear on this machine.

    Args:
        candidates: The baseline first.
        dataset: Where rows are drawn from.
        store: Where the latencies are kept.
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
        folder = store.path("latency", key)
        if not folder.exists():
            with _opened(entries, settings.threads) as calls:
                rows = _rows(dataset, batch)
                wall, cpu = _rounds(
                    calls, rows, settings, progress or Silent(), f"latency at batch {batch}"
                )
            store.make("latency", key, partial(_write, wall, cpu))
        profiles += _read(folder, entries, batch, settings.threads)
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


def _rounds(
    calls: Mapping[str, Call],
    rows: Iterator[np.ndarray],
    settings: LatencyPlan,
    progress: Progress,
    title: str,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for _, inputs in zip(range(WARM_UP), rows, strict=False):
        for call in calls.values():
            call(inputs)
    order, rng = list(calls), np.random.default_rng(0)
    progress.start(title, settings.calls)
    end = time.perf_counter() + settings.seconds
    for _, inputs in zip(range(settings.calls), rows, strict=False):
        # A fresh order each round, so that nobody always runs in the cache that another left.
        rng.shuffle(order)
        for name in order:
            started, used = time.perf_counter(), time.process_time()
            calls[name](inputs)
            cpu[name].append((time.process_time() - used) * 1000)
            wall[name].append((time.perf_counter() - started) * 1000)
        progress.advance()
        if time.perf_counter() > end:
            break
    return wall, cpu


def _write(wall: Mapping[str, Any], cpu: Mapping[str, Any], folder: Path) -> None:
    columns = {f"wall{i}": np.array(values) for i, values in enumerate(wall.values())}
    columns |= {f"cpu{i}": np.array(values) for i, values in enumerate(cpu.values())}
    write_parquet(folder / "latency.parquet", columns)


def _read(
    folder: Path, entries: Sequence[tuple[str, Candidate]], batch: int, threads: int
) -> Iterator[LoadProfile]:
    columns = _columns(folder / "latency.parquet")
    for i, (name, candidate) in enumerate(entries):
        yield LoadProfile(
            candidate=name,
            runtime=candidate.runtime,
            batch=batch,
            threads=threads,
            wall_ms=columns[f"wall{i}"],
            cpu_ms=columns[f"cpu{i}"],
        )


def _columns(file: Path) -> dict[str, np.ndarray]:
    import duckdb

    try:
        return read_parquet(file)
    except (duckdb.Error, OSError) as error:
        raise BundleError(
            f"finished work cannot be read: {str(error).splitlines()[0]}",
            where=str(file),
            fix=f"remove {file.parent} and run again",
        ) from error
