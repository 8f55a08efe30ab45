"""Finds the quantised layers of an ONNX graph with their float parents, and moves their biases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._graph import WEIGHTS, readers_of
from surefoot.compress.steps._graph import constants as constants_of
from surefoot.compress.steps._rows import batches
from surefoot.core.cpus import usable_cpus
from surefoot.core.model import Model
from surefoot.models.formats.onnx import save
from surefoot.models.runtimes.onnxruntime import open_session

_LAYERS = ("Conv", "Gemm", "MatMul")
_INTEGER = ("MatMulInteger", "ConvInteger")
# Rounding to 8 bits changes a weight by 1 % of its length, to 4 by some 15 %.
_ALIKE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of constant weights."""

    node: Any
    """The node that multiplies."""
    weight: np.ndarray
    """Its weights in floats."""
    output: str
    """What it gives, with its bias added."""
    bias: Any
    """The node that adds the bias, and which of its inputs that is; None where there is none."""
    scale: np.ndarray | None
    """What its sums are multiples of, where it reads integers."""


def layers_of(graph: Any, *, quantised: bool) -> list[Layer]:
    """The quantised layers of a graph, or those in floats, in the order of the graph."""
    constants = constants_of(graph)
    makers = {name: node for node in graph.node for name in node.output}
    readers = readers_of(graph)
    found = []
    for node in graph.node:
        if quantised and node.op_type in _INTEGER:
            found.append(_integer_layer(node, constants, readers))
        elif node.op_type in _LAYERS:
            whole = node.input[1] not in constants
            weight = _floats(node.input[1], constants, makers)
            if weight is not None and whole == quantised:
                scale = _scale(node, constants, makers) if quantised else None
                found.append(_layer(node, node.output[0], weight, scale, (constants, readers)))
    return [layer for layer in found if layer is not None]


def _layer(
    node: Any, output: str, weight: np.ndarray, scale: np.ndarray | None, graph: tuple[Any, Any]
) -> Layer:
    constants, readers = graph
    bias = (node, 2) if node.op_type in ("Conv", "Gemm") else None
    after = readers.get(output, [])
    if bias is None and len(after) == 1 and after[0].op_type == "Add":
        place = 1 - list(after[0].input).index(output)
        if after[0].input[place] in constants:
            bias, output = (after[0], place), after[0].output[0]
    return Layer(node=node, weight=weight, output=output, bias=bias, scale=scale)


def _integer_layer(node: Any, constants: Any, readers: Any) -> Layer | None:
    """A layer as ONNX Runtime's dynamic quantiser writes it: integers, a cast, then the scale."""
    from onnx import numpy_helper

    cast = (readers[node.output[0]] or [None])[0]
    scaled = (readers[cast.output[0]] or [None])[0] if cast is not None else None
    names = [node.input[1], node.input[1].replace("_quantized", "_scale"), *node.input[3:4]]
    if scaled is None or scaled.op_type != "Mul" or not all(name in constants for name in names):
        return None
    whole, scale, *zero = (numpy_helper.to_array(constants[name]) for name in names)
    axis = 0 if node.op_type == "ConvInteger" else whole.ndim - 1
    weight = _spread(whole, scale, zero[0] if zero else np.zeros(1), axis)
    return _layer(node, scaled.output[0], weight, None, (constants, readers))


def _floats(name: str, constants: Any, makers: Any) -> np.ndarray | None:
    """A constant, behind QuantizeLinear and DequantizeLinear or not, in floats."""
    from onnx import helper, numpy_helper

    if name in constants:
        return np.asarray(numpy_helper.to_array(constants[name]), np.float32)
    node = makers.get(name)
    if node is None or node.op_type not in ("DequantizeLinear", "QuantizeLinear", "Transpose"):
        return None
    inner = _floats(node.input[0], constants, makers)
    if inner is None or node.op_type == "QuantizeLinear":
        return inner
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Transpose":
        return inner.transpose(attributes.get("perm", range(inner.ndim)[::-1]))
    before = makers.get(node.input[0])
    if before is not None and before.op_type == "QuantizeLinear":
        return inner  # never rounded in the file
    scale = numpy_helper.to_array(constants[node.input[1]])
    zero = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(1)
    return _spread(inner, scale, zero, attributes.get("axis", 1))


def _spread(whole: np.ndarray, scale: np.ndarray, zero: np.ndarray, axis: int) -> np.ndarray:
    shape = [-1 if place == axis % whole.ndim else 1 for place in range(whole.ndim)]
    scale, zero = (each.reshape(shape) if each.size > 1 else each for each in (scale, zero))
    floats: np.ndarray = (whole.astype(np.float32) - zero.astype(np.float32)) * scale
    return floats


