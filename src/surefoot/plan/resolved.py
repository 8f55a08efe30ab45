"""Reads a plan back from the `plan.json` of a bundle."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.model import Recipe, StepCall
from surefoot.core.plan import Plan
from surefoot.plan.calls import files_at, step_call
from surefoot.plan.read import model_at, task_at
from surefoot.plan.typed import typed

NAME = "surefoot.toml"


def plan_of(resolved: Mapping[str, Any], folder: Path, text: str) -> Plan:
    """The plan that `Plan.resolved` described, as if its file lay in a folder.

    Nothing is looked up: files that are not there are for whoever reads them to say.

    Args:
        resolved: The content of plan.json.
        folder: Where the plan's relative paths start.
        text: The plan file's own words.

    Raises:
        BundleError: It is not as surefoot writes it.
    """
    try:
        tables = {"budget": resolved["budgets"]}
        tables |= {key: resolved[key] for key in ("task", "model", "evaluate")}
        for key in ("search", "serve"):
            if resolved.get(key):
                tables[key] = resolved[key]
        file, broken = typed(copy.deepcopy(tables))
        if broken:
            raise _odd("; ".join(broken.values()))
        folder = folder.resolve()
        return Plan(
            path=folder / NAME,
            task=task_at(file.task, folder),
            model=model_at(file.model, folder),
            recipes=tuple(_recipe(recipe, folder) for recipe in resolved["recipes"]),
            runtimes=dict(resolved["runtimes"]),
            evaluate=file.evaluate,
            shifts=tuple(map(_call, resolved["shifts"])),
            checks=tuple(map(_call, resolved["checks"])),
            budgets=tuple(file.budget),
            search=file.search,
            search_steps=tuple(files_at(_call(c), folder) for c in resolved["search_steps"]),
            serve=file.serve,
            text=text,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _odd(str(error)) from error


def _odd(what: str) -> BundleError:
    return BundleError(f"plan.json is not as surefoot writes it: {what}", fix="run the plan again")


def _recipe(recipe: Mapping[str, Any], folder: Path) -> Recipe:
    steps = tuple(files_at(_call(call), folder) for call in recipe["steps"])
    return Recipe(name=str(recipe["name"]), steps=steps, seed=int(recipe["seed"]))


def _call(call: Mapping[str, Any]) -> StepCall:
    return step_call({"use": str(call["use"]), **{str(k): v for k, v in call["options"]}})
