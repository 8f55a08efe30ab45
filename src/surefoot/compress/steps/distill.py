"""Trains a smaller model to give its baseline's answers, with labels or without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surefoot.compress.steps._device import Device, pick_device
from surefoot.compress.steps._fit import Ask, History, Schedule, fit
from surefoot.compress.steps._hidden import Kind, open_hidden
from surefoot.compress.steps._modules import open_module, save_module
from surefoot.compress.steps._targets import Targets, aligned, threads, training_targets
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.hashing import hash_file
from surefoot.core.model import Model
from surefoot.models import open_model

NEEDS = ("huggingface", "pt2")
GIVES = None
RECORD = "distillation.json"


def distill(
    model: Model,
    task: Task,
    folder: Path,
    *,
    teacher: Model,
    epochs: int = 5,
    learning_rate: float = 1e-4,
    batch: int = 32,
    alpha: float = 0.5,
    temperature: float = 2.0,
    hidden: Kind = "none",
    augment: bool = False,
    outputs: Path | None = None,
    device: Device = "auto",
    seed: int = 0,
) -> Model:
    """Trains a smaller model to give its baseline's answers, with labels or without.

    Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network". A tenth of the
    rows is held out to choose the epoch whose weights are kept; `distillation.json` says which it
    was. Rows of `task.unlabelled` are learnt from the teacher alone. On one machine a seed gives
    one model.

    Args:
        model: The student: a model that was pruned, or whose layers were dropped.
        task: Gives training rows, unlabelled rows, or both.
        folder: Where the new model goes.
        teacher: The baseline, of any format.
        epochs: Times that every row is seen, at most.
        learning_rate: The highest step size of AdamW; it rises and falls once.
        batch: Rows per step.
        alpha: Weight of the labels, 0 to 1; the teacher's probabilities have the rest.
        temperature: Softens the probabilities that the student imitates.
        hidden: Hold hidden states of transformers against the teacher's as well: those of all
            layers (`states`), or how the last layer's tokens relate (`relations`).
        augment: Mirror and move images at random, and ask the teacher about what comes of it; not
            for digits or letters, which a mirror makes others.
        outputs: A file of the teacher's scores by row id (csv, jsonl or parquet), which any model
            may have written; the baseline is then not asked.
        device: Where to train; `auto` takes a CUDA device where there is one.
        seed: What held-out rows, the order of rows and drop-out are drawn from.

    Raises:
        ModelError: No rows to learn from, classes that differ, a file of scores that does not fit,
            an option out of its range, or a loss that is not finite.
    """
    schedule = Schedule(
        step="distill",
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        temperature=temperature,
        seed=seed,
    )
    _check(schedule, alpha)
    _check_augment(model, augment, outputs)
    where = pick_device(device)
    targets = training_targets(
        task, model, teacher, "distill", label_weight=alpha, outputs=outputs and Path(outputs)
    )
    student = open_module(model)
    beside = open_hidden(hidden, student, teacher, "distill")
    with _asked(teacher, model, augment) as ask:
        history = fit(student, targets, schedule, where, hidden=beside, ask=ask)
    source = hash_file(Path(outputs)) if outputs else teacher.fingerprint
    _record(folder, targets, history, source)
    return save_module(student, folder, name="distill", inputs=targets.data.inputs)


@contextmanager
def _asked(teacher: Model, student: Model, augment: bool) -> Iterator[Ask | None]:
    """What gives the teacher's probabilities for images that are made during the training."""
    if not augment:
        yield None
        return
    order = aligned(teacher, student, "distill")
    with open_model(teacher, threads=threads()) as predict:
        yield lambda images: predict(images)[:, order]


def _record(folder: Path, targets: Targets, history: History, source: str) -> None:
    """Leave beside the weights how they came about."""
    record: dict[str, Any] = {
        "teacher": source,
        "rows": len(targets),
        "labelled": targets.labelled,
        **asdict(history),
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def _check(schedule: Schedule, alpha: float) -> None:
    for name, least in (("epochs", 1), ("batch", 2)):
        if getattr(schedule, name) < least:
            raise ModelError(
                f"step 'distill': {name} is {getattr(schedule, name)}, must be at least {least}"
            )
    if not (schedule.learning_rate > 0 and schedule.temperature > 0 and 0 <= alpha <= 1):
        raise ModelError(
            f"step 'distill': learning_rate is {schedule.learning_rate}, temperature"
            f" {schedule.temperature}, alpha {alpha}",
            fix="the first two must be above 0, the third from 0 to 1",
        )


def _check_augment(model: Model, augment: bool, outputs: Path | None) -> None:
    if augment and model.signature.input != "image":
        raise ModelError(
            f"step 'distill': augment changes images, and this model takes {model.signature.input}",
            where=model.name,
            fix="leave augment out",
        )
    if augment and outputs:
        raise ModelError(
            "step 'distill': augment asks the teacher about changed images, of which a file of"
            " scores knows nothing",
            where=str(outputs),
            fix="leave one of the two out",
        )
