"""Stores the weights of matrix products in 4 or 8 bits; activations stay in floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps._graph import WEIGHTS, constants, name_head, name_nodes, seal_graph
from surefoot.compress.steps._rows import quiet
from surefoot.compress.steps._tables import quantise_tables
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx, save

NEEDS = "onnx"
GIVES = "onnx"
BLOCKS = (16, 32, 64, 128, 256)
"""Block sizes that ONNX Runtime has kernels for."""
_COMPUTE = {"float32": 1, "int8": 4}


def quantize_weights(
    model: Model,
    task: Task,
    folder: Path,
    *,
    bits: Literal[4, 8] = 8,
    block_size: int = 32,
    compute: Literal["int8", "float32"] = "int8",
    embeddings: bool = True,
    head: bool = False,
) -> Model:
    """Stores the weights of matrix products in 4 or 8 bits; activations stay in floats.

    Saves memory and disk, and changes few answers. Rarely saves time: at one row a call with
    `compute` in `int8`, and hardly any in batches. Needs no data. ONNX Runtime alone runs it.

    Args:
        model: A model in 32-bit floats.
        task: Not used.
        folder: Where the new model goes.
        bits: Bits a weight; 4 change many answers of a small model.
        block_size: Weights of a column that share a scale: 16, 32, 64, 128 or 256.
        compute: `int8` rounds activations block by block inside the product and multiplies in
            integers; `float32` makes the weights floats again, which is slow.
        embeddings: Quantise embedding tables too.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.

    Raises:
        ModelError: The graph has no float matrix product with constant weights.
    """
    where = model.path / model.file
    if block_size not in BLOCKS:
        raise ModelError(
            f"step 'quantize_weights': block_size is {block_size}",
            fix=f"give one of {', '.join(map(str, BLOCKS))}",
        )
    proto = name_nodes(onnx(where))
    kept = [] if head else name_head(proto, where)
    with quiet():
        proto = _with_products(proto)
        made = _quantised(
            proto,
            [name for name in _products(proto) if name not in kept],
            bits=bits,
            block_size=block_size,
            accuracy_level=_COMPUTE[compute],
        )
        save(made, folder / WEIGHTS)
        if embeddings:
            quantise_tables(folder / WEIGHTS)
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise ModelError(
            "has nothing to quantise: no float matrix product with constant weights is left",
            where=str(where),
            fix="leave quantize_weights out of the recipe",
        )
    return seal_graph(model, folder, "quantize_weights")


def _with_products(proto: Any) -> Any:
    """The graph with linear layers as products and sums, which is what the quantiser knows."""
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = ONNXModel(proto)
    model.replace_gemm_with_matmul()
    return model.model


def _products(proto: Any) -> list[str]:
    """The names of the products of float activations and constant float matrices."""
    known = constants(proto.graph)
    return [
        node.name
        for node in proto.graph.node
        if node.op_type == "MatMul"
        and (weight := known.get(node.input[1])) is not None
        and weight.data_type == 1
    ]


def _quantised(proto: Any, products: list[str], **options: int) -> Any:
    """The graph with these products on weights of few bits."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    others = [
        node.name
        for node in proto.graph.node
        if node.op_type == "MatMul" and node.name not in products
    ]
    quantizer = MatMulNBitsQuantizer(proto, nodes_to_exclude=others, **options)
    quantizer.process()
    return quantizer.model.model
