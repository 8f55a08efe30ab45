"""Reads surefoot.toml into a typed `Plan`, and says everything that is wrong with it at once."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot import plugins
from surefoot.core.budget import TIMED, contradictions, problems
from surefoot.core.errors import PlanError, PluginError, nearest
from surefoot.core.evidence import Budget
from surefoot.core.model import INPUTS, Recipe, StepCall
from surefoot.core.plan import (
    CandidatePlan,
    EvaluatePlan,
    LatencyPlan,
    ModelPlan,
    Plan,
    Table,
    TaskPlan,
)

HARDEST = 5.0
"""The top of the severity axis of shifts."""
NAME = re.compile(r"\w[\w .,+=-]{0,99}")
"""What a candidate or a test set may be called: its name becomes that of a file."""

Place = tuple[str | int, ...]
"""The way to a value of the file, for example ("budget", 0, "level")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The tables of a plan file, before anything is looked up."""

    task: TaskPlan
    model: ModelPlan
    budget: list[Budget] = field(default_factory=list)
    candidate: list[CandidatePlan] = field(default_factory=list)
    evaluate: EvaluatePlan = field(default_factory=EvaluatePlan)


def read_plan(path: Path | str, overrides: Iterable[str] = ()) -> Plan:
    """Read and check a plan.

    Args:
        path: The TOML file.
        overrides: `table.key=value` settings that win over the file; values are TOML.

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
    found = [problem for override in overrides for problem in _set(tables, override)]
    file, broken = _typed(tables)
    folder = path.resolve().parent
    recipes = [_recipe(c) for c in file.candidate] or _standard(file, folder)
    checked = [
        *_task_problems(file),
        *_path_problems(file, folder),
        *_evaluate_problems(file.evaluate),
        *_shift_problems(file),
        *_candidate_problems(file, folder),
        *_budget_problems(file),
    ]
    # What stands in for a broken value has problems of its own, which nobody needs to read.
    found += broken.values()
    found += [problem for problem in checked if not problem.startswith(tuple(broken))]
    if found:
        raise PlanError(dict.fromkeys(found), where=str(path))
    return Plan(
        path=path.resolve(),
        task=_task_at(file.task, folder),
        model=_model_at(file.model, folder),
        recipes=tuple(recipes),
        runtimes={c.name: c.runtime for c in file.candidate},
        evaluate=file.evaluate,
        shifts=tuple(map(_step_call, file.evaluate.shifts)),
        budgets=tuple(file.budget),
        text=text + "".join(f"\n# overridden: --set {override}\n" for override in overrides),
    )


def step(use: str, **options: Any) -> StepCall:  # size: the options are those of the plugin
    """One step of a recipe with its options, checked as those of a plan are.

    Raises:
        PlanError: No such step, or an option that it does not take.
    """
    found = list(_call_problems("step", {"use": use, **options}, use))
    if found:
        raise PlanError(found)
    return _step_call({"use": use, **options})


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


def _set(tables: Table, override: str) -> Iterator[str]:
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


