"""Proves that a written ONNX graph gives the same answers as what it was written from."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.compress.steps import _reload
from surefoot.compress.steps._rows import batches
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import default_runtime
from surefoot.models.formats.onnx import save

CERTIFICATE = "certificate.json"
ROWS = 64
# Float kernels that add in another order differ by about 1e-6; a wrong graph by far more than this.
TOLERANCE = 1e-3

Feeds = Sequence[tuple[np.ndarray, dict[str, np.ndarray]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a written graph is from its source on real rows."""

    exporter: str
    """What wrote it."""
    rows: int
    """Rows compared, some of them alone and all of them in batches."""
    max_difference: float
    """The largest difference of an output."""
    mean_difference: float
    """The mean difference of an output."""
    flips: int
    """Answers that changed."""
    worst: tuple[str, ...]
    """The ids of the rows that differ most, at most 5."""
    fused: dict[str, int]
    """How often each operator of ONNX Runtime's own stands in the graph."""

    def holds(self, tolerance: float = TOLERANCE) -> bool:
        """Whether the graph may stand for its source."""
        return self.flips == 0 and self.max_difference <= tolerance

    def line(self) -> str:
        """What is off, with the rows that differ most."""
        return (
            f"{self.exporter} gives outputs that differ by up to {self.max_difference:.2g}"
            f" and {self.flips} other answers on {self.rows} rows,"
            f" most on {', '.join(self.worst)}"
        )

    def write(self, folder: Path) -> None:
        """Leave the certificate beside the weights."""
        (folder / CERTIFICATE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def real_rows(task: Task, step: str) -> Dataset:
    """Rows to compare on, spread over what there is; outputs are compared, no label is read.

    Raises:
        ModelError: The task has no rows.
    """
    data = task.train or task.selection or next(iter(task.test.values()), None)
    if data is None or not len(data):
        raise ModelError(
            f"step '{step}' compares the model that it writes on real rows and there are none",
            fix="name a data source as train or test.NAME under [task]",
        )
    return data.spread(ROWS)


def feeds_of(model: Model, inputs: np.ndarray) -> Feeds:
    """Positions and tensors of calls: batches of rows first, then a few rows alone."""
    few = np.arange(0, len(inputs), 8)
    alone = [(few[row], tensors) for row, tensors in batches(model, inputs[few], size=1)]
    return [*batches(model, inputs), *alone]


def outputs_of(model: Model, feeds: Feeds) -> np.ndarray:
    """What a model gives for every row of every feed, in its own runtime."""
    with plugins.find("runtime", default_runtime(model.format))(model) as run:
        return np.concatenate([run(tensors) for _, tensors in feeds])


def compare(graph: Any, feeds: Feeds, wanted: np.ndarray, ids: np.ndarray, writer: str) -> Parity:
    """Load a graph in a fresh process and hold its outputs against those of its source.

    Args:
        graph: An `onnx.ModelProto`.
        feeds: Positions in `ids` and input tensors of every call.
        wanted: What the source gives for the rows of all feeds, one after the other.
        ids: The ids of the rows, for the certificate.
        writer: What wrote the graph, for the certificate.

    Raises:
        ModelError: The graph does not run, or its outputs are of another shape.
    """
    found = np.concatenate(_in_fresh_process(graph, feeds))
    if found.shape != wanted.shape:
        raise ModelError(f"gives outputs of shape {found.shape}, not {wanted.shape}", where=writer)
    rows = np.concatenate([positions for positions, _ in feeds])
    difference = np.abs(found.astype(np.float64) - wanted)
    # Not finite, in either or in both, is no answer that could be the same.
    difference[~np.isfinite(difference)] = np.inf
    flipped = found.argmax(axis=1) != wanted.argmax(axis=1)
    order = np.argsort(-(difference.max(axis=1) + flipped), kind="stable")
    own = Counter(node.op_type for node in graph.graph.node if node.domain == "com.microsoft")
    return Parity(
        exporter=writer,
        rows=len(ids),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        flips=int(flipped.sum()),
        worst=tuple(map(str, ids[list(dict.fromkeys(rows[order].tolist()))[:5]])),
        fused=dict(sorted(own.items())),
    )


def prove(graph: Any, feeds: Feeds, wanted: np.ndarray, ids: np.ndarray, writer: str) -> Parity:
    """Compare a graph with its source, as `compare` does; one that is off is an error.

    Raises:
        ModelError: The graph does not run, or it is off; names the rows that differ most.
    """
    parity = compare(graph, feeds, wanted, ids, writer)
    if not parity.holds():
        raise ModelError(f"the graph that was written is off: {parity.line()}")
    return parity


def _in_fresh_process(graph: Any, feeds: Feeds) -> list[np.ndarray]:
    """What the graph gives for every feed, run where no state of the writer can leak in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(graph, folder / "model.onnx")
        arrays: dict[str, Any] = {
            f"{call}/{tensor}": array
            for call, (_, tensors) in enumerate(feeds)
            for tensor, array in tensors.items()
        }
        np.savez(folder / "feeds.npz", **arrays)
        files = [folder / "model.onnx", folder / "feeds.npz", graph.graph.output[0].name]
        command = [sys.executable, "-P", _reload.__file__, *files, folder / "results.npz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            line = done.stderr.strip().rpartition("\n")[2][:300]
            raise ModelError(f"the written graph does not run: {line}")
        with np.load(folder / "results.npz") as results:
            return [results[str(call)] for call in range(len(feeds))]
