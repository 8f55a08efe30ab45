"""Reads surefoot.toml into a typed `Plan`."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from surefoot.core.errors import PlanError
from surefoot.core.model import INPUTS, Recipe, StepCall
from surefoot.core.plan import CandidatePlan, ModelPlan, Plan, Table, TaskPlan
from surefoot.plan.calls import call_problems, files_at, step_call, unlabelled
from surefoot.plan.envelope import envelope_problems
from surefoot.plan.load import load_problems
from surefoot.plan.problems import (
    budget_problems,
    candidate_problems,
    check_problems,
    evaluate_problems,
    model_format,
    path_problems,
    shift_problems,
    task_problems,
)
from surefoot.plan.search import search_problems
from surefoot.plan.serve import serve_problems
from surefoot.plan.typed import File, hidden, typed

SKLEARN = ("skops", "pickle")
NO_CANDIDATE = "candidate: no standard one fits a scikit-learn model of texts; name [[candidate]]"


def read_plan(path: Path | str, overrides: Iterable[str] = (), *, judged: bool = True) -> Plan:
    """Read and check a plan.

    Args:
        path: The TOML file.
        overrides: `table.key=value` settings that win over the file; values are TOML.
        judged: Whether there must be a budget to judge by.

    Raises:
        PlanError: Anything is wrong with it; the error lists every problem found.
    """
    path = Path(path)
    text = _text(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"not valid TOML: {error}", where=str(path)) from error
    overrides = tuple(overrides)
    found = [problem for override in overrides for problem in set_key(tables, override)]
    file, broken = typed(tables)
    folder = path.resolve().parent
    recipes = [_recipe(c, folder) for c in file.candidate]
    if not recipes and file.search is None:
        recipes = _standard(file, folder)
    checked = [
        *task_problems(file),
        *path_problems(file, folder),
        *evaluate_problems(file.evaluate),
        *shift_problems(file),
        *envelope_problems(file),
        *check_problems(file),
        *candidate_problems(file, folder),
        *([] if recipes or file.search else [NO_CANDIDATE]),
        *budget_problems(file, needed=judged),
        *search_problems(file, folder),
        *serve_problems(file),
        *load_problems(file, [recipe.name for recipe in recipes], broken),
    ]
    # What stands in for a broken value has problems of its own, which nobody needs to read.
    found += broken.values()
    found += [problem for problem in checked if not hidden(problem, broken)]
    if found:
        raise PlanError(dict.fromkeys(found), where=str(path))
    return Plan(
        path=path.resolve(),
        task=task_at(file.task, folder),
        model=model_at(file.model, folder),
        recipes=tuple(recipes),
        runtimes={c.name: c.runtime for c in file.candidate},
        evaluate=file.evaluate,
        shifts=tuple(map(step_call, file.evaluate.shifts)),
        checks=tuple(map(step_call, file.evaluate.checks)),
        budgets=tuple(file.budget),
        search=file.search,
        search_steps=tuple(
            files_at(step_call(call), folder) for call in (file.search.steps if file.search else ())
        ),
        serve=file.serve,
        text=text + "".join(f"\n# overridden: --set {override}\n" for override in overrides),
    )


def step(use: str, **options: Any) -> StepCall:  # size: the options are those of the plugin
    """One step of a recipe with its options, checked as those of a plan are.

    Raises:
        PlanError: No such step, or an option that it does not take.
    """
    found = list(call_problems("step", {"use": use, **options}, use))
    if found:
        raise PlanError(found)
    return step_call({"use": use, **options})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        here = [str(p) for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        fix = (
            f"here are: {', '.join(sorted(here))}"
            if here
            else "`surefoot init MODEL DATA` writes one"
        )
        raise PlanError(f"no such plan; {fix}", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"cannot be read: {error}", where=str(path)) from error


def set_key(tables: Table, override: str) -> Iterator[str]:
    """Change one value; yields what is wrong with the override, if anything is."""
    key, equals, value = override.partition("=")
    *parents, last = re.findall(r"[^.\[\]\s]+", key) or [""]
    if not equals or not last:
        yield f"--set '{override}': is not of the form table.key=value"
        return
    place: Any = tables
    for parent in parents:
        if isinstance(place, dict):
            place = place.setdefault(parent, {})
        else:
            place = place[int(parent)] if _is_position(parent, place) else None
    if not isinstance(place, dict) and not _is_position(last, place):
        yield f"--set '{override}': '{key}' does not name a key of a table"
        return
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    place[last if isinstance(place, dict) else int(last)] = parsed


def _is_position(part: str, place: Any) -> bool:
    return isinstance(place, list) and part.isdecimal() and int(part) < len(place)


def _recipe(candidate: CandidatePlan, folder: Path) -> Recipe:
    calls = [c for c in candidate.steps if isinstance(c, str) or isinstance(c.get("use"), str)]
    steps = tuple(files_at(step_call(call), folder) for call in calls)
    return Recipe(name=candidate.name, steps=steps, seed=candidate.seed)


def _standard(file: File, folder: Path) -> list[Recipe]:
    """The candidates of a plan that names none: what is quick to make and often enough."""
    given = model_format(folder / file.model.path) if file.model.path else None
    export = [] if given == "onnx" else [step_call("export_onnx")]
    recipes, quantize = {"onnx": export} if export else {}, {"use": "quantize_dynamic"}
    if given in SKLEARN and INPUTS[file.task.kind] == "text":
        return []  # what takes raw texts cannot be exported, and has no tokens to learn from
    if given not in SKLEARN:
        recipes |= {
            "int8-per-tensor": [*export, step_call({**quantize, "per_channel": False})],
            "int8-per-channel": [*export, step_call({**quantize, "per_channel": True})],
        }
    if file.task.kind == "text-classification" and file.task.train:
        recipes["static"] = [step_call("distill_static")]
    if INPUTS[file.task.kind] == "numeric" and file.task.train:
        recipes["trees"] = [step_call("distill_trees")]
    return [Recipe(name=name, steps=tuple(steps)) for name, steps in recipes.items()]


def task_at(task: TaskPlan, folder: Path) -> TaskPlan:
    """The task with paths from a folder.

    Args:
        task: As the plan file has it.
        folder: Where its relative paths start.
    """

    def at(call: Table) -> Table:
        return {**call, "path": str(folder / call["path"])} if "path" in call else call

    return dataclasses.replace(
        task,
        train=task.train and at(task.train),
        selection=task.selection and at(task.selection),
        calibration=task.calibration and at(task.calibration),
        out_of_scope=task.out_of_scope and at(unlabelled(task.out_of_scope)),
        unlabelled=task.unlabelled and at(unlabelled(task.unlabelled)),
        test={name: at(call) for name, call in task.test.items()},
    )


def model_at(model: ModelPlan, folder: Path) -> ModelPlan:
    """The model with paths from a folder.

    Args:
        model: As the plan file has it.
        folder: Where its relative paths start.
    """
    tokenizer = str(folder / model.tokenizer) if model.tokenizer else None
    return dataclasses.replace(model, path=str(folder / model.path), tokenizer=tokenizer)
