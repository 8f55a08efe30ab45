"""Stores weights in 8 bits and multiplies in integers, with ranges found on training rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._calibration import (
    calibration_feeds,
    calibration_rows,
    check_alive,
    note_rows,
)
from surefoot.compress.steps._fusion import optimised
from surefoot.compress.steps._graph import (
    WEIGHTS,
    cannot,
    constants,
    name_head,
    name_nodes,
    seal_graph,
)
from surefoot.compress.steps._rows import quiet
from surefoot.compress.steps._static import PRODUCTS, layers_of, run_quantiser
from surefoot.compress.steps._tables import quantise_tables
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx

NEEDS = "onnx"
GIVES = "onnx"
_IN_INTEGERS = ("QLinearConv", "QLinearMatMul", "QGemm")
PERCENTILE = 99.99
_METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
_FORMATS = {"qdq": "QDQ", "qoperator": "QOperator"}
# What the quantiser raises when it meets a graph that it cannot handle.
_ERRORS = (ValueError, AttributeError, KeyError, TypeError, NotImplementedError, AssertionError)


def quantize_static(
    model: Model,
    task: Task,
    folder: Path,
    *,
    calibration: Literal["minmax", "percentile", "entropy"] = "minmax",
    rows: int = 256,
    per_channel: bool = True,
    format: Literal["qdq", "qoperator"] = "qdq",
    embeddings: bool = True,
    head: bool = False,
) -> Model:
    """Stores weights in 8 bits and multiplies in integers, with ranges found on training rows.

    Activations are unsigned and weights signed, the pair that is fast on x86. In a graph without
    attention everything is quantised, so that integers pass from layer to layer; in one with
    attention only the products with weights are, and give floats: what lies between them has
    ranges that 8 bits do not hold.

    Args:
        model: A model in 32-bit floats.
        task: Gives the training rows.
        folder: Where the new model goes.
        calibration: How the range of an activation is found: all that was seen, all but the
            outermost 0.01 %, or what keeps most information (Migacz 2017, "8-bit inference with
            TensorRT").
        rows: How many training rows to look at, spread evenly; `calibration.json` names them.
        per_channel: One scale per output channel of a weight instead of one for all of it.
        format: `qdq` marks what is in integers and leaves the rest to the runtime, which any may
            read; `qoperator` writes ONNX Runtime's own integer operators.
        embeddings: Quantise embedding tables too, with one scale per table.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.

    Raises:
        ModelError: No training rows, nothing to quantise, an operator that cannot be quantised, or
            a result that is not finite or constant.
    """
    where = model.path / model.file
    data = calibration_rows(task, model, "quantize_static", rows)
    feeds = calibration_feeds(model, data)
    proto = onnx(where)
    with quiet():
        # Batch norms and constants are folded first: what is folded later would not be quantised.
        proto = name_nodes(optimised(proto, "basic"))
        kept = [] if head else name_head(proto, where)
        layers = layers_of(proto, kept)
        options = {
            "per_channel": per_channel,
            "calibrate_method": _METHODS[calibration],
            "quant_format": _FORMATS[format],
            "nodes_to_exclude": [*kept, *_without_weights(proto)],
        }
        _quantise(proto, folder / WEIGHTS, feeds, options, whole=_is_whole(proto, model))
        if embeddings:
            quantise_tables(folder / WEIGHTS)
    left = _left_in_floats(onnx(folder / WEIGHTS), layers)
    if len(left) == len(layers):
        raise ModelError(
            "has nothing to quantise: no float matrix product or convolution with constant"
            " weights is left",
            where=str(where),
            fix="leave quantize_static out of the recipe",
        )
    note_rows(folder, data, {"calibration": calibration, "left_in_floats": left})
    made = seal_graph(model, folder, "quantize_static")
    check_alive(made, model, feeds[:8])
    return made


def _quantise(
    proto: Any,
    file: Path,
    feeds: Sequence[dict[str, np.ndarray]],
    options: dict[str, Any],
    *,
    whole: bool,
) -> None:
    """Let ONNX Runtime's quantiser write the graph."""
    from onnxruntime import quantization

    method = getattr(quantization.CalibrationMethod, options.pop("calibrate_method"))
    form = getattr(quantization.QuantFormat, options.pop("quant_format"))
    # Products between floats give floats at once; a second rounding would only lose.
    floats = {} if whole else {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}
    more = {"CalibStridedMinMax": 1, "CalibPercentile": PERCENTILE, **floats}
    given = {"calibrate_method": method, "quant_format": form, "extra_options": more, **options}
    try:
        run_quantiser(proto, file, feeds, whole=whole, options=given)
    except _ERRORS as error:
        raise cannot(proto, "quantize_static", "ONNX Runtime's quantiser", error) from error


def _is_whole(proto: Any, model: Model) -> bool:
    """Whether everything is quantised: in graphs of convolutions and plain layers."""
    attention = any(
        node.op_type in ("Softmax", "Attention", "MultiHeadAttention")
        and node.output[0] not in {output.name for output in proto.graph.output}
        for node in proto.graph.node
    )
    return not attention and model.signature.input != "text"


def _without_weights(proto: Any) -> list[str]:
    """Products of two activations, as in attention: quantised, they lose most and gain least."""
    known = constants(proto.graph)
    return [
        node.name
        for node in proto.graph.node
        if node.op_type in PRODUCTS and node.input[1] not in known
    ]


def _left_in_floats(proto: Any, layers: Sequence[str]) -> list[str]:
    """Those of the layers that read floats still."""
    from_integers = {
        name for node in proto.graph.node if node.op_type == "DequantizeLinear"
        for name in node.output
    }  # fmt: skip
    done = {
        # The quantiser makes a Gemm a MatMul and an Add first.
        node.name.removesuffix("_quant").removesuffix("_MatMul")
        for node in proto.graph.node
        if node.op_type in _IN_INTEGERS
        or (node.op_type in PRODUCTS and node.input[0] in from_integers)
    }
    return [name for name in layers if name not in done]
