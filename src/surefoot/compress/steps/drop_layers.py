"""Keeps some of a transformer's layers and refits its head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._rows import batches, one_hot, training_rows
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import copy_preprocessing, fit_linear_head, seal
from surefoot.models.formats.huggingface import huggingface, save

NEEDS = "huggingface"
GIVES = "huggingface"


def drop_layers(
    model: Model, task: Task, folder: Path, *, keep: int, l2: float = 1.0, rows: int = 0
) -> Model:
    """Keeps some of a transformer's layers, evenly spaced, and refits its head.

    Sajjad, Dalvi, Durrani and Nakov (2023), "On the effect of dropping layers of pre-trained
    transformer models".

    Args:
        model: A transformer with a linear layer at its end.
        task: Gives the training rows for the head.
        folder: Where the new model goes.
        keep: How many layers stay; the first one always does.
        l2: Strength of the penalty on the head's weights.
        rows: How many training rows to refit on, spread evenly; 0 takes all.

    Raises:
        ModelError: No training data, fewer layers than `keep`, or no linear layer at the end.
    """
    import torch

    data = training_rows(task, model, "drop_layers", rows)
    module = huggingface(model.path)
    _drop(module, keep, model)
    linear = _last_linear(module, len(task.classes), model)
    features = _features(module, linear, model, data.inputs)
    weight, bias = fit_linear_head(features, one_hot(data), l2=l2)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
        linear.bias.copy_(torch.from_numpy(bias))
    save(module, folder)
    copy_preprocessing(model, folder)
    return seal(
        folder,
        name="drop_layers",
        format=GIVES,
        file=".",
        signature=model.signature,
        parent=model.fingerprint,
    )


def _drop(module: Any, keep: int, model: Model) -> None:
    """Shorten the list of layers in place, and say so in the configuration."""
    from torch import nn

    body = next(child for child in module.modules() if hasattr(child, "config"))
    layers = body.config.num_hidden_layers
    found = [
        (parent, name)
        for parent in body.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == layers
    ]
    if len(found) != 1:
        raise ModelError(
            f"has {len(found)} lists of {layers} layers; needs one to drop layers from",
            where=str(model.path),
        )
    if not 1 <= keep < layers:
        raise ModelError(
            f"step 'drop_layers': keep is {keep}, the model has {layers} layers",
            where=model.name,
            fix=f"keep 1 to {layers - 1}" if layers > 1 else "leave the step out",
        )
    parent, name = found[0]
    chosen = [place * layers // keep for place in range(keep)]
    setattr(parent, name, nn.ModuleList(getattr(parent, name)[place] for place in chosen))
    body.config.num_hidden_layers = keep


def _last_linear(module: Any, classes: int, model: Model) -> Any:
    from torch import nn

    found = [
        child
        for child in module.modules()
        if isinstance(child, nn.Linear) and child.out_features == classes and child.bias is not None
    ]
    if not found:
        raise ModelError(f"has no linear head of {classes} classes", where=str(model.path))
    return found[-1]


def _features(module: Any, linear: Any, model: Model, inputs: np.ndarray) -> np.ndarray:
    """(n, width) float32: what the head reads for each of the raw inputs."""
    import torch

    result = np.empty((len(inputs), linear.in_features), np.float32)
    seen: list[Any] = []
    hook = linear.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.inference_mode():
        for positions, tensors in batches(model, inputs):
            module(*(torch.from_numpy(tensors[name]) for name in model.signature.tensors))
            result[positions] = seen.pop().numpy()
    hook.remove()
    return result
