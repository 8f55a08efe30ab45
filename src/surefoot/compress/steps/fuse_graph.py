"""Writes patterns of operators as the fused ones of ONNX Runtime, and proves the answers alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps._fusion import fused_transformer, optimised, own_operators
from surefoot.compress.steps._graph import WEIGHTS, seal_graph, with_inputs
from surefoot.compress.steps._parity import feeds_of, outputs_of, prove, real_rows
from surefoot.compress.steps._rows import quiet
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx, save

NEEDS = "onnx"
GIVES = "onnx"


def fuse_graph(
    model: Model,
    task: Task,
    folder: Path,
    *,
    level: Literal["basic", "extended"] = "extended",
) -> Model:
    """Writes patterns of operators as the fused ones of ONNX Runtime, and proves the answers alike.

    The graph is loaded in a fresh process and compared with its source on up to 64 real rows.
    ONNX Runtime does most of this by itself when it opens a model; attention it does not.

    Args:
        model: A model in floats.
        task: Gives the rows to compare on.
        folder: Where the new model goes.
        level: `extended` writes attention, layer norm, GELU and activations as operators that ONNX
            Runtime alone knows; `basic` folds constants and batch norms into plain operators.

    Raises:
        ModelError: Nothing is there to fuse, or the fused graph gives other answers.
    """
    where = model.path / model.file
    proto = onnx(where)
    data = real_rows(task, "fuse_graph")
    feeds = feeds_of(model, data.inputs)
    wanted = outputs_of(model, feeds)
    with quiet():
        graph = optimised(onnx(where), "basic")
        if level == "extended":
            graph = _extended(graph, model)
    if own_operators(graph) <= own_operators(proto) and _operators(graph) >= _operators(proto):
        raise ModelError(
            f"has nothing to fuse at level '{level}'",
            where=str(where),
            fix="leave fuse_graph out of the recipe",
        )
    parity = prove(graph, feeds, wanted, data.ids, "fuse_graph")
    save(graph, folder / WEIGHTS)
    parity.write(folder)
    return seal_graph(model, folder, "fuse_graph", signature=with_inputs(model, graph))


def _extended(graph: Any, model: Model) -> Any:
    """A transformer's patterns first: what ONNX Runtime fuses hides attention from them."""
    if any(node.op_type == "Softmax" for node in graph.graph.node[:-1]):
        kind: Literal["bert", "vit"] = "vit" if model.signature.input == "image" else "bert"
        return fused_transformer(graph, kind=kind)
    return optimised(graph, "extended")


def _operators(proto: Any) -> int:
    """The operators of a graph that compute something."""
    return sum(node.op_type not in ("Constant", "Identity") for node in proto.graph.node)
