"""Where a network is rounded to integers, so that ONNX Runtime computes in them.

Convolutions and linear layers read integers and have weights in integers. A convolution also gives
integers, behind the ReLU that it is fused with; sums and joins of feature maps stay in integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from surefoot.compress.steps._fake_quant import (
    activation_range,
    already,
    fake_quantise,
    weight_range,
)  # fmt: skip
from surefoot.compress.steps._traced import (
    CONVOLUTIONS,
    LINEAR,
    operators_of,
    put,
    tensor_of,
    tidy,
)  # fmt: skip
from surefoot.core.errors import ModelError

aten = torch.ops.aten
# They move numbers and compute none, so that integers and their scale pass through.
_MOVING = (
    aten.max_pool1d.default, aten.max_pool2d.default, aten.view.default, aten.reshape.default,
    aten.flatten.using_ints, aten.permute.default, aten.transpose.int, aten.unsqueeze.default,
    aten.squeeze.dim,
)  # fmt: skip
# The integer kernels clip as they round.
_CLIPPING = (aten.relu.default, aten.hardtanh.default)
_SUMS = (aten.add.Tensor,)
_JOINS = (aten.cat.default,)
_SEEN = 4096


def is_layer(network: fx.GraphModule, node: Any) -> bool:
    """Whether a node is a convolution or a linear layer of constant weights."""
    is_kind = isinstance(node, fx.Node) and node.target in (*CONVOLUTIONS, LINEAR)
    return is_kind and tensor_of(network, node.args[1]) is not None


def layers_of(network: fx.GraphModule, *, head: bool) -> list[fx.Node]:
    """The layers to compute in integers; without `head`, not the last linear one.

    Raises:
        ModelError: There is none; names the operators that there are.
    """
    found = [node for node in network.graph.nodes if is_layer(network, node)]
    linear = [node for node in found if node.target == LINEAR]
    if linear and not head:
        found.remove(linear[-1])
    if not found:
        raise ModelError(
            "has no convolution or linear layer of constant weights to quantise; its operators"
            f" are {operators_of(network)}",
            fix="export it anew with torch.export, without decompositions",
        )
    return found


def quantised_activations(network: fx.GraphModule, layers: list[fx.Node]) -> dict[fx.Node, bool]:
    """What is rounded, in the order of the graph: node to whether all that read it get integers."""
    chosen, sums = set(layers), _integer_sums(network, layers)
    whole, read = set(), set()
    for node in network.graph.nodes:
        if node not in chosen and node not in sums:
            continue
        read |= {_source(each) for each in _read(node)}
        # A linear layer gives integers only for a ReLU: elsewhere, floats are at hand for free.
        if node.target != LINEAR or _clipped(node) != node:
            whole.add(_clipped(node))
    return {node: node in whole for node in network.graph.nodes if node in whole | read}


def _integer_sums(network: fx.GraphModule, layers: list[fx.Node]) -> set[fx.Node]:
    """What adds or joins feature maps that convolutions gave in integers."""
    whole: set[fx.Node] = set()
    for node in network.graph.nodes:
        through = (*_MOVING, *_CLIPPING, *_SUMS, *_JOINS)
        given = node.target in CONVOLUTIONS and node in layers
        passed = node.target in through and not node.kwargs
        if given or (passed and all(each in whole for each in _read(node))):
            whole.add(node)
    return {node for node in whole if node.target in (*_SUMS, *_JOINS)}


def _read(node: fx.Node) -> Iterator[Any]:
    if node.target in _JOINS:
        yield from node.args[0]  # type: ignore[misc]
    else:
        yield from node.args[: 2 if node.target in _SUMS else 1]


def _source(node: fx.Node) -> fx.Node:
    """Where integers come from that are only moved on the way to a node."""
    while node.target in _MOVING:
        node = node.args[0]  # type: ignore[assignment]
    return node


def _clipped(node: fx.Node) -> fx.Node:
    """The ReLU that alone reads a node, or the node."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in _CLIPPING else node


def observed(
    network: fx.GraphModule, nodes: list[fx.Node], calls: Iterator[tuple[Tensor, ...]]
) -> dict[fx.Node, list[Tensor]]:
    """Values of nodes on real rows: the extremes of every call, and some spread over it."""
    end = network.graph.output_node()
    before = end.args
    end.args = (tuple(nodes),)
    network.recompile()
    found: dict[fx.Node, list[Tensor]] = {node: [] for node in nodes}
    with torch.no_grad():
        for call in calls:
            for node, values in zip(nodes, network(*call), strict=True):
                flat = values.flatten()
                some = flat[:: max(1, len(flat) // _SEEN)]
                found[node].append(torch.cat([some, flat.min()[None], flat.max()[None]]))
    end.args = before
    network.recompile()
    return found


def place(
    network: fx.GraphModule,
    layers: list[fx.Node],
    seen: dict[fx.Node, list[Tensor]],
    *,
    bits: int,
    per_channel: bool,
) -> None:
    """Round activations and weights where `quantised_activations` and `layers_of` say.

    Args:
        network: Changed.
        layers: What computes in integers.
        seen: Values of every node to round, from `observed`.
        bits: Bits of a weight, with the sign.
        per_channel: A scale for each output of a layer, or one for all.
    """
    whole = quantised_activations(network, layers)
    reading = {*layers, *_integer_sums(network, layers)}
    for place, (node, values) in enumerate(seen.items()):
        _round_activation(
            network, node, values, f"activation_{place}", None if whole[node] else reading
        )
    top = 2 ** (bits - 1) - 1
    for place, layer in enumerate(layers):
        weight = tensor_of(network, layer.args[1])
        assert weight is not None
        axis = 0 if per_channel else None
        scale = torch.nn.Parameter(weight_range(weight.detach(), bits, per_channel=per_channel))
        step = put(network, layer, f"weight_{place}_scale", scale)
        with network.graph.inserting_before(layer):
            rounded = network.graph.call_function(
                fake_quantise, (layer.args[1], step, 0, -top, top, axis)
            )
        layer.update_arg(1, rounded)
    tidy(network)


def _round_activation(
    network: fx.GraphModule,
    node: fx.Node,
    values: list[Tensor],
    name: str,
    reading: set[fx.Node] | None,
) -> None:
    """Round a node for all that read it, or for what leads to nodes that read integers."""
    scale, zero = activation_range(values)
    after = node.next
    while after.op == "placeholder":
        after = after.next
    how = (put(network, after, f"{name}_scale", torch.nn.Parameter(scale)), zero, 0, 255, None)
    with network.graph.inserting_before(after):
        rounded = network.graph.call_function(fake_quantise, (node, *how))
    for user in list(node.users):
        leads = (
            reading is None or user in reading or (user.target in _MOVING and _leads(user, reading))
        )
        if user is not rounded and leads:
            user.replace_input_with(node, rounded)
    _mark_moved(network, rounded, how)


def _leads(node: fx.Node, reading: set[fx.Node]) -> bool:
    return any(
        user in reading or (user.target in _MOVING and _leads(user, reading)) for user in node.users
    )


def _mark_moved(network: fx.GraphModule, rounded: fx.Node, how: tuple[Any, ...]) -> None:
    """Say behind every node that only moves the integers that they are still integers."""
    for user in list(rounded.users):
        if user.target in _MOVING:
            readers = list(user.users)
            with network.graph.inserting_after(user):
                still = network.graph.call_function(already, (user, *how))
            for reader in readers:
                reader.replace_input_with(user, still)
            _mark_moved(network, still, how)
