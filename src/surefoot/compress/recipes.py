"""Runs recipes: the baseline in, candidates out, each step kept by the hash of its inputs."""

from __future__ import annotations

import inspect
import json
import os
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot import plugins
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Cost, Model, Recipe, StepCall
from surefoot.core.progress import Progress, Silent
from surefoot.models import add_golden, default_runtime, read_model
from surefoot.store import Store

GOLDEN_ROWS = 8


def compress(
    baseline: Model,
    recipe: Recipe,
    task: Task,
    store: Store,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> Candidate:
    """Make one candidate from the baseline; steps that the store holds are not run again.

    Args:
        baseline: The model that the recipe starts from.
        recipe: Its steps.
        task: What the steps may learn from.
        store: Where models are kept.
        runtime: What runs the candidate; found from its format by default.
        progress: Told of every step.

    Raises:
        ModelError: A step cannot work on the model that it is given.
    """
    watch, model, cost = progress or Silent(), baseline, Cost()
    watch.start(f"making {recipe.name}", len(recipe.steps))
    for call in recipe.steps:
        model, spent = _step(model, call, recipe.seed, task, store)
        cost = Cost(wall_s=cost.wall_s + spent.wall_s, cpu_s=cost.cpu_s + spent.cpu_s)
        watch.advance()
    return Candidate(
        name=recipe.name,
        model=model,
        runtime=runtime or default_runtime(model.format),
        recipe=recipe,
        cost=cost,
    )


def _step(model: Model, call: StepCall, seed: int, task: Task, store: Store) -> tuple[Model, Cost]:
    options = dict(call.options)
    function = plugins.find("step", call.use)
    if "seed" in inspect.signature(function).parameters:
        options.setdefault("seed", seed)
    _check_format(model, call)
    inputs: Mapping[str, Any] = {
        "model": model.fingerprint,
        "step": call.use,
        "options": options,
        "version": plugins.version("step", call.use),
        "train": task.train and task.train.fingerprint,
        "selection": task.selection and task.selection.fingerprint,
        "classes": task.classes,
    }

    def write(folder: Path) -> None:
        started, used = time.perf_counter(), _cpu_seconds()
        made = function(model, task, folder, **options)
        add_golden(made, default_runtime(made.format), _sample(task))
        spent = [time.perf_counter() - started, _cpu_seconds() - used]
        (folder / ".cost.json").write_text(json.dumps(spent))

    folder = store.make("models", inputs, write)
    wall, cpu = json.loads((folder / ".cost.json").read_text())
    return read_model(folder), Cost(wall_s=wall, cpu_s=cpu)


def _check_format(model: Model, call: StepCall) -> None:
    needs: str | Sequence[str] = getattr(plugins.module("step", call.use), "NEEDS", ())
    needs = (needs,) if isinstance(needs, str) else needs
    if needs and model.format not in needs:
        raise ModelError(
            f"step '{call.use}' needs {' or '.join(needs)}, but is given {model.format}",
            where=model.name,
            fix="put export_onnx before it" if "onnx" in needs else None,
        )


def _sample(task: Task) -> Any:
    source = task.train or next(iter(task.test.values()))
    return source.inputs[:GOLDEN_ROWS]


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(os.times()[:2]) + children.ru_utime + children.ru_stime
