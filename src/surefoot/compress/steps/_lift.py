"""Lifts the operators of an exported program back into the layers that they came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.core.errors import ModelError

# What checks sizes and types while tracing, and has nothing to say about real tensors.
_CHECKS = ("_assert_", "sym_constrain", "_guards_fn")
_MOVES = ("aten.t.default", "aten.permute.default", "aten.transpose.int")
_VIEWS = (
    "aten.view.default",
    "aten.reshape.default",
    "aten._unsafe_view.default",
    "aten.expand.default",
)
_SPLITS = ("aten.split_with_sizes.default", "aten.split.Tensor", "aten.split.sizes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An exported program as a module of layers."""

    module: Any
    """A `torch.fx.GraphModule` in evaluation mode."""
    free: tuple[tuple[int, ...], ...]
    """The axes of each input that may have any length."""
    fixed: tuple[str, ...]
    """Operators that hold the size of a layer."""
    left: tuple[str, ...]
    """Operators that have weights and are no layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a node of a graph is as a layer."""

    build: Callable[[], Any]
    """Makes the layer; its weights are put in afterwards."""
    input: Any
    """The node that it reads."""
    tensors: Mapping[str, Any]
    """The nodes of its weights by their name in the layer, None for one that it has not."""


def lift(program: Any, where: str) -> Program:
    """Turn an exported program into a module of `torch.nn` layers.

    Args:
        program: A `torch.export.ExportedProgram`.
        where: The file it came from, for messages.

    Raises:
        ModelError: Operators that cannot be lifted, named; or more than one output.
    """
    import torch

    loose = program.module()
    graph = loose.graph
    _refuse(graph, where)
    free = tuple(_free_axes(node) for node in graph.nodes if node.op == "placeholder")
    _drop_checks(graph)
    _single_output(graph, where)
    made: dict[tuple[Any, ...], str] = {}
    for node in list(graph.nodes):
        layer = _layer(node, loose)
        if layer is not None:
            _replace(loose, node, layer, made)
    fixed = [name for node in list(graph.nodes) for name in _loosen(graph, node)]
    graph.set_codegen(torch.fx.graph.CodeGen())
    graph.eliminate_dead_code()
    left = _with_weights(graph, {name for name, _ in loose.named_parameters()})
    module = torch.fx.GraphModule(loose, graph, class_name="Lifted").eval()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return Program(module=module, free=free, fixed=_once(fixed), left=left)


def _refuse(graph: Any, where: str) -> None:
    """Refuse operators that have no gradient, or graphs inside them."""
    odd = _once([str(node.target) for node in graph.nodes if _cannot_train(node)])
    if odd:
        raise ModelError(
            f"has operators that cannot be made layers again: {', '.join(odd)}",
            where=where,
            fix="export a float model in evaluation mode, without control flow",
        )


def _cannot_train(node: Any) -> bool:
    from torch._ops import HigherOrderOperator

    if node.op != "call_function":
        return False
    rounds = any(part in str(node.target) for part in ("quantize", "torchao"))
    return rounds or isinstance(node.target, HigherOrderOperator) or _trains(node)


def _trains(node: Any) -> bool:
    """Whether it is a batch norm or dropout of a program that was exported in training mode."""
    place = {"aten.batch_norm.default": 5, "aten.dropout.default": 2, "aten.dropout_.default": 2}
    at = place.get(str(node.target))
    return str(node.target).startswith("aten._native_batch_norm_legit.") or (
        at is not None and node.args[at] is True
    )


def _free_axes(node: Any) -> tuple[int, ...]:
    shape = node.meta["val"].shape
    return tuple(axis for axis, size in enumerate(shape) if type(size) is not int)


def _drop_checks(graph: Any) -> None:
    for node in reversed(list(graph.nodes)):
        if any(part in str(node.target) for part in _CHECKS) and not node.users:
            graph.erase_node(node)


def _single_output(graph: Any, where: str) -> None:
    last = next(node for node in reversed(graph.nodes) if node.op == "output")
    given = last.args[0]
    while isinstance(given, Sequence) and len(given) == 1:
        given = given[0]
    if not hasattr(given, "op"):
        raise ModelError("gives more than one output, or nested ones", where=where)
    last.args = (given,)


def _layer(node: Any, loose: Any) -> Layer | None:
    """The layer that a node is, where it is one whose weights are the program's own."""
    reader = _READERS.get(str(node.target)) if node.op == "call_function" else None
    layer = None if reader is None else reader(node, list(node.args), loose)
    if layer is None or any(n is not None and n.op != "get_attr" for n in layer.tensors.values()):
        return None
    return layer


