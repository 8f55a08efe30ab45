"""Sets the smallest weights to zero, and measures that nothing gets faster by it."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._modules import Lifted, example, open_module, save_module
from surefoot.compress.steps._rows import training_rows
from surefoot.compress.steps._units import output_layer
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import default_runtime, open_model
from surefoot.models.store import TIMINGS

NEEDS = ("huggingface", "pt2")
GIVES = None
NOTES = "sparsity.json"
_CALLS = 15


def prune_unstructured(
    model: Model,
    task: Task,
    folder: Path,
    *,
    ratio: float = 0.5,
    scope: Literal["layer", "model"] = "model",
) -> Model:
    """Sets the smallest weights to zero; no runtime here gets faster or smaller by it.

    The runtimes multiply zeros as they do all numbers, and files hold them: it is of use for
    runtimes elsewhere that skip zeros, and to see how many weights a model needs. Magnitude pruning
    (Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks").
    `sparsity.json` has the share of zeros of every layer, `timings.json` the milliseconds of a call
    before and after. The layer that gives the classes stays.

    Args:
        model: An exported program or a transformer.
        task: Gives rows to time a call with.
        folder: Where the new model goes.
        ratio: The share of weights that become zero.
        scope: Choose the smallest of each layer, or of the whole model.

    Raises:
        ModelError: No training data, or no layer with weights besides the last.
    """
    if not 0 < ratio < 1:
        raise ModelError(
            f"step 'prune_unstructured': ratio is {ratio}", fix="it must be above 0 and below 1"
        )
    data = training_rows(task, model, "prune_unstructured", 32)
    lifted = open_module(model)
    layers = _layers(lifted, data.inputs)
    _zero(layers, ratio, scope)
    notes = {name: round(float((w == 0).float().mean()), 5) for name, w in layers.items()}
    (folder / NOTES).write_text(json.dumps({"zeros": notes}, indent=1) + "\n")
    made = save_module(lifted, folder, name="prune_unstructured", inputs=data.inputs)
    before, after = _milliseconds((model, made), data.inputs)
    measured = {"runtime": default_runtime(model.format), "before_ms": before, "after_ms": after}
    (folder / TIMINGS).write_text(json.dumps(measured) + "\n")
    return made


def _layers(lifted: Lifted, inputs: np.ndarray) -> dict[str, Any]:
    """The weights of all linear layers and convolutions but the last."""
    from torch import nn

    last = output_layer(lifted, example(lifted, inputs))
    found = {
        name: layer.weight
        for name, layer in lifted.module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer is not last
    }
    if not found:
        raise ModelError(
            "step 'prune_unstructured': it has no layer besides the one that gives the classes",
            where=lifted.model.name,
        )
    return found


def _zero(layers: dict[str, Any], ratio: float, scope: str) -> None:
    import torch

    sets = [list(layers.values())] if scope == "model" else [[one] for one in layers.values()]
    with torch.no_grad():
        for weights in sets:
            sizes = torch.cat([one.abs().flatten() for one in weights])
            gone = torch.zeros(len(sizes), dtype=torch.bool)
            gone[sizes.argsort(stable=True)[: round(ratio * len(sizes))]] = True
            parts = torch.split(gone, [one.numel() for one in weights])
            for one, part in zip(weights, parts, strict=True):
                one[part.view_as(one)] = 0


def _milliseconds(pair: tuple[Model, Model], inputs: np.ndarray) -> list[float]:
    """The median time of a call of one row, the two models in turns."""
    times: list[list[float]] = [[], []]
    with ExitStack() as opened:
        calls = [opened.enter_context(open_model(model)) for model in pair]
        for turn in range(_CALLS + 1):
            row = inputs[[turn % len(inputs)]]
            for place, call in enumerate(calls):
                started = time.perf_counter()
                call(row)
                if turn:
                    times[place].append(1000 * (time.perf_counter() - started))
    return [round(float(np.median(each)), 4) for each in times]
