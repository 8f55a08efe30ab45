"""The one idiom of a plan: `use = "name"` and that plugin's own options."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path, PurePath
from typing import Any

from surefoot import plugins
from surefoot.core.errors import PluginError, nearest
from surefoot.core.model import StepCall
from surefoot.core.plan import Table


def step_call(call: str | Table) -> StepCall:
    """A call as it was written: a name, or a table with `use` and options."""
    table = {"use": call} if isinstance(call, str) else dict(call)
    use = table.pop("use")
    return StepCall(use=use, options=tuple(sorted((k, _frozen(v)) for k, v in table.items())))


def files_at(call: StepCall, folder: Path) -> StepCall:
    """A step whose options name files from where the plan lies; one that is unknown stays."""
    options = dict(call.options)
    try:
        named = plugins.files("step", call.use, options)
    except PluginError:
        return call
    options |= {key: str(folder / path) for key, path in named.items()}
    return StepCall(use=call.use, options=tuple(sorted(options.items())))


def file_problems(call: Table, key: str, folder: Path) -> Iterator[str]:
    """Options of a step that name files which are not there."""
    for name, path in plugins.files("step", str(call.get("use")), call).items():
        file = folder / path
        if not file.is_file():
            beside = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
            yield f"{key}.{name}: no such file: '{path}'; {nearest(file.name, beside)}"


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


def named(call: str | Table) -> tuple[str, Table]:
    """What a call names, and its table."""
    table = {"use": call} if isinstance(call, str) else call
    return str(table.get("use")), table


def unlabelled(call: Table) -> Table:
    """A call for rows without labels: the inputs stand in where a source asks for a column of them.

    Every source then reads such rows as it reads others, and nobody looks at what they are called.
    """
    columns = call.get("columns")
    stand_in = call.get("text") or (columns[0] if isinstance(columns, list) and columns else None)
    return {"label": stand_in, **call} if stand_in else call


def name_problems(kind: str, name: str, key: str) -> Iterator[str]:
    """A plugin that does not exist."""
    known = plugins.names(kind)
    if name not in known:
        yield f"{key}: no {kind} called '{name}'; {nearest(name, known)}"


def call_problems(kind: str, call: Table, key: str) -> Iterator[str]:
    """A plugin that does not exist, or options that it does not take."""
    use = call.get("use")
    if not isinstance(use, str):
        yield f"{key}.use: missing; known: {', '.join(plugins.names(kind))}"
        return
    unknown = list(name_problems(kind, use, f"{key}.use"))
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
        TypeAdapter(hint).validate_json(json.dumps(value, default=_written), strict=True)
    except (ValidationError, TypeError):
        return False
    return True


def _written(value: Any) -> str:
    """A path or a date as a plan writes it; nothing else that JSON does not know."""
    if isinstance(value, PurePath | date | time):
        return str(value)
    raise TypeError(value)
