"""Reads of a bundle what exports need: one candidate, its baseline, and the numbers of both."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surefoot import models
from surefoot.bundle import bundle_of, read_environment, read_plan_json, read_verdict_json
from surefoot.core.errors import BundleError, nearest
from surefoot.core.evidence import Verdict
from surefoot.core.hashing import hash_file
from surefoot.core.parts import is_part
from surefoot.core.plan import OWN_SETS
from surefoot.core.release import ColumnKind, DataUsed, Release, Role, Shipped
from surefoot.core.within import within
from surefoot.gate import best
from surefoot.report.numbers import of_findings, read_figures, without_interval

_COLUMNS: Mapping[str, ColumnKind] = {
    "text": "text", "inputs": "array", "label": "label", "id": "id", "group": "group",
}  # fmt: skip
"""Options of sources that name one column."""


def read_release(path: Path, candidate: str | None = None) -> Release:
    """One candidate of a bundle, with all that was measured of it and of its baseline.

    Args:
        path: The bundle's folder.
        candidate: Its name; without one, the winner, or where none passed the one with the best
            verdict.

    Raises:
        BundleError: No bundle that can be read, or no verdict on that candidate.
        ModelError: A model in it was changed.
    """
    data, plan = read_verdict_json(path), read_plan_json(path)
    bundle = bundle_of(path, data)
    verdict = _chosen(bundle.verdicts, candidate, data, path)
    name, baseline = verdict.candidate, data["candidates"][0]["name"]
    try:
        own = read_figures(path, name, data)
        own = (*own, *of_findings(verdict.findings, own))
        task = plan["task"]
        return Release(
            task=task["name"],
            kind=task["kind"],
            metric=task["metric"],
            key=bundle.key,
            candidate=_shipped(path, name, data),
            baseline=_shipped(path, baseline, data),
            verdict=verdict,
            winner=name == bundle.winner,
            figures=(*own, *read_figures(path, baseline, data)),
            without_interval=without_interval(data, own),
            data=tuple(_data_used(task, data)),
            environment=read_environment(path),
            evidence=data,
            plan=plan,
            cells=within(path, "cells", name),
            exported_at=time.time(),
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise BundleError(
            f"is not as surefoot writes it: {type(error).__name__} {error}",
            where=str(path),
            fix="run the plan again",
        ) from error


def _chosen(
    verdicts: tuple[Verdict, ...], name: str | None, data: Mapping[str, Any], path: Path
) -> Verdict:
    known = {verdict.candidate: verdict for verdict in verdicts}
    if name is None:
        return best(verdicts, data["costs"])
    if name not in known:
        fix = nearest(name, known)
        raise BundleError(f"no verdict on a candidate '{name}'", where=str(path), fix=fix)
    return known[name]


def _shipped(path: Path, name: str, data: Mapping[str, Any]) -> Shipped:
    """A model as verdict.json describes it, and its files where they are there."""
    told = next(c for c in data["candidates"] if c["name"] == name)
    described = {key: told[key] for key in ("name", "runtime", "seed", "fingerprint", "size_bytes")}
    steps = tuple((use, options) for use, options in told["steps"])
    folder = within(path, "models", name)
    if not folder.is_dir():
        return Shipped(**described, steps=steps)
    # Nothing here opens the model, so nothing can run.
    model = models.read_model(folder, trust=True)
    names = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    return Shipped(
        **described,
        steps=steps,
        folder=folder,
        format=model.format,
        file=model.file,
        signature=model.signature,
        files={inside: hash_file(within(folder, inside)) for inside in names},
    )


def _data_used(task: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[DataUsed]:
    """Every data set that the plan names; a source that was split once for each of its parts."""
    counted = {
        c["dataset"]: c["n"] for c in data["comparisons"] if c["slice"] is None and not c["shift"]
    }
    prints = data.get("rows", {})
    for source, call in task["test"].items():
        names = [name for name in counted if name == source or is_part(source, name)]
        for name in names or [source]:
            yield _used(name, "test", call, counted.get(name), prints.get(name))
    for role in OWN_SETS:
        if task.get(role) is not None:
            yield _used(role, _role(role), task[role], None, None)


def _role(name: str) -> Role:
    roles: dict[str, Role] = {
        "train": "train", "selection": "selection", "calibration": "calibration",
        "out_of_scope": "out_of_scope", "unlabelled": "unlabelled",
    }  # fmt: skip
    return roles[name]


def _used(
    name: str, role: Role, call: Mapping[str, Any], rows: int | None, fingerprint: str | None
) -> DataUsed:
    columns: dict[str, ColumnKind] = {}
    for column in call.get("columns") or ():
        columns[str(column)] = "number"
    for option, kind in _COLUMNS.items():
        if isinstance(call.get(option), str):
            columns[call[option]] = kind
    return DataUsed(
        name=name,
        role=role,
        source=str(call["use"]),
        path=str(call.get("path", "")),
        columns=columns,
        rows=rows,
        fingerprint=fingerprint,
    )
