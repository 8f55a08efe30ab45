"""Boosts small trees towards a model of numbers: microseconds a row, one operator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps import _trees
from surefoot.compress.steps._graph import WEIGHTS
from surefoot.compress.steps._parity import ROWS, Parity, feeds_of, prove
from surefoot.compress.steps._rows import one_hot, training_rows
from surefoot.compress.steps._targets import training_targets
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model, Signature
from surefoot.models import seal
from surefoot.models.formats.onnx import save

NEEDS = ()
GIVES = "onnx"


def distill_trees(
    model: Model,
    task: Task,
    folder: Path,
    *,
    trees: int = 100,
    leaves: int = 15,
    learning_rate: float = 0.1,
    label_weight: float = 0.5,
    rows: int = 0,
    outputs: Path | None = None,
) -> Model:
    """Boosts small trees towards a model of numbers: microseconds a row, one operator.

    They learn from the labels and from the teacher's probabilities on the training rows, and from
    the latter alone on unlabelled rows where the task has some. The graph is loaded in a fresh
    process and compared with scikit-learn's trees on up to 64 real rows; `certificate.json` says
    what was found. Nothing is drawn: the same rows and options give the same file.

    Args:
        model: The teacher, a model of any format that takes rows of numbers.
        task: Gives the training rows.
        folder: Where the new model goes.
        trees: Rounds of boosting; a round is one tree for two classes, else one for each class.
        leaves: The most leaves of a tree, at least 2.
        learning_rate: What each tree's answer is multiplied by, above 0 and at most 1.
        label_weight: Weight of the labels, 0 to 1; the teacher's probabilities have the rest.
        rows: How many training rows to learn from, spread evenly; 0 takes all.
        outputs: A file of the teacher's scores by row id (csv, jsonl or parquet), which any model
            may have written; it is asked in place of `model`.

    Raises:
        ModelError: No rows to learn from, inputs that are no numbers, or an option out of range.
    """
    _check(trees=(trees, 1), leaves=(leaves, 2))
    _check_rates(learning_rate, label_weight)
    if model.signature.input != "numeric":
        raise ModelError(
            f"step 'distill_trees' takes a model of numbers, and this one takes"
            f" {model.signature.input}",
            where=model.name,
        )
    signature = Signature(
        input="numeric",
        classes=model.signature.classes,
        output="probabilities",
        tensors=("inputs",),
        width=model.signature.width,
    )
    targets = training_targets(
        _fewer(task, model, rows),
        model,
        model,
        "distill_trees",
        label_weight=label_weight,
        outputs=outputs and Path(outputs),
    )
    data, share = targets.data, targets.label_weight[:, None].astype(np.float64)
    wanted = share * one_hot(data) + (1 - share) * targets.soft
    student = _trees.fit(
        data.inputs, wanted, trees=trees, leaves=leaves, learning_rate=learning_rate
    )
    graph = _trees.graph_of(student)
    _proven(student, graph, replace(model, signature=signature), data).write(folder)
    save(graph, folder / WEIGHTS)
    return seal(
        folder,
        name="distill_trees",
        format=GIVES,
        file=WEIGHTS,
        signature=signature,
        parent=model.fingerprint,
    )


def _check(**sizes: tuple[int, int]) -> None:
    for name, (size, least) in sizes.items():
        if size < least:
            raise ModelError(f"step 'distill_trees': {name} is {size}, must be at least {least}")


def _check_rates(learning_rate: float, label_weight: float) -> None:
    if not (0 < learning_rate <= 1 and 0 <= label_weight <= 1):
        raise ModelError(
            f"step 'distill_trees': learning_rate is {learning_rate}, label_weight {label_weight}",
            fix="the first must be above 0 and at most 1, the second from 0 to 1",
        )


def _fewer(task: Task, model: Model, rows: int) -> Task:
    """The task with as many training rows as are wanted."""
    if not rows or task.train is None:
        return task
    return replace(task, train=training_rows(task, model, "distill_trees", rows))


def _proven(student: Any, graph: Any, model: Model, data: Dataset) -> Parity:
    """The certificate that the graph answers as the trees do that it was written from."""
    some = data.spread(ROWS)
    feeds = feeds_of(model, some.inputs)
    wanted = np.concatenate([student.predict_proba(tensors["inputs"]) for _, tensors in feeds])
    return prove(graph, feeds, wanted, some.ids, "distill_trees")