def _typed(tables: Table) -> tuple[_File, dict[str, str]]:
    """The file with every broken value made harmless, and what was wrong with each by its key.

    A broken value does not hide what is wrong elsewhere: an unknown key is taken out, anything else
    gives way to an empty value, and the file is read again.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    for kind in (TaskPlan, ModelPlan, CandidatePlan, LatencyPlan, EvaluatePlan, Budget, _File):
        with_config(ConfigDict(extra="forbid", strict=True))(kind)
    adapter, broken = TypeAdapter(_File), dict[str, str]()
    while True:
        try:
            # As JSON, since strict Python data would have to be of these classes already.
            return adapter.validate_json(json.dumps(tables, default=str)), broken
        except ValidationError as errors:
            for error in errors.errors():
                # Below a step stand the names of the types that it could have had.
                place = error["loc"][:4] if error["loc"][2:3] == ("steps",) else error["loc"]
                place = place[:3] if place[:2] == ("evaluate", "shifts") else place
                if not _dotted(place).startswith(tuple(broken)):
                    broken[_dotted(place)] = _explain(place, error["type"], error["input"])
                _mend(tables, place)


def _explain(place: Place, problem: str, found: Any) -> str:
    key, kind = _dotted(place), _kind_at(place)
    if kind is None:
        return f"{key}: unknown key; {nearest(str(place[-1]), _keys(_kind_at(place[:-1])))}"
    if problem == "missing":
        return f"{key}: missing"
    if problem == "literal_error":
        return f"{key}: '{found}' is not allowed; {nearest(str(found), typing.get_args(kind))}"
    return f"{key}: should be {plugins.in_words(kind)}, found {found!r}"


def _mend(tables: Any, place: Place) -> None:
    kind = _bare(_kind_at(place))
    for part in place[:-1]:
        tables = tables[part]
    if kind is None:
        tables.pop(place[-1], None)
    elif typing.get_origin(kind) is typing.Literal:
        tables[place[-1]] = typing.get_args(kind)[0]
    else:
        tables[place[-1]] = {} if dataclasses.is_dataclass(kind) else kind()


def _dotted(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def _kind_at(place: Place) -> Any:
    """The annotation of a value of the file; None where no key of that name is known."""
    kind: Any = _File
    for part in place:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind).get(str(part))
        else:
            kind = typing.get_args(_bare(kind))[-1]
    return kind


def _bare(kind: Any) -> Any:
    """`T` of `T | None` and of `T | Other`."""
    return typing.get_args(kind)[0] if isinstance(kind, types.UnionType) else kind


def _keys(kind: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]


def _step_call(call: str | Table) -> StepCall:
    table = {"use": call} if isinstance(call, str) else dict(call)
    use = table.pop("use")
    return StepCall(use=use, options=tuple(sorted((k, _frozen(v)) for k, v in table.items())))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def _recipe(candidate: CandidatePlan) -> Recipe:
    calls = [c for c in candidate.steps if isinstance(c, str) or isinstance(c.get("use"), str)]
    return Recipe(name=candidate.name, steps=tuple(map(_step_call, calls)), seed=candidate.seed)


def _standard(file: _File, folder: Path) -> list[Recipe]:
    """The candidates of a plan that names none: what is quick to make and often enough."""
    given = _model_format(folder / file.model.path) if file.model.path else None
    export = [] if given == "onnx" else [_step_call("export_onnx")]
    recipes, quantize = {"onnx": export} if export else {}, {"use": "quantize_dynamic"}
    if given not in ("skops", "pickle"):
        recipes |= {
            "int8-per-tensor": [*export, _step_call({**quantize, "per_channel": False})],
            "int8-per-channel": [*export, _step_call({**quantize, "per_channel": True})],
        }
    if file.task.kind == "text-classification" and file.task.train:
        recipes["static"] = [_step_call("distill_static")]
    return [Recipe(name=name, steps=tuple(steps)) for name, steps in recipes.items()]


def _sources(task: TaskPlan) -> dict[str, Table]:
    """Every source call of a task by its key in the file."""
    own = {name: getattr(task, name) for name in ("train", "selection", "calibration")}
    own |= {f"test.{name}": call for name, call in task.test.items()}
    return {f"task.{name}": call for name, call in own.items() if call is not None}


def _path_problems(file: _File, folder: Path) -> Iterator[str]:
    named = {f"{key}.path": call.get("path") for key, call in _sources(file.task).items()}
    named |= {"model.path": file.model.path, "model.tokenizer": file.model.tokenizer}
    for key, name in named.items():
        path = folder / name if isinstance(name, str) else folder
        if not path.exists():
            missing = next(p for p in (*reversed(path.parents), path) if not p.exists())
            beside = missing.parent.iterdir() if missing.parent.is_dir() else ()
            fix = nearest(missing.name, (p.name for p in beside))
            yield f"{key}: no such file {missing}; {fix}"


def _task_problems(file: _File) -> Iterator[str]:
    task = file.task
    for key, call in _sources(task).items():
        yield from _call_problems("source", call, key)
    for name in task.test:
        yield from _called(name, f"task.test.{name}", ("train", "selection", "calibration"))
    if not task.test:
        yield 'task.test: no test set; add test.main = { use = "csv", path = … }'
    yield from _name_problems("metric", task.metric, "task.metric")
    if file.model.runtime:
        yield from _name_problems("runtime", file.model.runtime, "model.runtime")


def _named(call: str | Table) -> tuple[str, Table]:
    """What a call names, and its table."""
    table = {"use": call} if isinstance(call, str) else call
    return str(table.get("use")), table


def _shift_problems(file: _File) -> Iterator[str]:
    wanted, seen = INPUTS[file.task.kind], set()
    for i, call in enumerate(file.evaluate.shifts):
        key, (use, table) = f"evaluate.shifts[{i}]", _named(call)
        found = list(_call_problems("shift", table, key))
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


def _evaluate_problems(evaluate: EvaluatePlan) -> Iterator[str]:
    latency = evaluate.latency
    least = {"batch": evaluate.batch, "latency.calls": latency.calls, "seeds": evaluate.seeds}
    least |= {"latency.threads": latency.threads}
    least |= {f"latency.batch[{i}]": batch for i, batch in enumerate(latency.batch)}
    for key, value in least.items():
        if value < 1:
            yield f"evaluate.{key}: must be at least 1, found {value}"
    if not latency.seconds > 0:
        yield f"evaluate.latency.seconds: must be above 0, found {latency.seconds}"


def _candidate_problems(file: _File, folder: Path) -> Iterator[str]:
    names = [candidate.name for candidate in file.candidate]
    given = _model_format(folder / file.model.path) if file.model.path else None
    for i, candidate in enumerate(file.candidate):
        key = f"candidate[{i}]"
        yield from _called(candidate.name, f"{key}.name", ("baseline", *names[:i]))
        if candidate.runtime:
            yield from _name_problems("runtime", candidate.runtime, f"{key}.runtime")
        unknown: list[str] = []
        for j, call in enumerate(candidate.steps):
            table = {"use": call} if isinstance(call, str) else call
            unknown += _call_problems("step", table, f"{key}.steps[{j}]")
        yield from unknown or _order_problems(candidate, key, given)


def _called(name: str, key: str, taken: Sequence[str]) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{key}: '{name}' becomes a file name; use letters, digits, blanks and . , + = _ -"
    if name in taken:
        yield f"{key}: '{name}' is taken; choose another"


def _name_problems(kind: str, name: str, key: str) -> Iterator[str]:
    known = plugins.names(kind)
    if name not in known:
        yield f"{key}: no {kind} called '{name}'; {nearest(name, known)}"


def _call_problems(kind: str, call: Table, key: str) -> Iterator[str]:
    use = call.get("use")
    if not isinstance(use, str):
        yield f"{key}.use: missing; known: {', '.join(plugins.names(kind))}"
        return
    unknown = list(_name_problems(kind, use, f"{key}.use"))
    yield from unknown
    if unknown:
        return
    try:
        options = dict(plugins.options(kind, use))
    except PluginError as error:
        yield f"{key}.use: {error}"
        return
    for reserved in ("name", "slices") if kind == "source" else ("seed",):
        options.pop(reserved, None)
    for name, value in call.items():
        if name != "use" and name not in options:
            yield f"{key}.{name}: unknown option of {kind} '{use}'; {nearest(name, options)}"
        elif name != "use" and not _fits(value, options[name].type):
            wanted = plugins.in_words(options[name].type)
            yield f"{key}.{name}: should be {wanted}, found {value!r}"
    for name, option in options.items():
        if option.default is inspect.Parameter.empty and name not in call:
            yield f"{key}.{name}: missing; {kind} '{use}' needs it"


def _fits(value: Any, hint: Any) -> bool:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError:
        return False
    return True


def _model_format(path: Path) -> str | None:
    """The format of the user's model, as far as its name tells."""
    if path.is_dir():
        return "huggingface"
    formats = plugins.names("format")
    suffix = path.suffix.lower()
    fitting = (f for f in formats if suffix in plugins.module("format", f).SUFFIXES)
    return next(fitting, None)


