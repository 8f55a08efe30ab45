"""Writes a model as an ONNX graph and proves that it gives the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot import plugins
from surefoot.compress.steps import _exporters, _reload
from surefoot.compress.steps._graph import WEIGHTS
from surefoot.compress.steps._rows import batches
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import copy_preprocessing, default_runtime, seal
from surefoot.models.formats.onnx import save

NEEDS = ("huggingface", "pt2", "torchscript", "skops", "pickle")
GIVES = "onnx"
CERTIFICATE = "certificate.json"
ROWS = 64
# Float kernels that add in another order differ by about 1e-6; a wrong graph by far more than this.
TOLERANCE = 1e-3

Feeds = Sequence[tuple[np.ndarray, dict[str, np.ndarray]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far an exported graph is from its source on real rows."""

    exporter: str
    """The exporter that wrote it."""
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

    def holds(self) -> bool:
        """Whether the graph may stand for its source."""
        return self.flips == 0 and self.max_difference <= TOLERANCE


def export_onnx(
    model: Model,
    task: Task,
    folder: Path,
    *,
    exporter: Literal["best", "torchscript", "dynamo"] = "best",
    fuse: bool = False,
    opset: int = 18,
) -> Model:
    """Writes a model as an ONNX graph and proves that it gives the same answers.

    The graph is loaded in a fresh process and compared with its source on up to 64 real rows, alone
    and in batches; `certificate.json` says what was found. One that is off is an error.

    Args:
        model: A model of torch, transformers or scikit-learn.
        task: Gives the rows to compare on.
        folder: Where the new model goes.
        exporter: Of torch's two: `best` takes `torchscript`, whose graphs ONNX Runtime runs faster,
            and `dynamo` where that fails, is off, or with `fuse` leaves all attention unfused.
        fuse: Write attention, layer norm and GELU as ONNX Runtime's own operators, which no other
            runtime may know. Not always faster: measure.
        opset: The version of the ONNX operators.

    Raises:
        ModelError: No exporter can write the model, or what it wrote differs.
    """
    data = _rows(task)
    feeds = _feeds(model, data.inputs)
    best: tuple[Parity, Any] | None = None
    failures = []
    for name in _exporters.for_model(model, exporter):
        graph, failure = _exporters.export(model, feeds, name, fuse=fuse, opset=opset)
        parity = None if graph is None else _compare(model, data, feeds, graph, name)
        if parity is None or not parity.holds():
            failures.append(failure if parity is None else _off(parity))
            continue
        if best is None or _attention(parity) > _attention(best[0]):
            best = (parity, graph)
        if not fuse or _attention(best[0]):
            break
    if best is None:
        raise ModelError(
            f"cannot be exported: {'; '.join(failures)}", where=str(model.path / model.file)
        )
    return _write(model, folder, *best)


def _write(model: Model, folder: Path, parity: Parity, graph: Any) -> Model:
    save(graph, folder / WEIGHTS)
    (folder / CERTIFICATE).write_text(json.dumps(asdict(parity), indent=1) + "\n")
    copy_preprocessing(model, folder)
    return seal(
        folder,
        name="export_onnx",
        format=GIVES,
        file=WEIGHTS,
        signature=replace(model.signature, tensors=tuple(i.name for i in graph.graph.input)),
        parent=model.fingerprint,
    )


def _rows(task: Task) -> Dataset:
    """Rows to compare on, spread over what there is; outputs are compared, no label is read."""
    data = task.train or task.selection or next(iter(task.test.values()), None)
    if data is None or not len(data):
        raise ModelError(
            "step 'export_onnx' compares the exported model on real rows and there are none",
            fix="name a data source as train or test.NAME under [task]",
        )
    return data.rows(
        np.unique(np.linspace(0, len(data) - 1, min(ROWS, len(data))).astype(np.int64))
    )


def _feeds(model: Model, inputs: np.ndarray) -> Feeds:
    """Positions and tensors of calls: batches of rows first, then a few rows alone."""
    few = np.arange(0, len(inputs), 8)
    alone = [(few[row], tensors) for row, tensors in batches(model, inputs[few], size=1)]
    return [*batches(model, inputs), *alone]


def _compare(model: Model, data: Dataset, feeds: Feeds, graph: Any, exporter: str) -> Parity:
    with plugins.find("runtime", default_runtime(model.format))(model) as run:
        wanted = np.concatenate([run(tensors) for _, tensors in feeds])
    found = np.concatenate(_in_fresh_process(graph, feeds))
    if found.shape != wanted.shape:
        raise ModelError(
            f"exports outputs of shape {found.shape}, not {wanted.shape}", where=exporter
        )
    rows = np.concatenate([positions for positions, _ in feeds])
    difference = np.abs(found.astype(np.float64) - wanted)
    flipped = found.argmax(axis=1) != wanted.argmax(axis=1)
    order = np.argsort(-(difference.max(axis=1) + flipped), kind="stable")
    own = Counter(node.op_type for node in graph.graph.node if node.domain == "com.microsoft")
    return Parity(
        exporter=exporter,
        rows=len(data),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        flips=int(flipped.sum()),
        worst=tuple(map(str, data.ids[list(dict.fromkeys(rows[order].tolist()))[:5]])),
        fused=dict(sorted(own.items())),
    )


def _in_fresh_process(graph: Any, feeds: Feeds) -> list[np.ndarray]:
    """What the graph gives for every feed, run where no state of the exporter can leak in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(graph, folder / WEIGHTS)
        arrays: dict[str, Any] = {
            f"{call}/{tensor}": array
            for call, (_, tensors) in enumerate(feeds)
            for tensor, array in tensors.items()
        }
        np.savez(folder / "feeds.npz", **arrays)
        files = [folder / WEIGHTS, folder / "feeds.npz", graph.graph.output[0].name]
        command = [sys.executable, "-P", _reload.__file__, *files, folder / "results.npz"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            line = done.stderr.strip().rpartition("\n")[2][:300]
            raise ModelError(f"the exported graph does not run: {line}")
        with np.load(folder / "results.npz") as results:
            return [results[str(call)] for call in range(len(feeds))]


def _attention(parity: Parity) -> int:
    return parity.fused.get("Attention", 0) + parity.fused.get("MultiHeadAttention", 0)


def _off(parity: Parity) -> str:
    return (
        f"{parity.exporter} gives outputs that differ by up to {parity.max_difference:.2g}"
        f" and {parity.flips} other answers on {parity.rows} rows,"
        f" most on {', '.join(parity.worst)}"
    )
