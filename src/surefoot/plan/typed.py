"""Turns the tables of a plan file into dataclasses, whatever is wrong with some of them."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from surefoot import plugins
from surefoot.core.errors import nearest
from surefoot.core.evidence import Budget
from surefoot.core.plan import (
    CandidatePlan,
    EndpointPlan,
    EnvelopePlan,
    EvaluatePlan,
    LatencyPlan,
    LoadPlan,
    ModelPlan,
    SearchPlan,
    ServePlan,
    Table,
    TaskPlan,
)

Place = tuple[str | int, ...]
"""The way to a value of the file, for example ("budget", 0, "level")."""


LOADS: Place = ("evaluate", "load")
"""Where loads stand, each a table with a name of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The tables of a plan file, before anything is looked up."""

    task: TaskPlan
    model: ModelPlan
    budget: list[Budget] = field(default_factory=list)
    candidate: list[CandidatePlan] = field(default_factory=list)
    evaluate: EvaluatePlan = field(default_factory=EvaluatePlan)
    search: SearchPlan | None = None
    serve: ServePlan = field(default_factory=ServePlan)


def typed(tables: Table) -> tuple[File, dict[str, str]]:
    """The file with every broken value made harmless, and what was wrong with each by its key.

    A broken value does not hide what is wrong elsewhere: an unknown key is taken out, anything else
    gives way to an empty value, and the file is read again.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

    called = (
        CandidatePlan,
        LatencyPlan,
        LoadPlan,
        EnvelopePlan,
        SearchPlan,
        ServePlan,
        EndpointPlan,
    )
    for kind in (TaskPlan, ModelPlan, *called, EvaluatePlan, Budget, File):
        with_config(ConfigDict(extra="forbid", strict=True))(kind)
    adapter, broken = TypeAdapter(File), dict[str, str]()
    while True:
        try:
            # As JSON, since strict Python data would have to be of these classes already.
            return adapter.validate_json(json.dumps(tables, default=str)), broken
        except ValidationError as errors:
            mended: list[Place] = []
            for error in errors.errors():
                # Below a step stand the names of the types that it could have had.
                place = error["loc"][:4] if error["loc"][2:3] == ("steps",) else error["loc"]
                place = place[:2] if place[1:2] == ("find_slices",) else place
                plugged = ("evaluate", "shifts"), ("evaluate", "checks"), ("search", "steps")
                place = place[:3] if place[:2] in plugged else place
                place = LOADS if _without_name(place, error["input"]) else place
                if not hidden(_dotted(place), broken):
                    broken[_dotted(place)] = _explain(place, error["type"], error["input"])
                # What lay in a value that has just been replaced is there no more.
                if not any(place[: len(whole)] == whole for whole in mended):
                    _mend(tables, place)
                    mended.append(place)


def hidden(text: str, broken: Collection[str]) -> bool:
    """Whether a key, or a problem that begins with one, is that of a broken value or lies in it.

    Args:
        text: `key` or `key: what`.
        broken: Keys of broken values; `shift` is none of `shifts`.

    Returns:
        Whether what is wrong there was said with the broken value.
    """
    starts = tuple(key + end for key in broken for end in (".", "[", ":"))
    return text in broken or text.startswith(starts)


def _explain(place: Place, problem: str, found: Any) -> str:
    key, kind = _dotted(place), _kind_at(place)
    if kind is None:
        return f"{key}: unknown key; {nearest(str(place[-1]), _keys(_bare(_kind_at(place[:-1]))))}"
    if problem == "missing":
        return f"{key}: missing"
    if place == LOADS:
        return f"{key}: loads have names; write [{key}.NAME], for example [{key}.peak]"
    if isinstance(found, dict) and _holds_tables(kind):
        return f"{key}: there may be several; write [[{key}]]"
    if problem == "literal_error":
        return (
            f"{key}: '{found}' is not allowed; {nearest(str(found), typing.get_args(_bare(kind)))}"
        )
    return f"{key}: should be {plugins.in_words(kind)}, found {found!r}"


def _without_name(place: Place, found: Any) -> bool:
    """Whether a key of a load stands where the name of one should."""
    inside = place[:2] == LOADS and len(place) == 3
    return inside and place[2] in _keys(LoadPlan) and not isinstance(found, dict)


def _holds_tables(kind: Any) -> bool:
    return typing.get_origin(kind) is list and dataclasses.is_dataclass(typing.get_args(kind)[0])


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
    kind: Any = File
    for part in place:
        if dataclasses.is_dataclass(_bare(kind)):
            kind = typing.get_type_hints(_bare(kind)).get(str(part))
        else:
            kind = typing.get_args(_bare(kind))[-1]
    return kind


def _bare(kind: Any) -> Any:
    """`T` of `T | None` and of `T | Other`."""
    # A union with a Literal is one of `typing`, whichever way it is written.
    union = isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
    return typing.get_args(kind)[0] if union else kind


def _keys(kind: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(kind)]
