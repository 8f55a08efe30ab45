"""Splits linear layers into two thin ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._modules import Lifted, example, open_module, save_module
from surefoot.compress.steps._rows import batches, training_rows
from surefoot.compress.steps._units import output_layer
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model

NEEDS = ("huggingface", "pt2")
GIVES = None
NOTES = "low_rank.json"
# A layer with a narrower side has little to save, and a rank of 1 or 2 takes most of it away.
_NARROWEST = 16


def low_rank(
    model: Model,
    task: Task,
    folder: Path,
    *,
    rank_share: float = 0.25,
    activations: bool = True,
    rows: int = 256,
) -> Model:
    """Splits linear layers into two thin ones, by the singular values that matter most.

    A layer of m inputs and n outputs and rank r costs r (m + n) products in place of m n, so it
    is split only where that is fewer: a square one where `rank_share` is under a half. The layer
    that gives the classes stays, and so do layers with a side under 16. `low_rank.json` has the
    rank and the share of the output's energy that is kept of every layer.

    Args:
        model: An exported program or a transformer, with linear layers.
        task: Gives the training rows.
        folder: Where the new model goes.
        rank_share: The rank of a split layer, as a share of the smaller of its two sides.
        activations: Keep what is largest on the inputs that the layer sees for training rows, not
            of the weights alone (Wang et al. 2025, "SVD-LLM: Truncation-aware Singular Value
            Decomposition for Large Language Model Compression").
        rows: How many training rows those inputs come from, spread evenly.

    Raises:
        ModelError: No training data, or no layer gets smaller.
    """
    if not 0 < rank_share < 1:
        raise ModelError(
            f"step 'low_rank': rank_share is {rank_share}", fix="it must be above 0 and below 1"
        )
    data = training_rows(task, model, "low_rank", max(1, rows))
    lifted = open_module(model)
    layers = _layers(lifted, data.inputs, rank_share)
    if not layers:
        raise ModelError(
            f"step 'low_rank': no linear layer gets smaller at rank_share = {rank_share}",
            where=model.name,
            fix="a square layer needs less than 0.5; leave low_rank out where there is none",
        )
    moments = _second_moments(lifted, layers, data.inputs) if activations else {}
    notes = {}
    for name, (layer, rank) in layers.items():
        split, kept = _split(layer, rank, moments.get(name))
        lifted.module.set_submodule(name, split)
        size = [layer.out_features, layer.in_features]
        notes[name] = {"size": size, "rank": rank, "energy_kept": round(kept, 5)}
    (folder / NOTES).write_text(json.dumps(notes, indent=1) + "\n")
    return save_module(lifted, folder, name="low_rank", inputs=data.inputs)


def _layers(lifted: Lifted, inputs: np.ndarray, rank_share: float) -> Mapping[str, tuple[Any, int]]:
    """The linear layers that two thin ones would be smaller than, each with its rank."""
    from torch import nn

    last = output_layer(lifted, example(lifted, inputs))
    found = {}
    for name, layer in lifted.module.named_modules():
        if not isinstance(layer, nn.Linear) or layer is last:
            continue
        sides = layer.in_features, layer.out_features
        rank = max(1, round(rank_share * min(sides)))
        if min(sides) >= _NARROWEST and rank * sum(sides) < sides[0] * sides[1]:
            found[name] = (layer, rank)
    return found


def _second_moments(
    lifted: Lifted, layers: Mapping[str, tuple[Any, int]], inputs: np.ndarray
) -> Mapping[str, np.ndarray]:
    """(inputs, inputs) sums of products of what each layer reads; layers never called have none."""
    import torch

    sums: dict[str, Any] = {}

    def note(name: str) -> Any:
        def hook(_: Any, arguments: Any) -> None:
            seen = arguments[0].reshape(-1, arguments[0].shape[-1])
            sums[name] = sums.get(name, 0) + (seen.T @ seen).double()

        return hook

    hooks = [layer.register_forward_pre_hook(note(name)) for name, (layer, _) in layers.items()]
    names = lifted.model.signature.tensors
    with torch.no_grad():
        for _, tensors in batches(lifted.model, inputs):
            lifted.module(*(torch.from_numpy(tensors[name]) for name in names))
    for one in hooks:
        one.remove()
    return {name: total.numpy() for name, total in sums.items()}


def _split(layer: Any, rank: int, moments: np.ndarray | None) -> tuple[Any, float]:
    """Two layers of a rank in the place of one, and the share of the output's energy they keep.

    With S S^T the second moments of the inputs, the best W' of a rank for E |Wx - W'x|^2 is the
    truncated decomposition of W S, times the inverse of S.
    """
    import torch
    from torch import nn

    weight = layer.weight.detach().double().numpy()
    root = _root(moments) if moments is not None else np.eye(weight.shape[1])
    left, values, right = np.linalg.svd(weight @ root, full_matrices=False)
    kept = float((values[:rank] ** 2).sum() / max((values**2).sum(), np.finfo(float).tiny))
    scale = np.sqrt(values[:rank])
    outer = left[:, :rank] * scale
    inner = np.linalg.solve(root.T, (scale[:, None] * right[:rank]).T).T
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(inner))
        second.weight.copy_(torch.from_numpy(outer))
        if layer.bias is not None:
            second.bias.copy_(layer.bias)
    return nn.Sequential(first, second), kept


def _root(moments: np.ndarray) -> np.ndarray:
    """The Cholesky factor of second moments, up to a factor; no input need vary, nor be its own."""
    width = len(moments)
    scaled = moments / (np.trace(moments) / width or 1.0)
    factor: np.ndarray = np.linalg.cholesky(scaled + 1e-6 * np.eye(width))
    return factor
