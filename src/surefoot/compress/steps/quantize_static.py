"""Stores weights in 8 bits and multiplies in integers, with ranges found on training rows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
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
from surefoot.compress.steps._graph import WEIGHTS, constants, name_head, name_nodes, seal_graph
from surefoot.compress.steps._rows import quiet
from surefoot.compress.steps._tables import quantise_tables
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx
from surefoot.models.runtimes._common import first_line

NEEDS = "onnx"
GIVES = "onnx"
PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""What is worth quantising: operators with weights."""
BETWEEN = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "LeakyRelu", "MaxPool",
    "Mul", "Pad", "Relu", "Reshape", "Resize", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
"""What integers pass through on the way from one such operator to the next."""
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
        layers = _layers(proto, kept)
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


class _Reader:
    """The calls of a calibration one at a time, so that the activations of one lie in memory.

    Args:
        feeds: The input tensors of every call.
    """

    def __init__(self, feeds: Sequence[dict[str, np.ndarray]]) -> None:
        self._feeds = feeds
        self.set_range(0, len(feeds))

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Hand out these calls next."""
        self._left = iter(self._feeds[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next call, None after the last."""
        return next(self._left, None)


def _quantise(
    proto: Any,
    file: Path,
    feeds: Sequence[dict[str, np.ndarray]],
    options: dict[str, Any],
    *,
    whole: bool,
) -> None:
    """Let ONNX Runtime's quantiser write the graph."""
    from onnxruntime import quantization, set_default_logger_severity

    method = getattr(quantization.CalibrationMethod, options.pop("calibrate_method"))
    form = getattr(quantization.QuantFormat, options.pop("quant_format"))
    # Products between floats give floats at once; a second rounding would only lose.
    floats = {} if whole else {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}
    set_default_logger_severity(3)
    try:
        with redirect_stdout(StringIO()):
            quantization.quantize_static(
                _typed(proto),
                file,
                _Reader(feeds),
                calibrate_method=method,
                quant_format=form,
                op_types_to_quantize=[*PRODUCTS, *(BETWEEN if whole else ())],
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"CalibStridedMinMax": 1, "CalibPercentile": PERCENTILE, **floats},
                **options,
            )
    except _ERRORS as error:
        operators = ", ".join(sorted({node.op_type for node in proto.graph.node}))
        raise ModelError(
            f"step 'quantize_static': ONNX Runtime's quantiser fails: {first_line(error)}",
            where=f"a graph of {operators}",
        ) from error
    finally:
        set_default_logger_severity(2)  # ONNX Runtime's default


def _is_whole(proto: Any, model: Model) -> bool:
    """Whether everything is quantised: in graphs of convolutions and plain layers."""
    attention = any(
        node.op_type in ("Softmax", "Attention", "MultiHeadAttention")
        and node.output[0] not in {output.name for output in proto.graph.output}
        for node in proto.graph.node
    )
    return not attention and model.signature.input != "text"


def _layers(proto: Any, kept: Sequence[str]) -> list[str]:
    """The names of the operators with weights."""
    known = constants(proto.graph)
    return [
        node.name
        for node in proto.graph.node
        if node.op_type in PRODUCTS and node.input[1] in known and node.name not in kept
    ]


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


def _typed(proto: Any) -> Any:
    """The graph with a type for what layers read: shape inference stops at fused operators."""
    from onnx import TensorProto, helper

    known = {value.name for value in (*proto.graph.value_info, *proto.graph.input)}
    read = {name for node in proto.graph.node if node.op_type in PRODUCTS for name in node.input}
    known |= set(constants(proto.graph)) | {""}
    for name in sorted(read - known):
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return proto