def _scale(node: Any, constants: Any, makers: Any) -> np.ndarray | None:
    """The product of the scales of what a layer reads and of its weights."""
    from onnx import numpy_helper

    pair = [makers.get(name) for name in node.input[:2]]
    if any(p is None or p.op_type != "DequantizeLinear" for p in pair):
        return None
    names = [p.input[1] for p in pair]
    if not all(name in constants for name in names):
        return None
    first, second = (numpy_helper.to_array(constants[name]).reshape(-1) for name in names)
    return np.asarray(first * second, np.float32)


def pairs(quantised: Any, parent: Any) -> tuple[list[tuple[Layer, Layer]], list[str]]:
    """Every quantised layer with the float layer whose weights it has; and those without one."""
    floats = layers_of(parent, quantised=False)
    found, left = [], []
    for layer in layers_of(quantised, quantised=True):
        distances = [_distance(layer.weight, other.weight) for other in floats]
        if min(distances, default=np.inf) > _ALIKE:
            left.append(layer.node.name or layer.output)
        else:
            found.append((layer, floats.pop(int(np.argmin(distances)))))
    return found, left


def _distance(rounded: np.ndarray, weight: np.ndarray) -> float:
    """How far two weights are apart, turned round or not, as a share of the length of one."""
    ways = [rounded, rounded.T] if rounded.ndim == 2 else [rounded]
    length = max(float(np.linalg.norm(weight)), 1e-12)
    fits = [each for each in ways if each.shape == weight.shape]
    return min((float(np.linalg.norm(each - weight)) / length for each in fits), default=np.inf)


def channel_means(
    model: Model, proto: Any, layers: Sequence[Layer], inputs: np.ndarray
) -> list[np.ndarray]:
    """The mean of every channel of what layers give on rows of raw inputs."""
    import onnx

    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    del cut.graph.output[:]
    for layer in layers:
        value = onnx.helper.make_tensor_value_info(layer.output, onnx.TensorProto.FLOAT, None)
        cut.graph.output.append(value)
    sums: list[Any] = [0.0] * len(layers)
    counts = [0] * len(layers)
    names = [tensor.name for tensor in proto.graph.input]
    with tempfile.TemporaryDirectory() as folder:
        save(cut, Path(folder) / WEIGHTS)
        session = open_session(str(Path(folder) / WEIGHTS), usable_cpus())
        for _, tensors in batches(model, inputs):
            feed = dict(zip(names, tensors.values(), strict=True))
            for place, values in enumerate(session.run([o.name for o in cut.graph.output], feed)):
                axis = 1 if layers[place].weight.ndim > 2 else values.ndim - 1
                rows = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
                sums[place] = sums[place] + rows.sum(axis=0, dtype=np.float64)
                counts[place] += len(rows)
    return [total / count for total, count in zip(sums, counts, strict=True)]


def move_bias(proto: Any, layer: Layer, delta: np.ndarray) -> bool:
    """Add to the bias of a layer, in the form it has; False where it has nowhere to go."""
    from onnx import numpy_helper

    if layer.bias is None:
        return False
    node, place = layer.bias
    constants = constants_of(proto.graph)
    makers = {name: maker for maker in proto.graph.node for name in maker.output}
    name = node.input[place] if len(node.input) > place else ""
    key = f"{layer.output}_recalibrated_bias"
    if name in constants:
        old = numpy_helper.to_array(constants[name])
        _put(proto, key, (old + delta).astype(np.float32))
        node.input[place] = key
        return True
    held = makers.get(name)
    if held is not None and held.op_type == "DequantizeLinear" and held.input[0] in constants:
        old, scale = (numpy_helper.to_array(constants[held.input[i]]) for i in (0, 1))
        _put(proto, key, (old + np.round(delta / scale)).astype(np.int32))
        held.input[0] = key
        return True
    if name or layer.scale is None:
        return False
    _add_bias(proto, layer, key, delta)
    return True


def _add_bias(proto: Any, layer: Layer, key: str, delta: np.ndarray) -> None:
    """Give a layer that reads integers a bias in integers, so that it still computes in them."""
    from onnx import helper

    assert layer.scale is not None
    scale = np.broadcast_to(layer.scale, delta.shape).astype(np.float32)
    _put(proto, key, np.round(delta / scale).astype(np.int32))
    _put(proto, f"{key}_scale", scale)
    node = helper.make_node("DequantizeLinear", [key, f"{key}_scale"], [f"{key}_floats"], axis=0)
    proto.graph.node.insert(list(proto.graph.node).index(layer.node), node)
    layer.node.input.append(f"{key}_floats")


def _put(proto: Any, name: str, array: np.ndarray) -> None:
    from onnx import numpy_helper

    proto.graph.initializer.append(numpy_helper.from_array(array, name))


def errors(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> Iterator[float]:
    """The mean absolute error of the channels of each layer."""
    for one, other in zip(wanted, found, strict=True):
        yield float(np.abs(one - other).mean())
