"""Refits the linear head on the features that the model has now."""

from __future__ import annotations

from pathlib import Path

from surefoot.compress.steps._graph import (
    WEIGHTS,
    find_head,
    head_features,
    replace_head,
    seal_graph,
)
from surefoot.compress.steps._rows import one_hot, training_rows
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import fit_linear_head
from surefoot.models.formats.onnx import onnx, save

NEEDS = "onnx"
GIVES = "onnx"


def refit_head(model: Model, task: Task, folder: Path, *, l2: float = 1.0, rows: int = 0) -> Model:
    """Refits the linear head on the features that the model has now.

    A compressed body gives slightly other features than the ones its head was trained on; a new
    head on the same training labels wins back part of what that cost.

    Args:
        model: A model whose graph ends in a linear layer that is not quantised.
        task: Gives the training rows.
        folder: Where the new model goes.
        l2: Strength of the penalty on the head's weights.
        rows: How many training rows to use, spread evenly; 0 takes all.

    Raises:
        ModelError: No training data, or no linear head.
    """
    data = training_rows(task, model, "refit_head", rows)
    where = model.path / model.file
    proto = onnx(where)
    head = find_head(proto.graph, where)
    if len(head.weight) != len(task.classes):
        raise ModelError(
            f"its head gives {len(head.weight)} outputs for {len(task.classes)} classes",
            where=str(where),
        )
    features = head_features(model, proto, head, data.inputs)
    replace_head(proto, head, *fit_linear_head(features, one_hot(data), l2=l2))
    save(proto, folder / WEIGHTS)
    return seal_graph(model, folder, "refit_head")
