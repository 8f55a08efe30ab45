"""Writes a network with rounded tensors as an ONNX graph that a runtime computes in integers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from surefoot.compress.steps._exporters import _without_traces
from surefoot.compress.steps._fake_quant import already, fake_quantise, integers
from surefoot.compress.steps._rows import quiet
from surefoot.compress.steps._traced import LINEAR, put, tensor_of, tidy
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx
from surefoot.models.runtimes._common import first_line

OPSET = 18
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
_INT32 = 2**31 - 1


def to_and_from(values: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """An activation through QuantizeLinear and DequantizeLinear."""
    whole = torch.onnx.ops.symbolic(
        "QuantizeLinear", (values, scale, zero), dtype=zero.dtype, shape=values.shape, version=OPSET
    )
    return from_integers(whole, scale, zero, None)


def from_integers(whole: Tensor, scale: Tensor, zero: Tensor, axis: int | None) -> Tensor:
    """Integers through DequantizeLinear."""
    found: Tensor = torch.onnx.ops.symbolic(
        "DequantizeLinear",
        (whole, scale, zero),
        {} if axis is None else {"axis": axis},
        dtype=torch.float32,
        shape=whole.shape,
        version=OPSET,
    )
    return found


def gemm(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer of rows."""
    found: Tensor = torch.onnx.ops.symbolic(
        "Gemm",
        (values, weight) if bias is None else (values, weight, bias),
        {"transB": 1},
        dtype=torch.float32,
        shape=(values.shape[0], weight.shape[0]),
        version=OPSET,
    )
    return found


def product(values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer of sequences; the weight is (in, out)."""
    found = values @ weight
    return found if bias is None else found + bias


def integer_graph(
    network: fx.GraphModule, names: Sequence[str], example: tuple[Tensor, ...], output: str
) -> Any:
    """Write a network that was rounded by `place` as an `onnx.ModelProto`; changes the network.

    Args:
        network: The network.
        names: A name for every input.
        example: An input tensor of two rows for each.
        output: A name for the output.

    Raises:
        ModelError: It cannot be exported.
    """
    free = [_free_sizes(node) for node in network.graph.find_nodes(op="placeholder")]
    for layer in list(network.graph.nodes):
        if layer.op == "call_function" and _is_rounded(layer):
            _layer(network, layer)
    for node in list(network.graph.nodes):
        if node.target in (fake_quantise, already):
            _activation(network, node)
    tidy(network)
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                network,
                example,
                file,
                input_names=list(names),
                output_names=[output],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=tuple(free),
                external_data=False,
                verbose=False,
            )
        except _ERRORS as error:
            raise ModelError(f"cannot be exported: {first_line(error)}") from error
        return _without_traces(onnx(file))


def _free_sizes(node: fx.Node) -> dict[int, Any]:
    shape = node.meta["val"].shape
    return {
        axis: torch.export.Dim.DYNAMIC
        for axis, size in enumerate(shape)
        if not isinstance(size, int)
    }


def _is_rounded(node: fx.Node) -> bool:
    """Whether a node is a layer of rounded weights."""
    second: Any = node.args[1] if len(node.args) > 1 else None
    is_rounded = isinstance(second, fx.Node) and second.target is fake_quantise
    return is_rounded and second.args[3] < 0  # weights are signed


def _layer(network: fx.GraphModule, layer: fx.Node) -> None:
    """Put integers in the place of a layer's weight and bias."""
    rounded = layer.args[1]
    assert isinstance(rounded, fx.Node)
    weight, log_scale = (tensor_of(network, each) for each in rounded.args[:2])
    assert weight is not None
    assert log_scale is not None
    how: Any = rounded.args[2:]
    axis = how[-1]
    whole = integers(weight.detach(), log_scale.detach(), *how).to(torch.int8)
    scale, bias = log_scale.detach().exp(), (*layer.args, None)[2]
    sequence = layer.target == LINEAR and layer.meta["val"].ndim > 2
    if sequence:
        whole, axis = whole.T.contiguous(), None if axis is None else 1
    elif isinstance(bias, fx.Node):
        bias = _whole_bias(network, layer, scale)
    kernel = _constant(
        network, layer, "weight", (whole, scale, torch.zeros_like(scale, dtype=torch.int8)), axis
    )
    if layer.target == LINEAR:
        layer.target, layer.args = (product if sequence else gemm), (layer.args[0], kernel, bias)
    else:
        layer.args = (layer.args[0], kernel, bias, *layer.args[3:])


def _whole_bias(network: fx.GraphModule, layer: fx.Node, scale: Tensor) -> fx.Node:
    """The bias as multiples of the product of the two scales, which sums of products come in."""
    read, bias = layer.args[0], tensor_of(network, layer.args[2])
    assert isinstance(read, fx.Node)
    assert bias is not None
    log_scale = tensor_of(network, read.args[1])
    assert log_scale is not None
    step = (log_scale.detach().exp() * scale).expand(len(bias)).contiguous()
    whole = (bias.detach().double() / step).round().clamp(-_INT32, _INT32).to(torch.int32)
    return _constant(network, layer, "bias", (whole, step, torch.zeros_like(whole)), 0)


def _constant(
    network: fx.GraphModule, layer: fx.Node, name: str, triple: tuple[Tensor, ...], axis: Any
) -> fx.Node:
    parts = ("whole", "scale", "zero")
    nodes = [
        put(network, layer, f"{layer.name}_{name}_{part}", value)
        for part, value in zip(parts, triple, strict=True)
    ]
    with network.graph.inserting_before(layer):
        return network.graph.call_function(from_integers, (*nodes, axis))


def _activation(network: fx.GraphModule, node: fx.Node) -> None:
    log_scale, zero = tensor_of(network, node.args[1]), torch.tensor(node.args[2])
    assert log_scale is not None
    pair = [
        put(network, node, f"{node.name}_step", log_scale.detach().exp()),
        put(network, node, f"{node.name}_whole_zero", zero.to(torch.uint8)),
    ]
    node.target, node.args = to_and_from, (node.args[0], *pair)
