"""Takes whole channels, attention heads and hidden units out of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._allocate import Times, fastest, uniform
from surefoot.compress.steps._damage import Damage, measure_damage
from surefoot.compress.steps._layer_times import SHARES, layer_shapes, time_layer
from surefoot.compress.steps._modules import Lifted, open_module, save_module
from surefoot.compress.steps._rows import batches, training_rows
from surefoot.compress.steps._units import Importance, Unit, find_units, prune
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.store import TIMINGS

NEEDS = ("huggingface", "pt2")
GIVES = None
NOTES = "pruning.json"


def prune_structured(
    model: Model,
    task: Task,
    folder: Path,
    *,
    ratio: float = 0.3,
    importance: Importance = "taylor",
    allocation: Literal["latency", "uniform"] = "latency",
    rows: int = 256,
) -> Model:
    """Takes whole channels, attention heads and hidden units out of a model.

    What depends on each other goes together (Fang et al. 2023, DepGraph); layers that give the
    classes stay, and so does the width of a transformer's residual stream. A pruned model answers
    worse until it is trained again: let a step that trains follow. `pruning.json` has the widths
    before and after, `timings.json` what was timed.

    Args:
        model: An exported program of convolutions or linear layers, or a transformer.
        task: Gives the training rows.
        folder: Where the new model goes.
        ratio: With `uniform` the share of channels that goes; with `latency` the share of the time
            of all layers.
        importance: What a channel is worth: the size of its weights, or what the loss on training
            rows would change without it, to first order (Molchanov et al. 2019).
        allocation: `uniform` takes the same share of everything. `latency` times each layer at
            several widths in ONNX Runtime (one thread, one row), measures what narrowing each unit
            alone does to the answers, and looks for the widths within the time that do least
            (Kurtic et al. 2023, ZipLM). Times differ from run to run, so widths may too.
        rows: How many training rows are used for all that, spread evenly.

    Raises:
        ModelError: No training data, sizes that are written into a program, or a ratio that cannot
            be reached.
    """
    if not 0 < ratio < 1:
        raise ModelError(
            f"step 'prune_structured': ratio is {ratio}", fix="it must be above 0 and below 1"
        )
    data = training_rows(task, model, "prune_structured", max(1, rows))
    lifted = open_module(model)
    with _traceable(lifted.module):
        if importance == "taylor":
            _add_gradients(lifted, data)
        units = find_units(lifted, data.inputs, importance)
        if allocation == "uniform":
            widths = uniform(units, ratio)
        else:
            tables = _timed(lifted, data, units)
            damage = measure_damage(lifted, units, data.inputs)
            widths = _within(units, damage, Times(units, tables), ratio)
            _write_times(folder, units, widths, tables)
        before = _sizes(lifted)
        for unit, width in zip(units, widths, strict=True):
            prune(lifted, unit, width)
    _write_notes(folder, units, widths, {"before": before, "after": _sizes(lifted)})
    lifted.module.zero_grad()
    return save_module(lifted, folder, name="prune_structured", inputs=data.inputs)


@contextmanager
def _traceable(module: Any) -> Iterator[None]:
    """Attention in plain operators, whose dependencies a trace can follow."""
    bodies = [child for child in module.modules() if hasattr(child, "set_attn_implementation")][:1]
    before = [body.config._attn_implementation for body in bodies]  # noqa: SLF001  (no other way)
    for body in bodies:
        body.set_attn_implementation("eager")
    yield
    for body, name in zip(bodies, before, strict=True):
        body.set_attn_implementation(name)


def _add_gradients(lifted: Lifted, data: Dataset) -> None:
    """Put the sum of the sizes of each weight's gradients into the module.

    Sizes are added, batch by batch, since the gradients of a trained model cancel each other.
    """
    import torch

    names, module = lifted.model.signature.tensors, lifted.module.eval()
    parameters = [one for one in module.parameters() if one.requires_grad]
    total = [torch.zeros_like(one) for one in parameters]
    labels, threads = torch.from_numpy(data.labels), torch.get_num_threads()
    torch.set_num_threads(1)  # sums are added in one order, so that the same channels go every time
    try:
        for positions, tensors in batches(lifted.model, data.inputs, size=16):
            outputs = module(*(torch.from_numpy(tensors[name]) for name in names))
            loss = _loss(outputs, labels[positions], lifted.model)
            if not torch.isfinite(loss):
                first = data.ids[positions[0]]
                raise ModelError(
                    f"step 'prune_structured': the loss is {loss.item()} in the batch of '{first}'",
                    where=lifted.model.name,
                )
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            for held, one in zip(total, found, strict=True):
                held.add_(0 if one is None else one.abs())
    finally:
        torch.set_num_threads(threads)
    for one, held in zip(parameters, total, strict=True):
        one.grad = held


def _loss(outputs: Any, labels: Any, model: Model) -> Any:
    import torch.nn.functional as F

    if model.signature.output == "probabilities":
        return F.nll_loss(outputs.clamp(min=1e-12).log(), labels)
    return F.cross_entropy(outputs, labels)


def _timed(lifted: Lifted, data: Dataset, units: Sequence[Unit]) -> Mapping[str, np.ndarray]:
    """Milliseconds of every layer that a unit changes, for a row of middling length."""
    import torch

    rows = list(batches(lifted.model, data.inputs[:33], size=1))
    tensors = rows[len(rows) // 2][1]
    names = lifted.model.signature.tensors
    shapes = layer_shapes(lifted.module, [torch.from_numpy(tensors[name]) for name in names])
    known: dict[Any, np.ndarray] = {}
    tables = {}
    for name, shape in shapes.items():
        narrow = tuple(any(name in part for part in side) for side in (
            [unit.reads for unit in units], [unit.writes for unit in units]
        ))  # fmt: skip
        if any(narrow):
            key = (shape, narrow)
            if key not in known:
                known[key] = time_layer(shape, narrow=(narrow[0], narrow[1]))
            tables[name] = known[key]
    return tables


def _within(
    units: Sequence[Unit], damage: Sequence[Damage], times: Times, ratio: float
) -> tuple[int, ...]:
    whole = times.milliseconds(tuple(unit.blocks for unit in units))
    found = fastest(damage, times, (1 - ratio) * whole)
    if found is None:
        least = times.milliseconds(tuple(unit.widths()[-1] for unit in units))
        raise ModelError(
            f"step 'prune_structured': ratio is {ratio}, and the narrowest layers still take"
            f" {least:.3g} of {whole:.3g} ms",
            fix=f"set ratio to {max(0.0, 1 - least / whole):.2f} or less",
        )
    return found


def _sizes(lifted: Lifted) -> dict[str, list[int]]:
    """Outputs and inputs of every layer with a weight matrix or kernel."""
    from torch import nn

    return {
        name: [child.weight.shape[0], child.weight.shape[1] * getattr(child, "groups", 1)]
        for name, child in lifted.module.named_modules()
        if isinstance(child, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    }


def _write_notes(
    folder: Path,
    units: Sequence[Unit],
    widths: Sequence[int],
    sizes: Mapping[str, Mapping[str, Sequence[int]]],
) -> None:
    kept = [
        {
            "unit": unit.name,
            "counts": "heads" if unit.attention else "channels",
            "before": unit.blocks,
            "after": width,
        }
        for unit, width in zip(units, widths, strict=True)
    ]
    layers = {
        name: {"before": before, "after": sizes["after"][name]}
        for name, before in sizes["before"].items()
    }
    text = json.dumps({"units": kept, "layers": layers}, indent=1)
    (folder / NOTES).write_text(text + "\n")


def _write_times(
    folder: Path, units: Sequence[Unit], widths: Sequence[int], tables: Mapping[str, np.ndarray]
) -> None:
    times = Times(units, tables)
    content = {
        "runtime": "onnxruntime, 1 thread, 1 row",
        "shares": SHARES,
        "milliseconds": {name: np.round(table, 5).tolist() for name, table in tables.items()},
        "layers_ms_before": times.milliseconds(tuple(unit.blocks for unit in units)),
        "layers_ms_after": times.milliseconds(tuple(widths)),
    }
    (folder / TIMINGS).write_text(json.dumps(content) + "\n")