def _replace(loose: Any, node: Any, layer: Layer, made: dict[tuple[Any, ...], str]) -> None:
    """Put the layer in the place of the node; a layer that is called twice is made once."""
    names = {key: None if n is None else n.target for key, n in layer.tensors.items()}
    module = layer.build()
    key = (repr(module), *names.values()) if any(names.values()) else (node.name,)
    if key not in made:
        made[key] = _name(loose, names, made)
        _fill(loose, module, names)
        _add(loose, made[key], module)
    with node.graph.inserting_before(node):
        call = node.graph.call_module(made[key], (layer.input,))
    picks = [user for user in node.users if "getitem" in str(user.target)]
    call.meta["val"] = node.meta["val"][0] if picks else node.meta.get("val")
    for user in picks:
        user.replace_all_uses_with(call)
        node.graph.erase_node(user)
    node.replace_all_uses_with(call)
    node.graph.erase_node(node)


def _fill(loose: Any, module: Any, names: Mapping[str, str | None]) -> None:
    """Give a layer the program's own tensors, so that what was shared stays shared."""
    for key, name in names.items():
        tensor = None if name is None else _tensor(loose, name)
        if key.startswith("running"):
            module.register_buffer(key, tensor)
        else:
            module.register_parameter(key, tensor)


def _tensor(loose: Any, name: str) -> Any:
    import torch

    path, _, last = name.rpartition(".")
    found = getattr(loose.get_submodule(path), last)
    if isinstance(found, torch.nn.Parameter) or "running" in last:
        return found
    return torch.nn.Parameter(found, requires_grad=found.is_floating_point())


def _name(loose: Any, names: Mapping[str, str | None], made: Mapping[Any, str]) -> str:
    """The layer's place in the user's own module, where nothing else lies there; else a new one."""
    owners = {name.rpartition(".")[0] for name in names.values() if name}
    owner = owners.pop() if len(owners) == 1 else ""
    if owner and owner not in made.values():
        there = loose.get_submodule(owner)
        held = {name for name, _ in (*there.named_parameters(), *there.named_buffers())}
        if held <= {*names, "num_batches_tracked"}:
            return owner
    return f"lifted_{len(made)}"


def _add(loose: Any, name: str, module: Any) -> None:
    path, _, last = name.rpartition(".")
    setattr(loose.get_submodule(path), last, module)


def _loosen(graph: Any, node: Any) -> list[str]:
    """Let a node take sizes from its input; what it still holds of them."""
    import torch

    target = str(node.target)
    if target in _SPLITS:
        return [target]
    if target not in _VIEWS:
        return []
    if target != "aten.expand.default":
        # A view fails where a kernel gives its channels in another order.
        node.target = torch.ops.aten.reshape.default
    source, sizes, shape = node.args[0], list(node.args[1]), _shape(node.args[0]) or ()
    if len(sizes) == 2 and len(shape) > 2 and _flattens(node, sizes[1], shape):
        node.target, node.args = torch.ops.aten.flatten.using_ints, (source, 1)
        return []
    if len(sizes) > 1 and len(shape) > 1 and type(sizes[1]) is int and 1 < sizes[1] == shape[1]:
        with graph.inserting_before(node):
            sizes[1] = graph.call_function(torch.ops.aten.sym_size.int, (source, 1))
        node.args = (source, sizes)
    held = [size for size in sizes if type(size) is int and size > 1]
    return [f"{target} to {[s if type(s) is int else str(s) for s in sizes]}"] if held else []


def _flattens(node: Any, size: Any, shape: Sequence[Any]) -> bool:
    """Whether a view keeps the rows and puts all the rest into one axis."""
    known = all(type(axis) is int for axis in shape[1:])
    rest = size == -1 or (known and size == math.prod(shape[1:]))
    return rest and str(node.meta["val"].shape[0]) == str(shape[0])


def _shape(node: Any) -> Sequence[Any] | None:
    value = node.meta.get("val")
    return tuple(value.shape) if hasattr(value, "shape") and len(value.shape) > 1 else None


def _with_weights(graph: Any, parameters: set[str]) -> tuple[str, ...]:
    return _once([
        str(user.target)
        for node in graph.nodes
        if node.op == "get_attr" and node.target in parameters
        for user in node.users
    ])  # fmt: skip


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _stored(node: Any, loose: Any) -> Sequence[int]:
    path, _, last = node.target.rpartition(".")
    return tuple(getattr(loose.get_submodule(path), last).shape)


def _rest(args: Sequence[Any], defaults: Sequence[Any], start: int) -> list[Any]:
    """Arguments from a place on, with the defaults of those that are not given."""
    given = list(args[start:])
    return given + list(defaults[len(given) :])


