"""A torch model as one plain graph of operators that can be trained: read, tidied, norms folded."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from surefoot.compress.steps._rows import quiet
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.runtimes._common import first_line, load

aten = torch.ops.aten
CONVOLUTIONS = (
    aten.conv1d.default, aten.conv1d.padding, aten.conv2d.default, aten.conv2d.padding,
)  # fmt: skip
LINEAR = aten.linear.default
BATCH_NORM = aten._native_batch_norm_legit_no_training.default  # noqa: SLF001  its public name
# Without in-place operators these pass their input on.
_NOTHING = (aten.clone.default, aten.detach.default, aten.alias.default)
_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids")
_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)


def traced(model: Model, example: dict[str, np.ndarray]) -> fx.GraphModule:
    """A model as a graph of torch's own operators that takes tensors by position and gives one.

    Nothing in it works in place, and dropout is gone, as in evaluation.

    Args:
        model: A model of the format pt2 or huggingface.
        example: Input tensors of at least two rows.

    Raises:
        ModelError: It cannot be written as one graph.
    """
    try:
        with quiet():
            program = load(model) if model.format == "pt2" else _exported(model, example)
            network: fx.GraphModule = program.run_decompositions({}).module()
    except _ERRORS as error:
        where = str(model.path / model.file)
        raise ModelError(f"is no one graph for torch: {first_line(error)}", where=where) from error
    # Without the checks that hang on the program's own module.
    network = fx.GraphModule(network, network.graph)
    _make_plain(network, model.signature.tensors)
    return network


def _exported(model: Model, example: dict[str, np.ndarray]) -> torch.export.ExportedProgram:
    module, free = load(model), torch.export.Dim.DYNAMIC
    for child in module.modules():
        if hasattr(child, "set_attn_implementation"):
            child.set_attn_implementation("eager")
    tensors = {
        name: torch.from_numpy(np.resize(example[name], (2, *example[name].shape[1:])))
        for name in model.signature.tensors
    }
    shapes = {name: {0: free, 1: free} if name in _SEQUENCES else {0: free} for name in tensors}
    return torch.export.export(module, (), tensors, dynamic_shapes=shapes)


def _make_plain(network: fx.GraphModule, names: Sequence[str]) -> None:
    graph = network.graph
    for node in list(graph.nodes):
        if node.op == "call_module":  # checks of the inputs
            graph.erase_node(node)
        elif node.target in _NOTHING:
            node.replace_all_uses_with(node.args[0])
        elif node.target is aten.view.default:  # a view asks for a layout, which may change
            node.target = aten.reshape.default
    end = graph.output_node()
    end.args = (_leaf(end.args[0]),)
    graph.set_codegen(fx.graph.CodeGen())
    # Inputs by name where the program knows the names, else in the order of the model file.
    inputs = graph.find_nodes(op="placeholder")
    if {node.name for node in inputs} == set(names):
        first = next(iter(graph.nodes))
        for name in reversed(names):
            first.prepend(next(node for node in inputs if node.name == name))
            first = next(iter(graph.nodes))
    tidy(network)


def _leaf(value: Any) -> fx.Node:
    """The one tensor in whatever a program gives."""
    if isinstance(value, fx.Node):
        return value
    inner = list(value.values()) if isinstance(value, dict) else list(value)
    return _leaf(inner[0])


def tidy(network: fx.GraphModule) -> None:
    """Drop what nothing uses any more and make the graph runnable again."""
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.graph.lint()
    network.recompile()


def tensor_of(network: fx.GraphModule, node: Any) -> Tensor | None:
    """The parameter or buffer that a node stands for; None where it stands for none."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    found = operator.attrgetter(str(node.target))(network)
    return found if isinstance(found, Tensor) else None


def put(network: fx.GraphModule, before: fx.Node, name: str, value: Tensor) -> fx.Node:
    """Add a tensor to a network, trained where it is a parameter, and a node that gives it."""
    if isinstance(value, torch.nn.Parameter):
        network.register_parameter(name, value)
    else:
        network.register_buffer(name, value)
    with network.graph.inserting_before(before):
        return network.graph.get_attr(name)


def fold_batch_norms(network: fx.GraphModule) -> int:
    """Multiply every batch norm behind a convolution into it, as runtimes do; says how many.

    The statistics are those of the training, and stay.
    """
    folded = 0
    for norm in network.graph.find_nodes(op="call_function", target=BATCH_NORM):
        layer = norm.args[0]
        alone = layer.target in CONVOLUTIONS and len(layer.users) == 1
        if alone and tensor_of(network, layer.args[1]) is not None:
            _fold(network, norm, layer)
            folded += 1
    tidy(network)
    return folded


def _fold(network: fx.GraphModule, norm: Any, layer: Any) -> None:
    gain, shift, mean, variance = (tensor_of(network, each) for each in norm.args[1:5])
    weight, bias = (tensor_of(network, each) for each in (*layer.args, None)[1:3])
    assert weight is not None
    assert mean is not None
    assert variance is not None
    factor = (variance + norm.args[6]).rsqrt()
    factor = factor if gain is None else factor * gain
    offset = -mean * factor + (0 if shift is None else shift)
    offset = offset if bias is None else offset + bias * factor
    weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    names = (f"{layer.name}_folded_weight", f"{layer.name}_folded_bias")
    pair = [
        put(network, layer, name, torch.nn.Parameter(value.detach()))
        for name, value in zip(names, (weight, offset), strict=True)
    ]
    layer.args = (layer.args[0], *pair, *layer.args[3:])
    for first in list(norm.users):  # the normed values; the others are the statistics
        first.replace_all_uses_with(layer)


def operators_of(network: fx.GraphModule) -> str:
    """The operators of a network with how often each stands there, for a message."""
    found = Counter(str(node.target) for node in network.graph.nodes if node.op == "call_function")
    return ", ".join(f"{name} ({count})" for name, count in found.most_common(8))


def move(network: fx.GraphModule, device: torch.device) -> None:
    """Move a network, and what its graph makes on the way, to a device."""
    network.to(device)
    for node in network.graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.update_kwarg("device", device)
    network.recompile()
