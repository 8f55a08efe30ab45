"""ONNX Runtime's static quantiser, as the steps that use it call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._graph import constants

PRODUCTS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""What is worth quantising: operators with weights."""
_BETWEEN = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "LeakyRelu", "MaxPool",
    "Mul", "Pad", "Relu", "Reshape", "Resize", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
# What integers pass through on the way from one such operator to the next.


def run_quantiser(
    proto: Any,
    file: Path,
    feeds: Sequence[Mapping[str, np.ndarray]],
    *,
    whole: bool,
    options: Mapping[str, Any],
) -> None:
    """Write a graph with signed weights and unsigned activations in 8 bits.

    Args:
        proto: The graph in floats, every node named; the quantiser takes its weights out of it.
        file: Where the result goes.
        feeds: Input tensors of the calls that the ranges of activations are found on.
        whole: Whether integers pass from layer to layer.
        options: Further arguments of the quantiser.
    """
    from onnxruntime import quantization, set_default_logger_severity

    set_default_logger_severity(3)
    try:
        with redirect_stdout(StringIO()):
            quantization.quantize_static(
                _typed(proto),
                file,
                _Reader(feeds),
                op_types_to_quantize=[*PRODUCTS, *(_BETWEEN if whole else ())],
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                **options,
            )
    finally:
        set_default_logger_severity(2)  # ONNX Runtime's default


def layers_of(proto: Any, kept: Sequence[str]) -> list[str]:
    """The names of the operators with constant weights, but for those that are kept in floats."""
    known = constants(proto.graph)
    return [
        node.name
        for node in proto.graph.node
        if node.op_type in PRODUCTS and node.input[1] in known and node.name not in kept
    ]


class _Reader:
    """The calls of a calibration one at a time, so that the activations of one lie in memory.

    Args:
        feeds: The input tensors of every call.
    """

    def __init__(self, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._feeds = feeds
        self.set_range(0, len(feeds))

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Hand out these calls next."""
        self._left = iter(self._feeds[start_index:end_index])

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """The next call, None after the last."""
        return next(self._left, None)


def _typed(proto: Any) -> Any:
    """The graph with a type for what layers read: shape inference stops at fused operators."""
    from onnx import TensorProto, helper

    known = {value.name for value in (*proto.graph.value_info, *proto.graph.input)}
    read = {name for node in proto.graph.node if node.op_type in PRODUCTS for name in node.input}
    known |= set(constants(proto.graph)) | {""}
    for name in sorted(read - known):
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return proto
