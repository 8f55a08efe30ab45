"""How graphs in 8 bits store their codes, so that ONNX Runtime runs them fast.

`make_unsigned` and `look_up_first` are exact: they change no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from surefoot.compress.steps._graph import drop_unread, readers_of

_OFFSET = 128
_CODES = ("QuantizeLinear", "DequantizeLinear")
# What passes codes on as they are.
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "MaxPool", "Identity")


def make_unsigned(proto: Any) -> None:
    """Store signed activations as unsigned ones: code and zero point both grow by 128.

    ONNX Runtime's fast kernels on x86 multiply unsigned activations with signed weights.

    Args:
        proto: An `onnx.ModelProto` with QuantizeLinear and DequantizeLinear; changed.
    """
    from onnx import numpy_helper

    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = readers_of(graph)
    changed: dict[str, str] = {}
    for node in list(graph.node):
        if node.op_type != "QuantizeLinear" or len(node.input) < 3:
            continue
        chain = _chain(node, readers)
        points = [weights.get(end.input[2]) for end in chain if len(end.input) > 2]
        if chain and all(point is not None and point.data_type == 3 for point in points):
            for end in chain:
                old = end.input[2]
                if old not in changed:
                    codes = numpy_helper.to_array(weights[old]).astype(np.int16) + _OFFSET
                    changed[old] = f"{old}_unsigned"
                    graph.initializer.append(
                        numpy_helper.from_array(codes.astype(np.uint8), changed[old])
                    )
                end.input[2] = changed[old]
    _tidy(proto)


def _chain(node: Any, readers: Mapping[str, list[Any]]) -> list[Any]:
    """A QuantizeLinear and all that decode it; empty where something else reads its codes."""
    found, waiting = [node], [node]
    while waiting:
        for reader in readers[waiting.pop().output[0]]:
            if reader.op_type in _MOVES:
                waiting.append(reader)
            elif reader.op_type == "DequantizeLinear" and len(reader.input) > 2:
                found.append(reader)
            else:
                return []
    return found


def look_up_first(proto: Any) -> None:
    """Decode the rows of embedding tables that are looked up, instead of the whole table each call.

    A table with one scale per row has its scales looked up too.

    Args:
        proto: An `onnx.ModelProto`; changed.
    """
    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = readers_of(graph)
    for node in list(graph.node):
        table = node.op_type == "DequantizeLinear" and weights.get(node.input[0])
        gathers = readers[node.output[0]]
        if table and _is_symmetric(node, weights) and _all_look_up_rows(gathers):
            for gather in gathers:
                _swap(graph, node, gather, weights)
            graph.node.remove(node)
    _tidy(proto)


def store_tables(proto: Any) -> None:
    """Store embedding tables in 8 bits with a scale per row, and decode the rows looked up.

    Args:
        proto: An `onnx.ModelProto`; changed.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for name, gathers in readers_of(graph).items():
        table = weights.get(name)
        if table is None or table.data_type != TensorProto.FLOAT or len(table.dims) != 2:
            continue
        if not _all_look_up_rows(gathers):
            continue
        values = numpy_helper.to_array(table)
        scales = np.maximum(np.abs(values).max(axis=1) / 127, np.finfo(np.float32).tiny)
        codes = np.rint(values / scales[:, None]).astype(np.int8)
        names = [f"{name}_codes", f"{name}_scales", f"{name}_decoded"]
        for array, one in ((codes, names[0]), (scales.astype(np.float32), names[1])):
            graph.initializer.append(numpy_helper.from_array(array, one))
        for gather in gathers:
            gather.input[0] = names[2]
        decode = helper.make_node("DequantizeLinear", names[:2], names[2:], names[2], axis=0)
        graph.node.insert(0, decode)
    look_up_first(proto)


def _is_symmetric(node: Any, weights: Mapping[str, Any]) -> bool:
    """Whether a table has a scale for all of it or for each row, and no zero points but 0."""
    from onnx import helper, numpy_helper

    table, scale = weights[node.input[0]], weights.get(node.input[1])
    point = weights.get(node.input[2]) if len(node.input) > 2 else None
    axis = {a.name: helper.get_attribute_value(a) for a in node.attribute}.get("axis", 1)
    return (
        scale is not None
        and len(table.dims) == 2
        and (not scale.dims or (len(scale.dims) == 1 and axis in (0, -2)))
        and (len(node.input) < 3 or point is not None)
        and (point is None or not numpy_helper.to_array(point).any())
    )


def _all_look_up_rows(nodes: list[Any]) -> bool:
    return bool(nodes) and all(
        node.op_type == "Gather" and not any(a.name == "axis" and a.i for a in node.attribute)
        for node in nodes
    )


def _swap(graph: Any, decode: Any, gather: Any, weights: Mapping[str, Any]) -> None:
    """Put decoding after a look-up: the rows of codes times their scales."""
    from onnx import TensorProto, helper, numpy_helper

    name, scale = gather.output[0], decode.input[1]
    codes, floats = f"{name}_codes", f"{name}_floats"
    nodes = [
        helper.make_node("Gather", [decode.input[0], gather.input[1]], [codes], f"{codes}_node"),
        helper.make_node("Cast", [codes], [floats], f"{floats}_node", to=TensorProto.FLOAT),
    ]
    if weights[scale].dims:
        column = f"{scale}_column"
        if column not in {tensor.name for tensor in graph.initializer}:
            values = numpy_helper.to_array(weights[scale])[:, None]
            graph.initializer.append(numpy_helper.from_array(values, column))
        scale = f"{name}_scale"
        nodes.append(
            helper.make_node("Gather", [column, gather.input[1]], [scale], f"{scale}_node")
        )
    nodes.append(helper.make_node("Mul", [floats, scale], [name], gather.name))
    place = list(graph.node).index(gather)
    graph.node.remove(gather)
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)


def _tidy(proto: Any) -> None:
    """Drop constants that nothing reads any more, and notes on types, which may be wrong now."""
    drop_unread(proto.graph)
    del proto.graph.value_info[:]
