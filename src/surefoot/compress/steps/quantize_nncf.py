"""Stores weights in 8 bits and multiplies in integers, with ranges that Intel's NNCF finds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._calibration import calibration_rows, check_alive, note_rows
from surefoot.compress.steps._codes import look_up_first, make_unsigned
from surefoot.compress.steps._graph import WEIGHTS, cannot, name_head, name_nodes, seal_graph
from surefoot.compress.steps._rows import batches, quiet
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx, save

NEEDS = "onnx"
GIVES = "onnx"


def quantize_nncf(
    model: Model,
    task: Task,
    folder: Path,
    *,
    rows: int = 300,
    preset: Literal["auto", "mixed", "performance"] = "auto",
    fast_bias_correction: bool = False,
    head: bool = False,
) -> Model:
    """Stores weights in 8 bits and multiplies in integers, with ranges that Intel's NNCF finds.

    Finds ranges of activations on training rows; in transformers moves outliers of activations
    into weights (Xiao and others 2023, "SmoothQuant").

    Args:
        model: A model in 32-bit floats.
        task: Gives the training rows.
        folder: Where the new model goes.
        rows: How many training rows to look at, spread evenly; `calibration.json` names them.
        preset: Ranges of activations around zero (`performance`) or wherever they lie (`mixed`);
            `auto` takes the second for transformers and the first for the rest.
        fast_bias_correction: Add to the biases of each layer by itself what rounding took away on
            average (Nagel and others 2019, "Data-Free Quantization Through Weight Equalization and
            Bias Correction"); where a network adds branches up, it can do more harm than good.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.

    Raises:
        ModelError: No training rows, nothing to quantise, an operator that NNCF cannot handle, or
            a result that is not finite or constant.
    """
    nncf = _library()
    where = model.path / model.file
    data = calibration_rows(task, model, "quantize_nncf", rows)
    # One row a call: there is no padding, whose ranges are of no interest.
    feeds: list[Mapping[str, np.ndarray]] = [t for _, t in batches(model, data.inputs, size=1)]
    proto = _ready(onnx(where), where)
    kept = [] if head else [name for name in name_head(proto, where) if name in _names(proto)]
    presets = {"mixed": nncf.QuantizationPreset.MIXED, "auto": None}
    made = _quantised(
        proto,
        feeds,
        preset=presets.get(preset, nncf.QuantizationPreset.PERFORMANCE),
        model_type=nncf.ModelType.TRANSFORMER if _has_attention(proto) else None,
        ignored_scope=nncf.IgnoredScope(names=kept),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            disable_bias_correction=not fast_bias_correction
        ),
    )
    if _stored(made) == _stored(proto):
        raise _nothing(where)
    make_unsigned(made)
    look_up_first(made)
    save(made, folder / WEIGHTS)
    settings = {"preset": preset, "fast_bias_correction": fast_bias_correction}
    note_rows(folder, data, settings)
    result = seal_graph(model, folder, "quantize_nncf")
    check_alive(result, model, feeds[:64])
    return result


def _library() -> Any:
    """NNCF, without the report of every call that it else sends to its makers."""
    os.environ.setdefault("NNCF_CI", "1")
    with quiet():
        return require("nncf", extra="compress", error=ModelError)


def _ready(proto: Any, where: Path) -> Any:
    """The graph with a name for every node, and its plain operators named first, as NNCF expects.

    Raises:
        ModelError: It has none.
    """
    sets = {opset.domain: opset.version for opset in proto.opset_import}
    version = sets.pop("", None) or sets.pop("ai.onnx", None)
    if version is None:
        raise _nothing(where)
    del proto.opset_import[:]
    for domain, number in {"": version, **sets}.items():
        proto.opset_import.add(domain=domain, version=number)
    return name_nodes(proto)


def _quantised(proto: Any, feeds: Sequence[Mapping[str, np.ndarray]], **options: Any) -> Any:
    import nncf

    try:
        with quiet(), redirect_stdout(StringIO()):
            return nncf.quantize(proto, nncf.Dataset(feeds), subset_size=len(feeds), **options)
    except Exception as error:  # size: NNCF's errors have no class of their own
        raise cannot(proto, "quantize_nncf", "NNCF", error) from error


def _nothing(where: Path) -> ModelError:
    return ModelError(
        "has nothing that NNCF can quantise: no float matrix product or convolution with constant"
        " weights is left",
        where=str(where),
        fix="leave quantize_nncf out of the recipe",
    )


def _has_attention(proto: Any) -> bool:
    """Whether a softmax stands inside the graph, as in a transformer, and not only at its end."""
    outputs = {output.name for output in proto.graph.output}
    return any(
        node.op_type == "Softmax" and node.output[0] not in outputs for node in proto.graph.node
    )


def _names(proto: Any) -> set[str]:
    return {node.name for node in proto.graph.node}


def _stored(proto: Any) -> int:
    """How many weights are stored in codes."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    return sum(
        node.op_type == "DequantizeLinear" and node.input[0] in weights for node in proto.graph.node
    )
