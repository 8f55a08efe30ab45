"""What students learn from: rows, labels where there are any, and a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._rows import one_hot, training_rows
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import DataError, ModelError
from surefoot.core.model import InputKind, Model
from surefoot.core.seen import saw
from surefoot.data.scores import Scores, read_scores
from surefoot.models import open_model

_BATCH: dict[InputKind, int] = {"text": 32, "image": 32, "numeric": 1024}
"""Rows of a call; those of numbers are small, and a call of many costs little more than of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Rows to learn from."""

    data: Dataset
    """The training rows, then the unlabelled ones, whose labels mean nothing."""
    labelled: int
    """How many of them are training rows."""
    soft: np.ndarray
    """(n, classes) float32: the teacher's probabilities."""
    label_weight: np.ndarray
    """(n,) float32: what the label of a row counts; the teacher has the rest."""

    def __len__(self) -> int:
        return len(self.data)


def training_targets(
    task: Task,
    model: Model,
    teacher: Model,
    step: str,
    *,
    label_weight: float,
    outputs: Path | None,
) -> Targets:
    """The rows of a task to learn from, with a teacher's probabilities for them.

    Args:
        task: Gives training rows, unlabelled rows, or both.
        model: The student, whose classes count.
        teacher: What is asked for its probabilities, in a runtime of its own.
        step: The step's name, for messages.
        label_weight: What the label of a training row counts; that of an unlabelled one is 0.
        outputs: A file of scores to take in place of the teacher's. Where it has none of the
            training rows but all unlabelled ones, training rows are learnt from labels alone.

    Raises:
        ModelError: No rows, other classes, or a file that does not fit the rows.
    """
    data, labelled = _rows(task, model, step)
    weight = np.where(np.arange(len(data)) < labelled, label_weight, 0).astype(np.float32)
    if outputs is None:
        order = aligned(teacher, model, step)
        # Boosted trees join their threads after every tree, and steps run side by side anyway.
        one = teacher.signature.input == "numeric"
        with open_model(teacher, threads=1 if one else threads()) as predict:
            soft = predict(data.inputs, batch=_BATCH[teacher.signature.input])[:, order]
    else:
        try:
            soft, covered = _stored(read_scores(outputs, task.classes), data, labelled)
        except DataError as error:
            raise ModelError(error.what, where=error.where, fix=error.fix) from error
        weight[~covered] = 1
    return Targets(data=data, labelled=labelled, soft=soft, label_weight=weight)


def aligned(teacher: Model, student: Model, step: str) -> list[int]:
    """The column of the teacher's outputs for each class of the student.

    Raises:
        ModelError: They know other classes.
    """
    theirs, ours = teacher.signature.classes, student.signature.classes
    alone = [sorted({*a} - {*b})[:3] for a, b in ((theirs, ours), (ours, theirs))]
    if any(alone):
        only = [
            f"the {who} alone has {', '.join(n)}" for who, n in zip(_SIDES, alone, strict=True) if n
        ]
        raise ModelError(
            f"step '{step}': teacher and student differ in their classes: {'; '.join(only)}",
            where=student.name,
        )
    return [theirs.index(name) for name in ours]


_SIDES = ("teacher", "student")


def threads() -> int:
    """How many threads a step was given: more would wait for each other on a busy machine."""
    import torch

    return int(torch.get_num_threads())


def softened(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(n, classes) float32: the softmax of the same logits divided by a temperature."""
    raised = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    result: np.ndarray = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def distillation_loss(
    logits: Any, gold: Any, wanted: Any, label_weight: Any, temperature: float
) -> Any:
    """The loss of Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network".

    The mean over rows of a * CE(label) + (1 - a) * T^2 * KL(teacher at T || student at T).

    Args:
        logits: (n, classes) tensor of the student.
        gold: (n,) tensor of labels.
        wanted: (n, classes) tensor of the teacher's probabilities, softened by the temperature.
        label_weight: The a of all rows, or a (n,) tensor of each row's.
        temperature: T.
    """
    import torch.nn.functional as F

    soft = F.log_softmax(logits / temperature, dim=1)
    distance = F.kl_div(soft, wanted, reduction="none").sum(dim=1) * temperature**2
    right = F.cross_entropy(logits, gold, reduction="none")
    return (label_weight * right + (1 - label_weight) * distance).mean()


def _rows(task: Task, model: Model, step: str) -> tuple[Dataset, int]:
    """Training rows and unlabelled ones in one data set, and how many have labels."""
    extra = task.unlabelled
    if extra is None or not len(extra):
        data = training_rows(task, model, step)
        return data, len(data)
    saw(len(extra))
    zeros = np.zeros(len(extra), np.int64)
    if task.train is None or not len(task.train):
        return _as_unlabelled(extra, zeros, task), 0
    train = training_rows(task, model, step)
    if train.inputs.shape[1:] != extra.inputs.shape[1:] or train.inputs.dtype != extra.inputs.dtype:
        raise ModelError(
            f"step '{step}': unlabelled rows are {extra.inputs.shape[1:]} {extra.inputs.dtype},"
            f" training rows {train.inputs.shape[1:]} {train.inputs.dtype}",
            where=extra.name,
            fix="name the same input columns for both",
        )
    return Dataset(
        name=train.name,
        ids=np.concatenate([train.ids, extra.ids]),
        inputs=np.concatenate([train.inputs, extra.inputs]),
        labels=np.concatenate([train.labels, zeros]),
        classes=train.classes,
    ), len(train)


def _as_unlabelled(extra: Dataset, zeros: np.ndarray, task: Task) -> Dataset:
    return Dataset(
        name=extra.name, ids=extra.ids, inputs=extra.inputs, labels=zeros, classes=task.classes
    )


def _stored(scores: Scores, data: Dataset, labelled: int) -> tuple[np.ndarray, np.ndarray]:
    """What a file says of the rows, and which it covers: all, or all but the training rows."""
    covered: np.ndarray = np.ones(len(data), dtype=bool)
    if labelled < len(data) and not scores.known(data.ids[:labelled]).any():
        covered[:labelled] = False
    soft = one_hot(data)
    soft[covered] = scores.of(data.ids[covered])
    return soft, covered
