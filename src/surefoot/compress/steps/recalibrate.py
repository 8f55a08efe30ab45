"""Takes anew what depends on data: batch norm statistics, or the biases of quantised layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps import _biases, _exporters
from surefoot.compress.steps._graph import WEIGHTS, seal_graph
from surefoot.compress.steps._modules import open_module, save_module
from surefoot.compress.steps._parity import feeds_of
from surefoot.compress.steps._rows import batches, training_rows
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.formats.onnx import onnx, save

NEEDS = ("pt2", "onnx")
GIVES = None
CALIBRATION = "calibration.json"
_BATCH = 128
_OPSET = 18


def recalibrate(
    model: Model, task: Task, folder: Path, *, teacher: Model, rows: int = 1024
) -> Model:
    """Takes anew what depends on data: batch norm statistics, or the biases of quantised layers.

    No label is read, and no weight changes. In a torch program the statistics of batch norms are
    those of the channels before they were pruned; they are measured again with the layers as they
    are now (Li et al. 2020, "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network
    Pruning"). In a quantised ONNX graph rounding moves the mean of each channel; the difference to
    the float layer of the baseline is taken off the bias, layer by layer (Nagel et al. 2019,
    "Data-Free Quantization Through Weight Equalization and Bias Correction").

    Args:
        model: A torch program with batch norms, or a quantised ONNX graph.
        task: Gives the training rows.
        folder: Where the new model goes.
        teacher: The baseline; of a quantised graph, it must hold the weights in floats.
        rows: How many training rows to use, spread evenly; 0 takes all.

    Raises:
        ModelError: No training data, nothing to recalibrate, or a graph whose layers are not those
            of the baseline.
    """
    data = training_rows(task, model, "recalibrate", rows)
    if model.format == "pt2":
        return _with_new_statistics(model, data, folder)
    proto = onnx(model.path / model.file)
    moved = _moved_biases(model, proto, teacher, data)
    _note(folder, data, layers=moved)
    save(proto, folder / WEIGHTS)
    return seal_graph(model, folder, "recalibrate")


def _note(folder: Path, data: Dataset, **more: Any) -> None:
    notes = {"step": "recalibrate", "rows": data.ids.tolist(), **more}
    (folder / CALIBRATION).write_text(json.dumps(notes, indent=1) + "\n")


def _with_new_statistics(model: Model, data: Dataset, folder: Path) -> Model:
    import torch

    lifted = open_module(model)
    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    norms = [each for each in lifted.module.modules() if isinstance(each, kinds)]
    if not norms:
        raise ModelError(
            "step 'recalibrate': it has no batch norm whose statistics could be taken anew",
            where=str(model.path / model.file),
            fix="leave recalibrate out of the recipe",
        )
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    # In any order but the file's: a batch of one class has statistics of its own.
    order = np.random.default_rng(0).permutation(len(data))
    names = model.signature.tensors
    with torch.no_grad():
        for chosen in np.array_split(order, max(1, len(order) // _BATCH)):
            for _, tensors in batches(model, data.inputs[chosen], size=len(chosen)):
                lifted.module(*(torch.from_numpy(tensors[name]) for name in names))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    _note(folder, data)
    return save_module(lifted, folder, name="recalibrate", inputs=data.inputs)


def _moved_biases(
    model: Model, proto: Any, teacher: Model, data: Dataset
) -> Mapping[str, tuple[float, float]]:
    """Correct the biases of a graph; the mean error of each layer's channels, before and after."""
    parent = _parent(teacher, data)
    pairs, strange = _biases.pairs(proto.graph, parent.graph)
    if strange or not pairs:
        what = (
            f"the layers {', '.join(strange[:5])} are"
            if strange
            else "it has no quantised layer that is"
        )
        raise ModelError(
            f"step 'recalibrate': {what} not the baseline's in fewer bits, so that nothing says"
            " what they should give",
            where=str(model.path / model.file),
            fix="put recalibrate behind steps that only export and quantise",
        )
    layers = [layer for layer, _ in pairs]
    wanted = _biases.channel_means(teacher, parent, [other for _, other in pairs], data.inputs)
    before = list(_biases.errors(wanted, _biases.channel_means(model, proto, layers, data.inputs)))
    for layer, means in zip(layers, wanted, strict=True):
        # One after the other: what is corrected first changes all behind it.
        found = _biases.channel_means(model, proto, [layer], data.inputs)[0]
        _biases.move_bias(proto, layer, means - found)
    after = _biases.errors(wanted, _biases.channel_means(model, proto, layers, data.inputs))
    names = [layer.node.name or layer.output for layer in layers]
    return dict(zip(names, zip(before, after, strict=True), strict=True))


def _parent(teacher: Model, data: Dataset) -> Any:
    """The baseline as a graph in floats, as `export_onnx` writes it."""
    if teacher.format == "onnx":
        return onnx(teacher.path / teacher.file)
    feeds = feeds_of(teacher, data.spread(2).inputs)
    failures = []
    for exporter in _exporters.for_model(teacher, "best"):
        graph, failure = _exporters.export(teacher, feeds, exporter, fuse=False, opset=_OPSET)
        if graph is not None:
            return graph
        failures.append(failure)
    raise ModelError(f"the baseline cannot be exported: {'; '.join(failures)}", where=teacher.name)
