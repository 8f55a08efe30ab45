"""Embedding tables in 8 bits."""

from __future__ import annotations

from pathlib import Path

from surefoot.compress.steps._graph import name_nodes
from surefoot.models.formats.onnx import onnx


def quantise_tables(file: Path) -> None:
    """Store the embedding tables of an ONNX file in 8 bits, with one scale per table."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(
        name_nodes(onnx(file)),
        file,
        op_types_to_quantize=["Gather", "EmbedLayerNormalization"],
        weight_type=quantization.QuantType.QInt8,
        extra_options={"DefaultTensorType": 1},
    )
