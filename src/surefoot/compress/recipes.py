"""Runs recipes: the baseline in, candidates out, each step kept by the hash of its inputs."""

from __future__ import annotations

import inspect
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import ConfirmationSet, Task
from surefoot.core.errors import ModelError
from surefoot.core.hashing import hash_file
from surefoot.core.model import Candidate, Cost, Model, Recipe, StepCall
from surefoot.core.progress import Progress, Silent
from surefoot.data import fingerprint
from surefoot.models import add_golden, default_runtime, read_model
from surefoot.store import Store

GOLDEN_ROWS = 8
UNLABELLED = 64


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
    task = _blind(task)
    watch.start(f"making {recipe.name}", len(recipe.steps))
    for call in recipe.steps:
        model, spent = _step(model, call, recipe.seed, (baseline, task), store)
        cost = Cost(wall_s=cost.wall_s + spent.wall_s, cpu_s=cost.cpu_s + spent.cpu_s)
        watch.advance()
    return Candidate(
        name=recipe.name,
        model=model,
        runtime=runtime or default_runtime(model.format),
        recipe=recipe,
        cost=cost,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of a plan's recipes."""

    candidates: tuple[Candidate, ...]
    """Those that could be made, in the order of the recipes."""
    repeats: Mapping[str, tuple[Candidate, ...]]
    """The same recipe with further seeds, by candidate, where a step draws at random."""
    failed: Mapping[str, str]
    """The recipes that could not be made, with the reason."""


def compress_all(
    baseline: Model,
    recipes: Sequence[tuple[Recipe, str | None]],
    task: Task,
    store: Store,
    *,
    seeds: int = 1,
    progress: Progress | None = None,
) -> Made:
    """Make every candidate that can be made.

    Args:
        baseline: The model that all recipes start from.
        recipes: The recipes, each with the runtime it asks for.
        task: What the steps may learn from.
        store: Where models are kept.
        seeds: How often a recipe with a step that draws at random is made.
        progress: Told of every step, and of what failed.

    Raises:
        ModelError: None of them can be made.
    """
    made: list[Candidate] = []
    repeats: dict[str, tuple[Candidate, ...]] = {}
    failed: dict[str, str] = {}
    for recipe, runtime in recipes:
        again = range(1, seeds if _draws(recipe) else 1)
        try:
            first, *others = (
                compress(baseline, one, task, store, runtime=runtime, progress=progress)
                for one in (recipe, *(_reseeded(recipe, i) for i in again))
            )
        except ModelError as error:
            failed[recipe.name] = str(error)
            (progress or Silent()).note(f"{recipe.name} could not be made: {error}")
            continue
        made.append(first)
        if others:
            repeats[recipe.name] = tuple(others)
    if not made:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ModelError(f"no candidate could be made: {reasons}")
    return Made(candidates=tuple(made), repeats=repeats, failed=failed)


def _draws(recipe: Recipe) -> bool:
    """Whether another seed gives another model."""
    return any(
        "seed" in inspect.signature(plugins.find("step", call.use)).parameters
        and "seed" not in dict(call.options)
        for call in recipe.steps
    )


def _reseeded(recipe: Recipe, more: int) -> Recipe:
    seed = recipe.seed + more
    return replace(recipe, name=f"{recipe.name} (seed {seed})", seed=seed)


def _step(
    model: Model, call: StepCall, seed: int, given: tuple[Model, Task], store: Store
) -> tuple[Model, Cost]:
    options, (baseline, task) = dict(call.options), given
    function = plugins.find("step", call.use)
    takes = inspect.signature(function).parameters
    if "seed" in takes:
        options.setdefault("seed", seed)
    # What a step is given beside its options: no plan can name it.
    teacher: dict[str, Model] = {"teacher": baseline} if "teacher" in takes else {}
    _check_format(model, call)
    files = plugins.files("step", call.use, options)
    inputs: Mapping[str, Any] = {
        "model": model.fingerprint,
        "step": call.use,
        "options": {name: value for name, value in options.items() if name not in files},
        "version": plugins.version("step", call.use),
        "train": task.train and task.train.fingerprint,
        "selection": task.selection and task.selection.fingerprint,
        "unlabelled": [fingerprint(d) for d in task.test.values()],
        "classes": task.classes,
        **{name: other.fingerprint for name, other in teacher.items()},
        # What stands in a file that an option names decides, not what the file is called.
        **({"files": {k: _hashed(path, call) for k, path in files.items()}} if files else {}),
        **({"extra": task.unlabelled.fingerprint} if task.unlabelled else {}),
    }

    def write(folder: Path) -> None:
        started, used = time.perf_counter(), _cpu_seconds()
        made = function(model, task, folder, **options, **teacher)
        add_golden(made, default_runtime(made.format), _sample(task))
        spent = [time.perf_counter() - started, _cpu_seconds() - used]
        (folder / ".cost.json").write_text(json.dumps(spent))

    kept = store.kept("models", inputs, _finished)
    return _finished(store.make("models", inputs, write)) if kept is None else kept


def _hashed(path: str, call: StepCall) -> str:
    if not Path(path).is_file():
        raise ModelError(f"step '{call.use}': no such file", where=path)
    return hash_file(Path(path))


def _finished(folder: Path) -> tuple[Model, Cost]:
    wall, cpu = json.loads((folder / ".cost.json").read_text())
    return read_model(folder), Cost(wall_s=wall, cpu_s=cpu)


def _blind(task: Task) -> Task:
    """The task as steps may see it: no test row, or where there are no others, a few unlabelled.

    Exporting compares outputs on real inputs; the labels all say the first class.
    """
    if task.train is not None or task.selection is not None:
        return replace(task, test={})
    name, first = next(iter(task.test.items()))
    few = first.rows(np.unique(np.linspace(0, len(first) - 1, UNLABELLED).astype(np.int64)))
    hidden = replace(few, labels=np.zeros_like(few.labels), slices={})
    return replace(task, test={name: ConfirmationSet(hidden)})


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
    source = task.train or task.selection or next(iter(task.test.values()))
    return source.inputs[:GOLDEN_ROWS]


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
