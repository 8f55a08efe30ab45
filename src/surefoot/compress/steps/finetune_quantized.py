"""Trains a model while its numbers are rounded to integers, and writes it as ONNX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._device import Device, pick_device
from surefoot.compress.steps._graph import WEIGHTS, seal_graph, with_inputs
from surefoot.compress.steps._parity import ROWS, Parity, compare, feeds_of
from surefoot.compress.steps._rows import training_rows
from surefoot.core.cpus import usable_cpus
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import open_model
from surefoot.models.formats.onnx import save
from surefoot.models.preprocess import Preprocessor

NEEDS = ("pt2", "huggingface")
GIVES = "onnx"
CALIBRATION = "calibration.json"
_CALIBRATED, _BATCH = 256, 64
# Integer kernels and the network in training round a few numbers that lie between two steps to
# different sides. A wrong graph is off by far more.
_FLIPS, _OFF = 0.05, 0.05


def finetune_quantized(
    model: Model,
    task: Task,
    folder: Path,
    *,
    teacher: Model,
    epochs: int = 2,
    learning_rate: float = 1e-4,
    temperature: float = 2.0,
    label_weight: float = 0.5,
    per_channel: bool = True,
    weight_bits: int = 8,
    head: bool = False,
    rows: int = 0,
    device: Device = "auto",
    seed: int = 0,
) -> Model:
    """Trains a model while its numbers are rounded to integers, and writes it as ONNX.

    Batch norms are folded into the convolutions before them, and scales are trained along with the
    weights. The graph computes in 8-bit integers in ONNX Runtime, and is compared with the trained
    network on real rows in a fresh process.

    Args:
        model: A torch model of convolutions and linear layers in floats.
        task: Gives the training rows.
        folder: Where the new model goes.
        teacher: The baseline, whose probabilities are imitated.
        epochs: Times that every row is seen; 0 only rounds.
        learning_rate: Step size at the start of the training.
        temperature: Softens the probabilities that are imitated.
        label_weight: Weight of the labels, 0 to 1; the teacher's probabilities have the rest.
        per_channel: One scale per output of a layer's weights instead of one for all of them.
        weight_bits: Bits of a weight, 2 to 8. The runtime computes with 8 all the same; 7 keeps
            sums from overflowing on x86 machines without VNNI.
        head: Quantise the linear layer at the end too, which decides the answer and weighs little.
        rows: How many training rows to use, spread evenly; 0 takes all.
        device: Where it is trained.
        seed: What the order of rows is drawn from.

    Raises:
        ModelError: No training data, an option out of its range, nothing to quantise, a loss that
            is not a number, or a graph that is off.
    """
    _check(epochs, learning_rate, temperature, label_weight)
    if not 2 <= weight_bits <= 8:
        raise ModelError(f"step 'finetune_quantized': weight_bits is {weight_bits}, takes 2 to 8")
    data = training_rows(task, model, "finetune_quantized", rows)
    rounding = _Rounding(bits=weight_bits, per_channel=per_channel, head=head)
    where = pick_device(device)
    with _one_thread():
        network, calibrated = _rounded(model, data, rounding, where)
        if epochs:
            _train(
                network, model, data, where, teacher=teacher, epochs=epochs, seed=seed,
                learning_rate=learning_rate, temperature=temperature, label_weight=label_weight,
            )  # fmt: skip
        graph, parity = _proven(network, model, data)
    notes = {"step": "finetune_quantized", "rows": calibrated.ids.tolist()}
    (folder / CALIBRATION).write_text(json.dumps(notes, indent=1) + "\n")
    parity.write(folder)
    save(graph, folder / WEIGHTS)
    return seal_graph(model, folder, "finetune_quantized", signature=with_inputs(model, graph))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounding:
    """How weights are rounded."""

    bits: int
    """Bits with the sign."""
    per_channel: bool
    """A scale for each output."""
    head: bool
    """The last linear layer too."""


def _check(epochs: int, learning_rate: float, temperature: float, label_weight: float) -> None:
    if not (epochs >= 0 and learning_rate > 0 and temperature > 0 and 0 <= label_weight <= 1):
        raise ModelError(
            f"step 'finetune_quantized': epochs is {epochs}, learning_rate {learning_rate},"
            f" temperature {temperature}, label_weight {label_weight}",
            fix="epochs from 0, the next two above 0, label_weight from 0 to 1",
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are added in one order, so that a seed gives one model."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounded(model: Model, data: Dataset, rounding: _Rounding, where: Any) -> tuple[Any, Dataset]:
    """The network with its tensors rounded, and the rows that the ranges come from."""
    from surefoot.compress.steps import _placement, _traced

    some = data.spread(_CALIBRATED)
    tensors = _tensors(model, some.inputs)
    example = tensors(np.arange(2) % len(some))
    network = _traced.traced(model, dict(zip(model.signature.tensors, example, strict=True)))
    _traced.fold_batch_norms(network)
    _traced.move(network, where)
    layers = _placement.layers_of(network, head=rounding.head)
    nodes = list(_placement.quantised_activations(network, layers))
    starts = range(0, len(some), _BATCH)
    calls = (np.arange(start, min(start + _BATCH, len(some))) for start in starts)
    seen = _placement.observed(
        network, nodes, (tuple(each.to(where) for each in tensors(call)) for call in calls)
    )
    _placement.place(network, layers, seen, bits=rounding.bits, per_channel=rounding.per_channel)
    return network, some


def _tensors(model: Model, inputs: np.ndarray) -> Any:
    """A function from positions of rows to their input tensors, in the model file's order."""
    import torch

    preprocessor = Preprocessor(model)
    prepared = preprocessor.rows(inputs)

    def of(positions: np.ndarray) -> tuple[Any, ...]:
        found = preprocessor.tensors(prepared, positions)
        return tuple(torch.from_numpy(found[name]) for name in model.signature.tensors)

    return of


def _train(
    network: Any, model: Model, data: Dataset, where: Any, *, teacher: Model, **how: Any
) -> None:
    from surefoot.compress.steps._rounded_training import Lesson, train_rounded

    with open_model(teacher, threads=usable_cpus()) as predict:
        taught = predict(data.inputs)
    lesson = Lesson(
        tensors=_tensors(model, data.inputs),
        labels=data.labels,
        taught=taught,
        output=model.signature.output,
        **how,
    )
    train_rounded(network, lesson, where)


def _proven(network: Any, model: Model, data: Dataset) -> tuple[Any, Parity]:
    """The graph, and how far it is from the network that was trained."""
    import torch

    from surefoot.compress.steps import _integer_graph, _traced

    _traced.move(network, torch.device("cpu"))
    some = data.spread(ROWS)
    feeds = feeds_of(model, some.inputs)
    names = model.signature.tensors
    calls = [tuple(torch.from_numpy(feed[name]) for name in names) for _, feed in feeds]
    with torch.no_grad():
        wanted = np.concatenate([network(*call).numpy() for call in calls])
    example = tuple(each[np.arange(2) % len(each)] for each in calls[0])
    graph = _integer_graph.integer_graph(network, names, example, model.signature.output)
    parity = compare(graph, feeds, wanted, some.ids, "finetune_quantized")
    spread_out = float(np.ptp(wanted, axis=1).mean())
    if parity.flips > _FLIPS * len(wanted) or not parity.mean_difference <= _OFF * spread_out:
        raise ModelError(f"the graph that was written is off: {parity.line()}")
    return graph, parity
