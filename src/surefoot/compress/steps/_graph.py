"""What the steps on ONNX graphs share: finding, reading and replacing the linear head."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._rows import batches
from surefoot.core.cpus import usable_cpus
from surefoot.core.errors import ModelError
from surefoot.core.model import Model, Signature
from surefoot.models import copy_preprocessing, seal
from surefoot.models.formats.onnx import save
from surefoot.models.runtimes._common import first_line
from surefoot.models.runtimes.onnxruntime import open_session

WEIGHTS = "model.onnx"
# What may stand between a head and the output without changing which features the head reads.
_TRANSPARENT = ("Softmax", "LogSoftmax", "Identity", "Cast")
_PLAIN = {"alpha": 1.0, "beta": 1.0, "transA": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The linear layer at the end of a graph."""

    features: str
    """The tensor that it reads."""
    logits: str
    """The tensor that it gives."""
    nodes: tuple[Any, ...]
    """Its nodes: a Gemm, or a MatMul with or without an Add."""
    weight: np.ndarray
    """(classes, width)."""


def find_head(graph: Any, where: Path) -> Head:
    """Find the last Gemm, or MatMul with or without Add, of constant weights that feeds the output.

    Args:
        graph: An `onnx.GraphProto`.
        where: The file it came from, for the message.

    Raises:
        ModelError: The graph ends in something else.
    """
    from onnx import numpy_helper

    makers = {name: node for node in graph.node for name in node.output}
    known = constants(graph)
    tensor = _class_output(graph)
    while tensor in makers and makers[tensor].op_type in _TRANSPARENT:
        tensor = makers[tensor].input[0]
    last = makers.get(tensor)
    nodes = [last] if last is not None else []
    if last is not None and last.op_type == "Add":
        nodes += [makers[name] for name in last.input if name in makers and name not in known]
    linear = nodes[-1] if nodes else None
    if linear is None or len(nodes) > 2 or not _is_linear(linear, known):
        raise ModelError(
            f"has no linear head: its output comes from {last.op_type if last else 'an input'},"
            " not from a Gemm or MatMul with constant weights",
            where=str(where),
            fix="a quantised head cannot be refitted: quantise with head = false",
        )
    weight = numpy_helper.to_array(known[linear.input[1]])
    transposed = linear.op_type == "Gemm" and _attribute(linear, "transB", 0)
    return Head(
        features=linear.input[0],
        logits=tensor,
        nodes=tuple(nodes),
        weight=weight if transposed else weight.T,
    )


def replace_head(model: Any, head: Head, weight: np.ndarray, bias: np.ndarray) -> None:
    """Put another linear layer in the place of a graph's head.

    Args:
        model: An `onnx.ModelProto`; changed.
        head: Its head.
        weight: (classes, width) float32.
        bias: (classes,) float32.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    place = max(index for index, node in enumerate(graph.node) if node.output[0] == head.logits)
    names = ["head.refitted.weight", "head.refitted.bias"]
    gemm = helper.make_node("Gemm", [head.features, *names], [head.logits], name="head", transB=1)
    graph.node.insert(place, gemm)
    for node in head.nodes:
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input} - set(names)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for name, array in zip(names, (weight, bias), strict=True):
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))


def head_features(model: Model, proto: Any, head: Head, inputs: np.ndarray) -> np.ndarray:
    """(n, width) float32: what a graph's head reads for each of the raw inputs."""
    import onnx

    cut = onnx.ModelProto()
    cut.CopyFrom(proto)
    del cut.graph.output[:]
    cut.graph.output.append(
        onnx.helper.make_tensor_value_info(head.features, onnx.TensorProto.FLOAT, [None, None])
    )
    result = np.empty((len(inputs), head.weight.shape[1]), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save(cut, Path(folder) / WEIGHTS)
        session = open_session(str(Path(folder) / WEIGHTS), usable_cpus())
        for positions, tensors in batches(model, inputs):
            result[positions] = session.run([head.features], tensors)[0]
    return result


def name_head(proto: Any, where: Path) -> list[str]:
    """Name the head's product and return the names that the quantiser must leave alone."""
    try:
        linear = find_head(proto.graph, where).nodes[-1]
    except ModelError:
        return []  # A graph without a linear head has none to keep.
    linear.name = linear.name or "head"
    # The quantiser first makes a Gemm a MatMul of this name.
    return [linear.name, f"{linear.name}_MatMul"]


def name_nodes(proto: Any) -> Any:
    """The graph with a name for every node: the quantiser derives names of tensors from them."""
    for index, node in enumerate(proto.graph.node):
        node.name = node.name or f"node_{index}"
    # Says that the graph was prepared; without it the quantiser prints an advice to do so.
    entry = proto.metadata_props.add()
    entry.key, entry.value = "onnx.quant.pre_process", "onnxruntime.quant"
    return proto


def readers_of(graph: Any) -> dict[str, list[Any]]:
    """The nodes that read each tensor of a graph; none for one that a node gives to nobody."""
    readers: dict[str, list[Any]] = {name: [] for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def drop_unread(graph: Any) -> None:
    """Drop the constants that nothing reads and that are no output."""
    read = {name for node in graph.node for name in node.input}
    read |= {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def cannot(proto: Any, step: str, library: str, error: Exception) -> ModelError:
    """What to raise where a library fails on a graph: names the operators of the graph."""
    operators = ", ".join(sorted({node.op_type for node in proto.graph.node}))
    what = f"step '{step}': {library} fails: {first_line(error)}"
    return ModelError(what, where=f"a graph of {operators}")


def with_inputs(model: Model, proto: Any) -> Signature:
    """The signature of a model with the input tensors of a graph that was made from it."""
    return replace(model.signature, tensors=tuple(tensor.name for tensor in proto.graph.input))


def seal_graph(
    model: Model, folder: Path, name: str, *, signature: Signature | None = None
) -> Model:
    """Make the graph in a folder a model, with what turns raw inputs into its tensors.

    Args:
        model: What the graph was made from.
        folder: Where it lies, as `WEIGHTS`.
        name: The step's name.
        signature: Its inputs and outputs; those of what it was made from by default.
    """
    copy_preprocessing(model, folder)
    return seal(
        folder,
        name=name,
        format="onnx",
        file=WEIGHTS,
        signature=signature or model.signature,
        parent=model.fingerprint,
    )


def _class_output(graph: Any) -> str:
    """The name of the output with a column per class: float, and named so where there are more."""
    floats = [o.name for o in graph.output if o.type.tensor_type.elem_type in (1, 10, 11)]
    named = [name for name in floats if name in ("logits", "probabilities")]
    return str([*named, *floats, *(o.name for o in graph.output)][0])


def constants(graph: Any) -> Mapping[str, Any]:
    """The constant tensors of a graph by name, as `onnx.TensorProto`."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and _attribute(node, "value", None) is not None:
            found[node.output[0]] = _attribute(node, "value", None)
    return found


def _is_linear(node: Any, constants: Mapping[str, Any]) -> bool:
    plain = all(_attribute(node, name, value) == value for name, value in _PLAIN.items())
    matrix = node.op_type in ("Gemm", "MatMul") and constants.get(node.input[1])
    return bool(plain and matrix and len(matrix.dims) == 2)


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return default