def _conv(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    bias, stride, padding, dilation, groups = _rest(args, [None, 1, 0, 1, 1], 2)
    return _convolution(node, args, loose, (bias, stride, padding, dilation, groups))


def _convolution_default(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    bias, stride, padding, dilation, transposed, _, groups = args[2:9]
    if transposed:
        return None
    return _convolution(node, args, loose, (bias, stride, padding, dilation, groups))


def _convolution(
    node: Any, args: Sequence[Any], loose: Any, options: tuple[Any, ...]
) -> Layer | None:
    from torch import nn

    weight, (bias, stride, padding, dilation, groups) = args[1], options
    if weight.op != "get_attr":
        return None
    shape = _stored(weight, loose)
    kind: Any = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[len(shape)]

    def build() -> Any:
        return kind(
            shape[1] * groups,
            shape[0],
            tuple(shape[2:]),
            stride=_spread(stride, len(shape) - 2),
            padding=padding if isinstance(padding, str) else _spread(padding, len(shape) - 2),
            dilation=_spread(dilation, len(shape) - 2),
            groups=groups,
            bias=bias is not None,
        )

    return Layer(build=build, input=args[0], tensors={"weight": weight, "bias": bias})


def _spread(value: Any, axes: int) -> tuple[int, ...]:
    several = [value] if isinstance(value, int) else list(value)
    return tuple(several * axes if len(several) == 1 else several)


def _linear(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    (bias,) = _rest(args, [None], 2)
    return _dense(args[0], args[1], bias, loose)


def _addmm(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    plain = not node.kwargs and str(args[2].target) in _MOVES
    return _dense(args[1], args[2].args[0], args[0], loose) if plain else None


def _mm(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    plain = str(args[1].target) in _MOVES
    return _dense(args[0], args[1].args[0], None, loose) if plain else None


def _dense(source: Any, weight: Any, bias: Any, loose: Any) -> Layer | None:
    from torch import nn

    if weight.op != "get_attr" or len(_stored(weight, loose)) != 2:
        return None
    outputs, inputs = _stored(weight, loose)
    return Layer(
        build=lambda: nn.Linear(inputs, outputs, bias=bias is not None),
        input=source,
        tensors={"weight": weight, "bias": bias},
    )


def _batch_norm(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    from torch import nn

    source, weight, bias, mean, variance = args[:5]
    momentum, eps = args[6:8] if str(node.target) == "aten.batch_norm.default" else args[5:7]
    rank = len(_shape(source) or ())
    if mean is None or mean.op != "get_attr" or rank < 2:
        return None
    kind: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[rank]
    return Layer(
        build=lambda: kind(
            _stored(mean, loose)[0], eps=eps, momentum=momentum, affine=weight is not None
        ),
        input=source,
        tensors={"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance},
    )


def _layer_norm(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    from torch import nn

    weight, bias, eps = _rest(args[:5], [None, None, 1e-5], 2)
    return Layer(
        build=lambda: nn.LayerNorm(
            args[1], eps=eps, elementwise_affine=weight is not None, bias=bias is not None
        ),
        input=args[0],
        tensors={"weight": weight, "bias": bias},
    )


def _group_norm(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    from torch import nn

    weight, bias, eps = _rest(args[:5], [None, None, 1e-5], 2)
    channels = (_shape(args[0]) or (0, 0))[1]
    return Layer(
        build=lambda: nn.GroupNorm(args[1], channels, eps=eps, affine=weight is not None),
        input=args[0],
        tensors={"weight": weight, "bias": bias},
    )


def _embedding(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    from torch import nn

    if args[0].op != "get_attr":
        return None
    rows, width = _stored(args[0], loose)
    (padding,) = _rest(args[:3], [-1], 2)
    return Layer(
        build=lambda: nn.Embedding(rows, width, padding_idx=None if padding < 0 else padding),
        input=args[1],
        tensors={"weight": args[0]},
    )


def _dropout(node: Any, args: Sequence[Any], loose: Any) -> Layer | None:
    from torch import nn

    return Layer(build=lambda: nn.Dropout(args[1]), input=args[0], tensors={})


_READERS: Mapping[str, Callable[[Any, Sequence[Any], Any], Layer | None]] = {
    **{f"aten.conv{n}d.{kind}": _conv for n in (1, 2, 3) for kind in ("default", "padding")},
    "aten.convolution.default": _convolution_default,
    "aten.linear.default": _linear,
    "aten.addmm.default": _addmm,
    "aten.mm.default": _mm,
    "aten.batch_norm.default": _batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.layer_norm.default": _layer_norm,
    "aten.native_layer_norm.default": _layer_norm,
    "aten.group_norm.default": _group_norm,
    "aten.embedding.default": _embedding,
    "aten.dropout.default": _dropout,
    "aten.dropout_.default": _dropout,
}
