"""What can be pruned in a module: sets of channels or heads that have to go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._modules import Lifted, example
from surefoot.compress.steps._rows import quiet
from surefoot.core.errors import ModelError
from surefoot.core.extras import require

Importance = Literal["magnitude", "taylor"]
# Kernels work on several channels at once; a width between two multiples gains nothing.
_MULTIPLE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Channels of several layers that depend on each other, counted in blocks."""

    name: str
    """The first layer that gives them."""
    group: Any
    """Torch-Pruning's group of all of them."""
    blocks: int
    """How many blocks there are: channels, or heads."""
    size: int
    """Channels in a block."""
    writes: tuple[str, ...]
    """The layers that give these channels."""
    reads: tuple[str, ...]
    """The layers that take them."""
    importance: np.ndarray
    """(blocks,) what each block is worth."""
    attention: str | None = None
    """The module whose heads they are."""

    def widths(self) -> list[int]:
        """The numbers of blocks to choose from, from all to few."""
        if self.attention is not None or self.blocks < 4 * _MULTIPLE:
            step = max(1, self.blocks // 16)
        else:
            step = max(_MULTIPLE, self.blocks // 16 // _MULTIPLE * _MULTIPLE)
        return sorted({self.blocks, *range(step, self.blocks, step)}, reverse=True)

    def channels(self, width: int) -> np.ndarray:
        """The channels that go where so many blocks stay: those of the least important ones."""
        order = np.argsort(self.importance, kind="stable")
        gone = np.sort(order[: self.blocks - width])
        channels: np.ndarray = (gone[:, None] * self.size + np.arange(self.size)).ravel()
        return channels


def find_units(lifted: Lifted, inputs: np.ndarray, importance: Importance) -> list[Unit]:
    """Find all that can be pruned; gradients must lie in the module where `taylor` asks for them.

    The dependency graph of Fang, Ma, Song, Mi and Wang (2023), "DepGraph: Towards Any Structural
    Pruning", as Torch-Pruning builds it.

    Args:
        lifted: The module.
        inputs: Raw inputs to trace it with.
        importance: The magnitude of the weights, or the first order of what the loss would change.

    Raises:
        ModelError: Sizes are written into the program, or nothing can be pruned.
    """
    pruning = require("torch_pruning", extra="compress", error=ModelError)
    where = str(lifted.model.path / lifted.model.file)
    if lifted.fixed:
        raise ModelError(
            f"sizes of layers stand in its operators: {', '.join(lifted.fixed[:5])}",
            where=where,
            fix="export it with flatten, pooling, or sizes taken from the tensors themselves",
        )
    module, tensors = lifted.module, example(lifted, inputs)
    last = output_layer(lifted, tensors)
    with quiet():
        graph = pruning.DependencyGraph().build_dependency(module, example_inputs=tensors)
    scores = {
        "magnitude": pruning.importance.GroupMagnitudeImportance(normalizer="mean"),
        "taylor": pruning.importance.GroupTaylorImportance(normalizer=None),
    }[importance]
    found = [_unit(lifted, group, scores) for group in graph.get_all_groups(ignored_layers=[last])]
    units = [unit for unit in found if unit is not None and unit.blocks > 1]
    if not units:
        raise ModelError("has no channels or heads that could be pruned", where=where)
    return units


def output_layer(lifted: Lifted, tensors: Sequence[Any]) -> Any:
    """The layer that gives the classes: the last one that is called and has an output for each.

    Raises:
        ModelError: There is none.
    """
    import torch
    from torch import nn

    called: list[Any] = []
    classes = len(lifted.model.signature.classes)
    hooks = [
        child.register_forward_hook(lambda layer, _, __: called.append(layer))
        for child in lifted.module.modules()
        if isinstance(child, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and child.weight.shape[0] == classes
    ]
    with torch.no_grad():
        lifted.module(*tensors)
    for hook in hooks:
        hook.remove()
    if not called:
        where = str(lifted.model.path / lifted.model.file)
        raise ModelError(f"has no layer that gives {classes} classes", where=where)
    return called[-1]


def prune(lifted: Lifted, unit: Unit, width: int) -> None:
    """Take the least important blocks of a unit out of every layer, until `width` are left."""
    if width >= unit.blocks:
        return
    unit.group.prune(unit.channels(width).tolist())
    if unit.attention is not None:
        attention = lifted.module.get_submodule(unit.attention)
        for key in _counts(attention):
            size = getattr(attention, key)
            setattr(attention, key, size * width // unit.blocks)


def _unit(lifted: Lifted, group: Any, scores: Any) -> Unit | None:
    """The unit of a group; None where a part of it cannot be pruned."""
    from torch import nn

    names = {child: name for name, child in lifted.module.named_modules()}
    parts = [(dep.target.module, str(dep.handler.__name__)) for dep, _ in group]
    if any(isinstance(part, nn.Parameter) for part, _ in parts):
        return None
    layers = [(part, what) for part, what in parts if part in names]
    if any(_is_grouped(part) for part, _ in layers):
        return None
    linear = all(isinstance(part, nn.Linear) for part, _ in layers)
    if lifted.model.format == "huggingface" and not linear:
        return None  # the width of the residual stream, which norms and tables share
    values = scores(group)
    if values is None or not np.isfinite(values.detach().numpy()).all():
        return None
    weighted = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    writes, reads = (
        tuple(dict.fromkeys(
            names[part] for part, what in layers if side in what and isinstance(part, weighted)
        ))
        for side in ("out_channels", "in_channels")
    )  # fmt: skip
    attention, size = _heads(lifted.module, writes)
    if len(writes) > 1 and lifted.model.format == "huggingface" and attention is None:
        return None
    importance = values.detach().numpy().astype(np.float64).reshape(-1, size).sum(axis=1)
    return Unit(
        name=writes[0],
        group=group,
        blocks=len(importance),
        size=size,
        writes=writes,
        reads=reads,
        importance=importance,
        attention=attention,
    )


def _is_grouped(layer: Any) -> bool:
    """Whether it is a convolution of groups that are wider than one channel."""
    groups = getattr(layer, "groups", 1)
    return hasattr(layer, "in_channels") and groups > 1 and groups != layer.in_channels


def _heads(module: Any, writes: Sequence[str]) -> tuple[str | None, int]:
    """The attention that several layers belong to, and the width of a head."""
    owner = writes[0].rpartition(".")[0]
    size = getattr(module.get_submodule(owner), "attention_head_size", None)
    together = len(writes) == 3 and all(name.rpartition(".")[0] == owner for name in writes)
    counted = together and type(size) is int and _counts(module.get_submodule(owner))
    return (owner, int(size or 1)) if counted else (None, 1)


def _counts(attention: Any) -> list[str]:
    """The attributes of an attention that say how many heads, or channels of heads, there are."""
    known = ("num_attention_heads", "num_heads", "n_heads", "all_head_size")
    return [key for key in known if type(vars(attention).get(key)) is int]
