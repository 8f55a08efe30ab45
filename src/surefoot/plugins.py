"""Finds plugins: the folder is the registry.

A plugin is a function in a file of the same name. Third parties add theirs through entry points of
the group `surefoot.<kind>`; built-ins take the same look-up. Listing names imports no plugin.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from surefoot.core.errors import PluginError, nearest
from surefoot.core.model import Model

FOLDERS = {
    "step": "compress/steps",
    "metric": "evaluate/metrics",
    "shift": "evaluate/shifts",
    "check": "evaluate/checks",
    "log": "evaluate/logs",
    "format": "models/formats",
    "runtime": "models/runtimes",
    "source": "data/sources",
    "export": "report/exports",
}
_ROOT = Path(__file__).parent
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    Path: "a path",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One keyword argument of a plugin."""

    name: str
    """The keyword."""
    type: Any
    """Its annotation, resolved."""
    default: Any
    """Its default; `inspect.Parameter.empty` when it must be given."""


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of all plugins of a kind, sorted; imports none of them."""
    folder = _ROOT / FOLDERS[kind]
    built_in = {file.stem for file in folder.glob("[a-z]*.py")}
    return tuple(sorted(built_in | {entry.name for entry in _entry_points(kind)}))


@cache
def module(kind: str, name: str) -> types.ModuleType:
    """The module of a plugin.

    Raises:
        PluginError: No plugin of that name, or a library that it needs is not installed.
    """
    if name not in names(kind):
        raise PluginError(f"no {kind} called '{name}'", fix=nearest(name, names(kind)))
    dotted = f"surefoot.{FOLDERS[kind].replace('/', '.')}.{name}"
    if find_spec(dotted) is None:
        dotted = next(e.value.partition(":")[0] for e in _entry_points(kind) if e.name == name)
    try:
        return import_module(dotted)
    except ImportError as error:
        raise PluginError(f"{kind} '{name}' cannot be imported: {error}") from error


def find(kind: str, name: str) -> Callable[..., Any]:
    """The function of a plugin, which has the plugin's own name.

    Raises:
        PluginError: No such plugin, or no function of that name in its file.
    """
    function = getattr(module(kind, name), name, None)
    if function is None:
        raise PluginError(f"{kind} '{name}' has no function '{name}' in its file")
    return typing.cast(Callable[..., Any], function)


def summary(kind: str, name: str) -> str:
    """The first line of a plugin's docstring, read from its source where it is a built-in."""
    file = _ROOT / FOLDERS[kind] / f"{name}.py"
    if not file.exists():
        return (inspect.getdoc(find(kind, name)) or "").partition("\n")[0]
    tree = ast.parse(file.read_text())
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return (ast.get_docstring(functions[0] if functions else tree) or "").partition("\n")[0]


def options(kind: str, name: str) -> Mapping[str, Option]:
    """The options of a plugin: its keyword-only arguments, which are its TOML schema.

    A model is none: a step that names a `teacher` is given the baseline.
    """
    function = inspect.unwrap(find(kind, name))
    hints = typing.get_type_hints(function)
    return {
        parameter.name: Option(
            name=parameter.name, type=hints.get(parameter.name, Any), default=parameter.default
        )
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and hints.get(parameter.name) is not Model
    }


def takes(step: str) -> tuple[str, ...]:
    """The formats of models that a step takes; empty: any."""
    needs: str | Sequence[str] = getattr(module("step", step), "NEEDS", ())
    return (needs,) if isinstance(needs, str) else tuple(needs)


def fits(step: str, format: str) -> bool:
    """Whether a step takes a model of a format."""
    return not takes(step) or format in takes(step)


def gives(step: str, format: str | None) -> str | None:
    """The format that a step gives for one that it is given: most give always the same."""
    return getattr(module("step", step), "GIVES", None) or format


def missing_library(runtime: str) -> tuple[str, str] | None:
    """The library that a runtime says it needs and the extra with it, where it is not there."""
    library, extra = getattr(module("runtime", runtime), "LIBRARY", ("", ""))
    return (library, extra) if library and find_spec(library) is None else None


def files(kind: str, name: str, given: Mapping[str, Any]) -> Mapping[str, str]:
    """The options among those given that name files: whose type is a path."""
    known = options(kind, name)
    return {
        key: value
        for key, value in given.items()
        if key in known
        and Path in (known[key].type, *typing.get_args(known[key].type))
        and isinstance(value, str)
    }


def in_words(hint: Any) -> str:
    """What a value of an annotation is, for people who write TOML: `a whole number`."""
    inner = [in_words(part) for part in typing.get_args(hint) if part is not types.NoneType]
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, typing.get_args(hint)))}"
    if origin in (types.UnionType, typing.Union):
        return " or ".join(inner)
    if origin in (list, tuple):
        return f"a list, each {inner[0]}" if inner else "a list"
    return _WORDS.get(origin, "a table" if is_dataclass(origin) else str(hint))


def version(kind: str, name: str) -> str:
    """A hash of a plugin's source, so that work done by an older one is done again.

    The private files beside it count as its own.
    """
    file = Path(inspect.getfile(module(kind, name)))
    sources = [file, *sorted(file.parent.glob("_*.py"))]
    return hashlib.sha256(b"\n".join(source.read_bytes() for source in sources)).hexdigest()


def foreign(kind: str, name: str) -> bool:
    """Whether a plugin is a third party's."""
    return not (_ROOT / FOLDERS[kind] / f"{name}.py").exists()


def stamped(kind: str, name: str) -> str:
    """A plugin's name for keys of finished work; of a third party's with the hash of its source.

    Our own code is part of the environment, which every key holds anyway.
    """
    return f"{name} {version(kind, name)}" if foreign(kind, name) else name


@cache
def _entry_points(kind: str) -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=f"surefoot.{kind}"))