def _order_problems(candidate: CandidatePlan, key: str, has: str | None) -> Iterator[str]:
    """Steps whose formats do not fit: each must take what the one before it gives."""
    for j, call in enumerate(candidate.steps):
        use = call if isinstance(call, str) else call["use"]
        module = plugins.module("step", use)
        needs = getattr(module, "NEEDS", ())
        needs = (needs,) if isinstance(needs, str) else needs
        if has is not None and needs and has not in needs:
            hint = "put export_onnx before it" if "onnx" in needs else "put it before the export"
            wanted = " or ".join(needs)
            yield f"{key}.steps[{j}]: '{use}' needs {wanted}, but is given {has}; {hint}"
        has = getattr(module, "GIVES", has)
    runtime = candidate.runtime
    if has and runtime in plugins.names("runtime"):
        runs = plugins.module("runtime", str(runtime)).FORMATS
        if has not in runs:
            yield f"{key}.runtime: '{runtime}' runs {' or '.join(runs)}, but the steps give {has}"


def _budget_problems(file: _File) -> Iterator[str]:
    for i, budget in enumerate(file.budget):
        key = f"budget[{i}]"
        yield from (f"{key}.{problem}" for problem in problems(budget, plugins.names("metric")))
        slices = {"*": "", **file.evaluate.slices} if file.evaluate.slices else {}
        shifts = [name for name, *_ in map(_named, file.evaluate.shifts)]
        shifts = ["*", *shifts] if shifts else []
        places = (("dataset", file.task.test), ("slice", slices), ("shift", shifts))
        for what, names in places:
            name = getattr(budget, what)
            if name is not None and name not in names:
                yield f"{key}.{what}: no {what} called '{name}'; {nearest(name, names)}"
        batches = file.evaluate.latency.batch
        if budget.quantity in TIMED and budget.batch not in batches:
            yield f"{key}.batch: {budget.batch} is not one of evaluate.latency.batch, {batches}"
    for i, j in contradictions(file.budget):
        yield f"budget[{j}]: contradicts budget[{i}]: no {file.budget[j].quantity} can keep both"
    if not file.budget:
        yield "budget: none, so there is nothing to judge; add [[budget]] with quantity and a limit"


def _task_at(task: TaskPlan, folder: Path) -> TaskPlan:
    def at(call: Table) -> Table:
        return {**call, "path": str(folder / call["path"])} if "path" in call else call

    return dataclasses.replace(
        task,
        train=task.train and at(task.train),
        selection=task.selection and at(task.selection),
        calibration=task.calibration and at(task.calibration),
        test={name: at(call) for name, call in task.test.items()},
    )


def _model_at(model: ModelPlan, folder: Path) -> ModelPlan:
    tokenizer = str(folder / model.tokenizer) if model.tokenizer else None
    return dataclasses.replace(model, path=str(folder / model.path), tokenizer=tokenizer)
