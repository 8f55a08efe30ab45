"""Measures what a model's answers lose when one unit alone becomes narrower."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot.compress.steps._modules import Lifted, module_outputs
from surefoot.compress.steps._units import Unit

# A unit is tried at these shares of its blocks; between two, damage is taken to lie on a line.
_SHARES = (0.75, 0.5, 0.25, 0.0)

Damage = Mapping[int, float]
"""What each width of a unit costs."""


def measure_damage(lifted: Lifted, units: Sequence[Unit], inputs: np.ndarray) -> list[Damage]:
    """The damage of every width of every unit, all others left whole.

    The mean Kullback-Leibler divergence of the answers from those of the whole model, with the
    least important blocks silenced in all layers that read them. It puts units of different kinds
    (heads, channels, hidden units) on one scale, which importance by itself does not.

    Args:
        lifted: The module.
        units: What can be pruned.
        inputs: Raw inputs.
    """
    whole = _logs(lifted, inputs)
    found: list[Damage] = []
    for unit in units:
        widths = sorted({round(share * unit.blocks) for share in _SHARES} | {unit.blocks})
        costs = [0.0 if width == unit.blocks else _cost(lifted, unit, width, whole, inputs)
                 for width in widths]  # fmt: skip
        # A narrower unit that happens to answer better does so by chance.
        falling = np.maximum.accumulate(np.array(costs)[::-1])[::-1]
        found.append({w: float(np.interp(w, widths, falling)) for w in unit.widths()})
    return found


def _cost(lifted: Lifted, unit: Unit, width: int, whole: np.ndarray, inputs: np.ndarray) -> float:
    with _silenced(lifted, unit, width):
        found = _logs(lifted, inputs)
    return float((np.exp(whole) * (whole - found)).sum(axis=1).mean())


@contextmanager
def _silenced(lifted: Lifted, unit: Unit, width: int) -> Iterator[None]:
    """All readers of a unit see zeros in the place of its least important blocks."""
    import torch

    channels = torch.ones(unit.blocks * unit.size)
    channels[unit.channels(width)] = 0

    def hook(layer: Any, arguments: Any) -> Any:
        size = layer.weight.shape[1] * getattr(layer, "groups", 1)
        mask = channels.repeat_interleave(size // len(channels))
        axes = arguments[0].ndim
        linear = isinstance(layer, torch.nn.Linear)
        shape = [1] * (axes - 1) + [-1] if linear else [1, -1] + [1] * (axes - 2)
        return (arguments[0] * mask.view(shape), *arguments[1:])

    readers = [lifted.module.get_submodule(name) for name in unit.reads]
    hooks = [reader.register_forward_pre_hook(hook) for reader in readers]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def _logs(lifted: Lifted, inputs: np.ndarray) -> np.ndarray:
    """(n, classes) float64 logarithms of probabilities."""
    outputs = module_outputs(lifted, inputs).astype(np.float64)
    if lifted.model.signature.output == "probabilities":
        logs: np.ndarray = np.log(np.maximum(outputs, 1e-12))
        return logs
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
