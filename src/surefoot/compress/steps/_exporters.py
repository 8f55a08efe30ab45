"""The exporters behind `export_onnx`: torch's two, and scikit-learn's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps import _trees
from surefoot.compress.steps._fusion import fused_transformer
from surefoot.compress.steps._graph import WEIGHTS
from surefoot.compress.steps._rows import quiet
from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx
from surefoot.models.runtimes._common import load

_FOR_FORMAT = {
    "huggingface": ("torchscript", "dynamo"),
    "pt2": ("dynamo",),
    "torchscript": ("torchscript",),
    "skops": ("skl2onnx",),
    "pickle": ("skl2onnx",),
}
_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids")
# What exporters raise when they meet an operator or a control flow that they do not know.
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)


def for_model(model: Model, exporter: str) -> Sequence[str]:
    """The exporters to try for a model, in order.

    Raises:
        ModelError: The one asked for, or any, cannot write models of that kind.
    """
    able = _FOR_FORMAT[model.format]
    if able == ("skl2onnx",):
        if model.signature.input == "text":
            raise ModelError(
                "step 'export_onnx': a scikit-learn model that takes raw texts cannot be exported,"
                " as ONNX splits and lower-cases texts by other rules",
                where=model.name,
                fix="leave it in the sklearn runtime",
            )
        return able
    if exporter == "best":
        return able
    if exporter not in able:
        raise ModelError(
            f"step 'export_onnx': exporter '{exporter}' cannot write a {model.format} model",
            fix=f"able: {', '.join(able)}",
        )
    return (exporter,)


def export(
    model: Model,
    feeds: Sequence[tuple[np.ndarray, dict[str, np.ndarray]]],
    exporter: str,
    *,
    fuse: bool,
    opset: int,
) -> tuple[Any, str]:
    """Write a model as an `onnx.ModelProto` with one of the exporters.

    Returns:
        The graph and an empty text, or None and what went wrong.
    """
    require("onnx", extra="compress", error=ModelError)
    loaded = load(model)
    options: dict[str, Any] = {"output": model.signature.output, "opset": opset}
    with tempfile.TemporaryDirectory() as name, quiet():
        file = Path(name) / WEIGHTS
        try:
            if exporter == "skl2onnx":
                return _without_traces(_from_sklearn(loaded, model, **options)), ""
            _from_torch(loaded, _example(model, feeds[0][1]), file, exporter=exporter, **options)
            graph = _fused(file, loaded) if fuse else onnx(file)
        except _ERRORS as error:
            line = (str(error).strip() or type(error).__name__).partition("\n")[0][:200]
            return None, f"{exporter} fails: {line}"
    return _without_traces(graph), ""


def _from_torch(
    loaded: Any, example: dict[str, Any], file: Path, *, exporter: str, output: str, opset: int
) -> None:
    import torch

    for child in _modules(loaded):
        if hasattr(child, "set_attn_implementation"):
            # Attention in plain operators fuses, and runs faster in ONNX Runtime.
            child.set_attn_implementation("eager")
    axes = {
        name: {0: "batch", 1: "sequence"} if name in _SEQUENCES else {0: "batch"}
        for name in example
    }
    options: dict[str, Any] = {
        "input_names": list(example),
        "output_names": [output],
        "opset_version": opset,
        "dynamo": exporter == "dynamo",
    }
    arguments = tuple(example.values())
    if exporter == "torchscript":
        options["dynamic_axes"] = {**axes, output: {0: "batch"}}
    else:
        options |= {"external_data": False, "verbose": False}
        # An exported program has its examples and free sizes in itself.
        if isinstance(loaded, torch.export.ExportedProgram):
            arguments = ()
        else:
            free = torch.export.Dim.DYNAMIC
            options["dynamic_shapes"] = tuple(dict.fromkeys(axes[name], free) for name in example)
    with torch.inference_mode():
        torch.onnx.export(loaded, arguments, file, **options)


def _example(model: Model, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Tensors of two rows to trace with; a size of 1 would be taken for one that never changes."""
    import torch

    return {
        name: torch.from_numpy(np.resize(tensors[name], (2, *tensors[name].shape[1:])))
        for name in model.signature.tensors
    }


def _fused(file: Path, loaded: Any) -> Any:
    """The graph with ONNX Runtime's own operators in the place of the patterns that it knows."""
    configs = [child.config for child in _modules(loaded) if hasattr(child, "config")][:1]
    sizes = [
        (getattr(config, "num_attention_heads", 0), getattr(config, "hidden_size", 0))
        for config in configs
    ]
    heads, width = sizes[0] if sizes else (0, 0)
    return fused_transformer(onnx(file), heads=heads, width=width)


def _modules(loaded: Any) -> Iterable[Any]:
    """The torch modules inside a loaded model; none for an exported program."""
    return loaded.modules() if hasattr(loaded, "modules") else ()


def _from_sklearn(estimator: Any, model: Model, *, output: str, opset: int) -> Any:
    library = require("skl2onnx", extra="tabular", error=ModelError)
    types = require("skl2onnx.common.data_types", extra="tabular", error=ModelError)
    ensembles = require("sklearn.ensemble", extra="tabular", error=ModelError)
    boosted = ensembles.HistGradientBoostingClassifier
    initial = ("inputs", types.FloatTensorType([None, model.signature.width]))
    graph = library.convert_sklearn(
        estimator,
        name="classifier",  # drawn at random by default
        initial_types=[initial],
        target_opset=opset,
        options={id(estimator): {"zipmap": False}},
        custom_conversion_functions={boosted: _trees.convert},
    )
    del graph.graph.output[0]  # the predicted labels; the scores of the classes stay
    graph.graph.output[0].name, old = output, graph.graph.output[0].name
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [output if name == old else name for name in names]
    _drop_unread(graph.graph)
    return graph


def _drop_unread(graph: Any) -> None:
    """Take out what only the labels were made from, which a runtime would go on making."""
    read = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if read.isdisjoint(node.output):
            graph.node.remove(node)
            continue
        # The body of a loop reads from outside without saying so.
        inner = (name for part in node.attribute for each in part.g.node for name in each.input)
        read.update(node.input, inner)


def _without_traces(graph: Any) -> Any:
    """The graph without the exporter's notes, which hold paths of this machine."""
    graph.doc_string = graph.graph.doc_string = ""
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del graph.graph.metadata_props[:]
    del graph.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        del value.metadata_props[:]
    return graph
