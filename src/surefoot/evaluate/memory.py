"""A fresh process that opens a model and answers a few batches: its memory, and its cold start."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate
from surefoot.models import open_model, read_model
from surefoot.store import Store

PROCESSES = 3
BATCHES = 4
TIMEOUT_S = 600.0
"""A process that takes longer for a few batches hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What fresh processes showed."""

    peak_bytes: int
    """Main memory at the peak: the most of them."""
    cold_ms: float
    """From opening the model to its first answer: the median of them."""


def peak_memory(candidate: Candidate, dataset: Dataset, store: Store, *, batch: int = 32) -> int:
    """Bytes of main memory at the peak: the most of three fresh processes.

    Python and the runtime are part of it, as they are where the model is served.

    Args:
        candidate: The candidate.
        dataset: Where rows are taken from.
        store: Where the figure is kept.
        batch: Rows per call.

    Raises:
        ModelError: The model cannot be run in a process of its own.
    """
    return fresh(candidate, dataset, store, batch=batch).peak_bytes


def fresh(candidate: Candidate, dataset: Dataset, store: Store, *, batch: int) -> Fresh:
    """Open a model and answer a few batches in three fresh processes, one after another.

    The cold start counts from the call that opens the model, its golden vectors included, and not
    from the start of Python. The file may lie in the system's cache.

    Args:
        candidate: The candidate.
        dataset: Where rows are taken from.
        store: Where the figures are kept.
        batch: Rows per call.

    Raises:
        ModelError: The model cannot be run in a process of its own.
    """
    key = {
        "memory": candidate.model.fingerprint,
        "runtime": plugins.stamped("runtime", candidate.runtime),
        "rows": dataset.fingerprint,
        "batch": batch,
        "machine": os.uname()[1:],
    }

    def write(folder: Path) -> None:
        inputs = dataset.inputs[: BATCHES * batch]
        seen = [_process(candidate, inputs, batch) for _ in range(PROCESSES)]
        (folder / "fresh.json").write_text(json.dumps(seen))

    kept = store.kept("memory", key, _read)
    return _read(store.make("memory", key, write)) if kept is None else kept


def _read(folder: Path) -> Fresh:
    seen: list[tuple[int, float]] = json.loads((folder / "fresh.json").read_text())
    peaks, cold = zip(*seen, strict=True)
    return Fresh(peak_bytes=max(peaks), cold_ms=float(np.median(cold)))


def _process(candidate: Candidate, inputs: np.ndarray, batch: int) -> list[float]:
    """Bytes at the peak and milliseconds to the first answer."""
    plain = np.array(inputs.tolist(), np.str_) if inputs.dtype.kind == "T" else inputs
    buffer = io.BytesIO()
    np.save(buffer, plain, allow_pickle=False)
    command = [sys.executable, "-P", "-m", __name__, str(candidate.model.path)]
    try:
        done = subprocess.run(
            [*command, candidate.runtime, str(batch)],
            input=buffer.getvalue(),
            capture_output=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        what = f"did not answer {BATCHES} batches within {TIMEOUT_S:g} s in a process of its own"
        raise ModelError(what, where=candidate.name) from error
    if done.returncode:
        line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise ModelError(f"cannot be run in a process of its own: {line}", where=candidate.name)
    # Libraries print, too: the last line is ours.
    found: list[float] = json.loads(done.stdout.strip().rpartition(b"\n")[2])
    return found


def _main() -> None:
    path, runtime, batch = sys.argv[1:]
    inputs = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    if inputs.dtype.kind == "U":
        inputs = inputs.astype(np.dtypes.StringDType())
    # Whoever started this process has admitted the model.
    model, began = read_model(Path(path), trust=True), time.perf_counter()
    with open_model(model, runtime=runtime) as predict:
        predict.run_batch(inputs[: int(batch)])
        cold_ms = (time.perf_counter() - began) * 1000
        predict(inputs, batch=int(batch))
    print(json.dumps([_own_peak(), cold_ms]))  # noqa: T201  (its last line)


def _own_peak() -> int:
    """Bytes; on Linux `ru_maxrss` would count the process that started this one as well."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _main()
