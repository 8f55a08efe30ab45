"""Writes a model as an ONNX graph and proves that it gives the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps import _exporters
from surefoot.compress.steps._graph import WEIGHTS, seal_graph, with_inputs
from surefoot.compress.steps._parity import Parity, compare, feeds_of, outputs_of, real_rows
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import save

NEEDS = ("huggingface", "pt2", "torchscript", "skops", "pickle")
GIVES = "onnx"


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
    able = _exporters.for_model(model, exporter)
    data = real_rows(task, "export_onnx")
    feeds = feeds_of(model, data.inputs)
    wanted = outputs_of(model, feeds)
    best: tuple[Parity, Any] | None = None
    failures = []
    for name in able:
        graph, failure = _exporters.export(model, feeds, name, fuse=fuse, opset=opset)
        parity = None if graph is None else compare(graph, feeds, wanted, data.ids, name)
        if parity is None or not parity.holds():
            failures.append(failure if parity is None else parity.line())
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
    parity.write(folder)
    return seal_graph(model, folder, "export_onnx", signature=with_inputs(model, graph))


def _attention(parity: Parity) -> int:
    return parity.fused.get("Attention", 0) + parity.fused.get("MultiHeadAttention", 0)
