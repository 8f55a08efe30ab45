"""What is wrong with a plan beyond its types, each problem as `key: what; fix`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from surefoot import plugins
from surefoot.core.budget import TIMED, contradictions, problems
from surefoot.core.errors import nearest
from surefoot.core.model import BASELINE, INPUTS
from surefoot.core.parts import CLASS, is_part, part_name
from surefoot.core.plan import (
    LABEL_LESS,
    OWN_SETS,
    EvaluatePlan,
    SliceSearchPlan,
    Table,
    TaskPlan,
)
from surefoot.plan.calls import call_problems, file_problems, name_problems, named, unlabelled
from surefoot.plan.numbers import CALL, DAY, ROWS, SEEDS, WORKERS, count_problems, positive_problems
from surefoot.plan.order import order_problems
from surefoot.plan.typed import File

HARDEST = 5.0
"""The top of the severity axis of shifts."""
DEEPEST = 3
"""The most conditions that a slice which was found may join."""
NAME = re.compile(r"\w[\w .,+=-]{0,99}")
"""What a candidate or a test set may be called: its name becomes that of a file."""


def _sources(task: TaskPlan) -> dict[str, Table]:
    """Every source call of a task by its key in the file."""
    own = {name: getattr(task, name) for name in OWN_SETS}
    own |= {name: own[name] and unlabelled(own[name]) for name in LABEL_LESS}
    own |= {f"test.{name}": call for name, call in task.test.items()}
    return {f"task.{name}": call for name, call in own.items() if call is not None}


def path_problems(file: File, folder: Path) -> Iterator[str]:
    """Files that are not there, with the nearest name beside each."""
    named = {f"{key}.path": call.get("path") for key, call in _sources(file.task).items()}
    named |= {"model.path": file.model.path, "model.tokenizer": file.model.tokenizer}
    for key, name in named.items():
        path = folder / name if isinstance(name, str) else folder
        if not path.exists():
            missing = next(p for p in (*reversed(path.parents), path) if not p.exists())
            beside = missing.parent.iterdir() if missing.parent.is_dir() else ()
            fix = nearest(missing.name, (p.name for p in beside))
            yield f"{key}: no such file {missing}; {fix}"


def task_problems(file: File) -> Iterator[str]:
    """Sources, names of test sets, metric and runtime."""
    task = file.task
    for key, call in _sources(task).items():
        yield from call_problems("source", call, key)
        if "by" in call and not key.startswith("task.test."):
            yield f"{key}.by: only a test set is split into parts; leave it out"
    for name in task.test:
        yield from _called(name, f"task.test.{name}", OWN_SETS)
        yield from _part_problems(name, task)
    if not task.test:
        yield 'task.test: no test set; add test.main = { use = "csv", path = … }'
    yield from name_problems("metric", task.metric, "task.metric")
    if file.model.runtime:
        yield from name_problems("runtime", file.model.runtime, "model.runtime")


def shift_problems(file: File) -> Iterator[str]:
    """Shifts that do not fit the inputs, are given twice, or are too severe."""
    wanted, seen = INPUTS[file.task.kind], set()
    for i, call in enumerate(file.evaluate.shifts):
        key, (use, table) = f"evaluate.shifts[{i}]", named(call)
        found = list(call_problems("shift", table, key))
        yield from found
        if found:
            continue
        severity = table.get("severity", 1.0)
        if not 0 < severity <= HARDEST:
            yield f"{key}.severity: must be above 0 and at most {HARDEST:g}, found {severity}"
        takes = plugins.module("shift", use).INPUT
        if takes != wanted:
            yield f"{key}.use: '{use}' shifts {takes} inputs, and the task's are {wanted}"
        if (use, severity) in seen:
            yield f"{key}: '{use}' of severity {severity:g} is given twice; leave one out"
        seen.add((use, severity))


def check_problems(file: File) -> Iterator[str]:
    """Checks that do not fit the inputs, are given twice, or need data that the plan lacks."""
    kind, seen = INPUTS[file.task.kind], set()
    for i, call in enumerate(file.evaluate.checks):
        key, (use, table) = f"evaluate.checks[{i}]", named(call)
        found = list(call_problems("check", table, key))
        yield from found
        if found:
            continue
        module = plugins.module("check", use)
        if kind not in module.INPUTS:
            takes = " or ".join(module.INPUTS)
            yield f"{key}.use: '{use}' checks {takes} inputs, and the task's are {kind}"
        if getattr(module, "NEEDS_TRAIN", False) and file.task.train is None:
            yield f"{key}.use: '{use}' asks training rows too; name them as task.train"
        if use in seen:
            yield f"{key}: '{use}' is given twice; leave one out"
        seen.add(use)
        asked = table.get("dataset")
        if asked is not None and asked not in file.task.test:
            yield f"{key}.dataset: no test set '{asked}'; {nearest(asked, file.task.test)}"
        for name, value in table.items():
            if isinstance(value, int) and not isinstance(value, bool):
                yield from count_problems(f"{key}.{name}", value, CALL)


def evaluate_problems(evaluate: EvaluatePlan) -> Iterator[str]:
    """Counts and seconds that are out of range."""
    latency = evaluate.latency
    counts = {
        "batch": (evaluate.batch, CALL),
        "latency.calls": (latency.calls, ROWS),
        "seeds": (evaluate.seeds, SEEDS),
        "latency.threads": (latency.threads, WORKERS),
        "check_rows": (evaluate.check_rows, ROWS),
        **{f"latency.batch[{i}]": (batch, CALL) for i, batch in enumerate(latency.batch)},
    }
    counts |= {} if evaluate.processes is None else {"processes": (evaluate.processes, WORKERS)}
    for key, (value, most) in counts.items():
        yield from count_problems(f"evaluate.{key}", value, most)
    if not latency.batch:
        yield "evaluate.latency.batch: empty; give the rows of a call, for example batch = [1]"
    yield from positive_problems("evaluate.latency.seconds", latency.seconds, DAY)
    yield from _slice_problems(evaluate)


def _slice_problems(evaluate: EvaluatePlan) -> Iterator[str]:
    """Names that class slices take, and options of the search for slices."""
    for name in evaluate.slices if evaluate.class_slices else ():
        if name.startswith(CLASS):
            yield f"evaluate.slices.{name}: class_slices gives such names; choose another"
    if isinstance(evaluate.find_slices, bool):
        return
    key, known = "evaluate.find_slices", [f.name for f in dataclasses.fields(SliceSearchPlan)]
    for name, value in evaluate.find_slices.items():
        if name not in known:
            yield f"{key}.{name}: unknown key; {nearest(name, known)}"
        elif type(value) is not int or value < 1:
            yield f"{key}.{name}: should be a whole number of at least 1, found {value!r}"
        else:
            most = DEEPEST if name == "depth" else ROWS
            yield from count_problems(f"{key}.{name}", value, most)


def candidate_problems(file: File, folder: Path) -> Iterator[str]:
    """Names, steps and their order, and runtimes of candidates."""
    names = [candidate.name for candidate in file.candidate]
    given = model_format(folder / file.model.path) if file.model.path else None
    for i, candidate in enumerate(file.candidate):
        key = f"candidate[{i}]"
        yield from _called(candidate.name, f"{key}.name", (BASELINE, *names[:i]))
        if candidate.runtime:
            yield from name_problems("runtime", candidate.runtime, f"{key}.runtime")
        unknown: list[str] = []
        for j, call in enumerate(candidate.steps):
            table = {"use": call} if isinstance(call, str) else call
            place = f"{key}.steps[{j}]"
            wrong = [*call_problems("step", table, place)]
            unknown += wrong or file_problems(table, place, folder)
        yield from unknown or order_problems(candidate, key, given)


def _called(name: str, key: str, taken: Sequence[str]) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{key}: '{name}' becomes a file name; use letters, digits, blanks and . , + = _ -"
    if name in taken:
        yield f"{key}: '{name}' is taken; choose another"


def _is_list(check: str) -> bool:
    """Whether a check asks a fixed list, so that its rate is read off."""
    return bool(getattr(plugins.module("check", check), "EXACT", False))


def budget_problems(file: File, *, needed: bool = True) -> Iterator[str]:
    """Budgets on what is not measured, and budgets that contradict each other."""
    for i, budget in enumerate(file.budget):
        key = f"budget[{i}]"
        metrics, checks = plugins.names("metric"), [named(c)[0] for c in file.evaluate.checks]
        if budget.quantity in plugins.names("check") and budget.quantity not in checks:
            yield f"{key}.quantity: add '{budget.quantity}' to evaluate.checks, which measures it"
            continue
        yield from (f"{key}.{problem}" for problem in problems(budget, metrics, checks))
        if budget.at_most == 0 and budget.quantity in checks and not _is_list(budget.quantity):
            yield f"{key}.at_most: no number of rows shows a rate of 0; give 0.005, for example"
        some = file.evaluate.slices or file.evaluate.class_slices
        slices = {"*": "", **file.evaluate.slices} if some else {}
        shifts = [name for name, *_ in map(named, file.evaluate.shifts)]
        shifts = ["*", *shifts] if shifts else []
        places = (("dataset", file.task.test), ("slice", slices), ("shift", shifts))
        for what, names in places:
            name = getattr(budget, what)
            if name is not None and name not in names and not _known_later(file, what, name):
                yield f"{key}.{what}: no {what} called '{name}'; {nearest(name, names)}"
        batches = file.evaluate.latency.batch
        if budget.quantity in TIMED and not budget.load and budget.batch not in batches:
            yield f"{key}.batch: {budget.batch} is not one of evaluate.latency.batch, {batches}"
    for i, j in contradictions(file.budget):
        yield f"budget[{j}]: contradicts budget[{i}]: no {file.budget[j].quantity} can keep both"
    if needed and not file.budget:
        yield "budget: none, so there is nothing to judge; add [[budget]] with quantity and a limit"


def _part_problems(name: str, task: TaskPlan) -> Iterator[str]:
    """A name that reads like that of a part of another test set."""
    split = "by" in task.test[name]
    for other in task.test:
        if is_part(other, name) or (split and name.startswith(f"{other} ")):
            yield f"task.test.{name}: reads like a part of '{other}'; choose another name"


def _known_later(file: File, what: str, name: str) -> bool:
    """Whether only the data tell if there is such a place: a class, or a part of a test set."""
    if what == "slice":
        return file.evaluate.class_slices and name.startswith(CLASS)
    splits = [(test, str(call["by"])) for test, call in file.task.test.items() if "by" in call]
    return what == "dataset" and any(name.startswith(part_name(*each, "")) for each in splits)


def model_format(path: Path) -> str | None:
    """The format of the user's model, as far as its name tells."""
    if path.is_dir():
        return "huggingface"
    formats = plugins.names("format")
    suffix = path.suffix.lower()
    fitting = (f for f in formats if suffix in plugins.module("format", f).SUFFIXES)
    return next(fitting, None)
