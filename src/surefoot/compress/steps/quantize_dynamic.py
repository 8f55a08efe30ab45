"""Stores weights in 8 bits and multiplies in integers; activations are quantised as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps._graph import WEIGHTS, name_head, name_nodes, seal_graph
from surefoot.compress.steps._rows import quiet
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx

NEEDS = "onnx"
GIVES = "onnx"
_MULTIPLIED = ("MatMul", "Attention", "Conv", "LSTM")
_LOOKED_UP = ("Gather", "EmbedLayerNormalization")
_QUANTISED = {
    "MatMulInteger", "QAttention", "ConvInteger", "DynamicQuantizeLSTM",
    "QEmbedLayerNormalization", "DequantizeLinear",
}  # fmt: skip


def quantize_dynamic(
    model: Model,
    task: Task,
    folder: Path,
    *,
    per_channel: bool = True,
    weights: Literal["int8", "uint8"] = "int8",
    reduce_range: bool = False,
    embeddings: bool = True,
    head: bool = False,
) -> Model:
    """Stores weights in 8 bits and multiplies in integers; activations are quantised as they come.

    Needs no data. Convolutions usually get slower by it: measure.

    Args:
        model: A model in 32-bit floats.
        task: Not used.
        folder: Where the new model goes.
        per_channel: One scale per output column of a weight matrix instead of one for all of it.
        weights: Signed or unsigned; signed is the faster one on most machines.
        reduce_range: Use 7 bits, for x86 machines without VNNI, whose sums can overflow.
        embeddings: Quantise embedding tables too, always with one scale per table.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.

    Raises:
        ModelError: Nothing in the graph can be quantised.
    """
    from onnxruntime import quantization

    where = model.path / model.file
    proto = onnx(where)
    if not _has_plain_operators(proto):
        raise _nothing(where)
    before = _quantised(proto)
    kept = [] if head else name_head(proto, where)
    with quiet():
        quantization.quantize_dynamic(
            name_nodes(proto),
            folder / WEIGHTS,
            op_types_to_quantize=[*_MULTIPLIED, *(_LOOKED_UP if embeddings else ())],
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type={
                "int8": quantization.QuantType.QInt8,
                "uint8": quantization.QuantType.QUInt8,
            }[weights],
            nodes_to_exclude=kept,
            # Shape inference stops at fused operators; what follows them is float all the same.
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},
        )
    if _quantised(onnx(folder / WEIGHTS)) == before:
        raise _nothing(where)
    return seal_graph(model, folder, "quantize_dynamic")


def _has_plain_operators(proto: Any) -> bool:
    """Whether a graph imports ONNX's plain operators; leaves the one import that there may be.

    Graphs of scikit-learn models may have none but operators of their own, or import twice.
    """
    plain = [opset for opset in proto.opset_import if opset.domain in ("", "ai.onnx")]
    for again in plain[1:]:
        proto.opset_import.remove(again)
    return bool(plain)


def _nothing(where: Path) -> ModelError:
    return ModelError(
        "has nothing to quantise: no float matrix product, convolution or table"
        " with constant weights is left",
        where=str(where),
        fix="leave quantize_dynamic out of the recipe",
    )


def _quantised(proto: Any) -> int:
    return sum(node.op_type in _QUANTISED for node in proto.graph.node)
