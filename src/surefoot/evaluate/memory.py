"""Main memory at its peak, of a fresh process that opens a model and answers a few batches."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate
from surefoot.models import open_model, read_model
from surefoot.store import Store

PROCESSES = 3
BATCHES = 4


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
    key = {
        "memory": candidate.model.fingerprint,
        "runtime": candidate.runtime,
        "rows": dataset.fingerprint,
        "batch": batch,
        "machine": os.uname()[1:],
    }

    def write(folder: Path) -> None:
        peaks = [
            _peak(candidate, dataset.inputs[: BATCHES * batch], batch) for _ in range(PROCESSES)
        ]
        (folder / "peaks.json").write_text(json.dumps(peaks))

    kept = store.kept("memory", key, _most)
    return _most(store.make("memory", key, write)) if kept is None else kept


def _most(folder: Path) -> int:
    peaks: list[int] = json.loads((folder / "peaks.json").read_text())
    return max(peaks)


def _peak(candidate: Candidate, inputs: np.ndarray, batch: int) -> int:
    plain = np.array(inputs.tolist(), np.str_) if inputs.dtype.kind == "T" else inputs
    buffer = io.BytesIO()
    np.save(buffer, plain, allow_pickle=False)
    command = [sys.executable, "-P", "-m", __name__, str(candidate.model.path)]
    done = subprocess.run(
        [*command, candidate.runtime, str(batch)],
        input=buffer.getvalue(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise ModelError(f"cannot be run in a process of its own: {line}", where=candidate.name)
    return int(done.stdout)


def _main() -> None:
    path, runtime, batch = sys.argv[1:]
    inputs = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    if inputs.dtype.kind == "U":
        inputs = inputs.astype(np.dtypes.StringDType())
    # Whoever started this process has admitted the model.
    with open_model(read_model(Path(path), trust=True), runtime=runtime) as predict:
        predict(inputs, batch=int(batch))
    print(_own_peak())  # noqa: T201  (its only output)


def _own_peak() -> int:
    """Bytes; on Linux `ru_maxrss` would count the process that started this one as well."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _main()
