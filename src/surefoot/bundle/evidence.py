"""Reads back from a bundle's files what its verdict rests on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.bundle.load import NUMBERS, SAID
from surefoot.bundle.write import cell_file
from surefoot.core.checks import Checked, CheckResult
from surefoot.core.dataset import Dataset
from surefoot.core.errors import BundleError, PluginError
from surefoot.core.evidence import Budget, Cell, ConfirmationEvidence, Evidence, Paired
from surefoot.core.load import LoadProfile, ServedProfile
from surefoot.core.nested import from_json
from surefoot.data.columns import read_parquet
from surefoot.evaluate import by_row, machine_of, of_probabilities, of_sets, pairs

SEED = re.compile(r"(.*) \(seed -?\d+\)")
"""The name of the cells of a further seed."""
SLICE, PROBABILITY = "slice_", "probability_"

Columns = Mapping[str, np.ndarray]
Where = tuple[str, str, float]
"""Data set, shift and severity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a bundle says was asked and measured."""

    data: Mapping[str, Any]
    """The content of verdict.json."""
    budgets: tuple[Budget, ...]
    """Those of the plan."""
    metrics: tuple[str, ...]
    """The metrics that were compared, the task's own first."""
    baseline: str
    """The baseline's name."""
    judged: tuple[str, ...]
    """The candidates' names, in order."""
    places: tuple[Where, ...]
    """Where they were measured, in order."""


def recorded(folder: Path, data: Mapping[str, Any]) -> Recorded:
    """What a bundle's plan asked for, and where its candidates were measured.

    Args:
        folder: The bundle.
        data: The content of its verdict.json.

    Raises:
        BundleError: A file is not as surefoot writes it.
    """
    with as_written(folder):
        plan = from_json((folder / "plan.json").read_text())
        compared = data["comparisons"]
        return Recorded(
            data=data,
            budgets=tuple(Budget(**budget) for budget in plan["budgets"]),
            metrics=tuple(dict.fromkeys(str(one["metric"]) for one in compared)),
            baseline=str(data["candidates"][0]["name"]),
            judged=tuple(str(one["name"]) for one in data["candidates"][1:]),
            places=tuple(
                dict.fromkeys(
                    (str(one["dataset"]), str(one["shift"]), float(one["severity"]))
                    for one in compared
                )
            ),
        )


def read_evidence(
    folder: Path, said: Recorded, instead: Mapping[tuple[str, Where], Cell] | None = None
) -> ConfirmationEvidence:
    """What a gate is given, from the cells, the latencies, the loads and the checks of a bundle.

    Args:
        folder: The bundle.
        said: What `recorded` gave.
        instead: Cells that were measured again, by candidate and place, in place of the bundle's.

    Raises:
        BundleError: The bundle does not hold what its verdict rests on.
        DataError: A file of it cannot be read.
    """
    with as_written(folder):
        paired = [pair for where in said.places for pair in _paired(folder, said, where, instead)]
        order = {name: position for position, name in enumerate(said.judged)}
        paired.sort(key=lambda pair: order[pair.candidate])
        return ConfirmationEvidence(
            Evidence(
                baseline=said.baseline,
                candidates=said.judged,
                paired=tuple(paired),
                loads=_latencies(folder / "latency.parquet", said.data),
                served=_served(folder / "load.parquet"),
                sizes={str(c["name"]): int(c["size_bytes"]) for c in said.data["candidates"]},
                memory={str(k): int(v) for k, v in said.data["memory"].items()},
                checks=tuple(_checks(folder, said)),
            )
        )


_ODD = (
    AttributeError, IndexError, KeyError, OSError, OverflowError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What Python raises where a file is of another form."""


@contextmanager
def as_written(folder: Path) -> Iterator[None]:
    """Turn whatever Python raises where a file of a bundle is of another form into one clear error.

    Args:
        folder: The bundle.

    Raises:
        BundleError: It is.
    """
    try:
        yield
    except _ODD as error:
        raise BundleError(
            f"is not as surefoot writes it: {type(error).__name__}: {error}",
            where=str(folder),
            fix="take the bundle as its run left it, or run its plan again",
        ) from error


def _paired(
    folder: Path,
    said: Recorded,
    where: Where,
    instead: Mapping[tuple[str, Where], Cell] | None,
) -> Iterator[Paired]:
    """Every candidate against the baseline in one place."""
    named = _folders(folder, said)
    first = read_parquet(folder / "cells" / said.baseline / cell_file(*where))
    classes = _classes(said, first)
    rows = _rows(first, where, classes)
    renewed = instead or {}
    base = _cell(said.baseline, first, where, classes)
    for name in said.judged:
        columns = [read_parquet(f / cell_file(*where)) for f in named[name]]
        cells = [_cell(name, one, where, classes) for one in columns]
        before = renewed.get((said.baseline, where))
        after = renewed.get((name, where))
        known = {}
        if before is None and after is None:
            known = {m: _values(m, (first, *columns)) for m in said.metrics if _of_rows(m)}
        elif len(cells) == 1:
            # Both sides come from scores: what a metric is computed from must be one and the same.
            base, cells = before or base, [after or cells[0]]
            known = {
                m: np.stack([_again(m, before, first), _again(m, after, columns[0])])
                for m in said.metrics
                if _of_rows(m)
            }
        yield from pairs(before or base, cells, rows, said.metrics, known)


def _again(metric: str, cell: Cell | None, columns: Columns) -> np.ndarray:
    """A metric by row: of the cell that was measured again, else as the bundle holds it."""
    return columns[metric] if cell is None else by_row(cell, [metric])[metric]


def _of_rows(metric: str) -> bool:
    return not of_sets(plugins.find("metric", metric))


def _values(metric: str, columns: Sequence[Columns]) -> np.ndarray:
    return np.stack([one[metric] for one in columns])


def _folders(folder: Path, said: Recorded) -> dict[str, list[Path]]:
    """By candidate the folder of its cells, then those of its further seeds."""
    found = {name: [folder / "cells" / name] for name in said.judged}
    more = [p for p in (folder / "cells").iterdir() if p.name not in (*said.judged, said.baseline)]
    for path in sorted(more, key=lambda p: int(p.name.rpartition(" ")[2].rstrip(")") or 0)):
        seeded = SEED.fullmatch(path.name)
        if seeded is None or seeded[1] not in found:
            raise BundleError("the cells of no candidate", where=str(path))
        found[seeded[1]].append(path)
    return found


def _classes(said: Recorded, columns: Columns) -> tuple[str, ...]:
    """The classes, from verdict.json; older bundles tell only those that are somebody's answer."""
    known = said.data.get("classes")
    if known:
        return tuple(map(str, known))
    for metric in said.metrics:
        if of_probabilities(metric):
            raise BundleError(
                f"a bundle of format {said.data['format']} does not hold what {metric} is computed"
                " from"
            )
    found = {*columns["label"].tolist(), *columns["predicted"].tolist()}
    return tuple(sorted(found))


def _cell(name: str, columns: Columns, where: Where, classes: Sequence[str]) -> Cell:
    """A cell; where no probabilities are kept, its scores are the answers alone."""
    codes = {text: i for i, text in enumerate(classes)}
    for text in (*columns["label"].tolist(), *columns["predicted"].tolist()):
        codes.setdefault(text, len(codes))
    labels, predicted = (
        np.array([codes[text] for text in columns[key].tolist()], np.int64)
        for key in ("label", "predicted")
    )
    kept = [key for key in columns if key.startswith(PROBABILITY)]
    if kept:
        scores = np.stack([columns[f"{PROBABILITY}{i}"] for i in range(len(kept))], axis=1)
    else:
        scores = np.eye(len(codes), dtype=np.float32)[predicted]
    return Cell(
        candidate=name,
        dataset=where[0],
        shift=where[1],
        severity=where[2],
        ids=columns["id"],
        labels=labels,
        predicted=predicted,
        scores=scores,
    )


def _rows(columns: Columns, where: Where, classes: tuple[str, ...]) -> Dataset:
    """The rows of a place as far as they are kept: not what was asked."""
    n = len(columns["id"])
    return Dataset(
        name=where[0],
        ids=columns["id"],
        inputs=np.zeros((n, 0), np.float32),
        labels=np.zeros(n, np.int64),
        classes=classes,
        slices={
            key.removeprefix(SLICE): mask.astype(bool)
            for key, mask in columns.items()
            if key.startswith(SLICE)
        },
        groups=columns.get("group"),
        shift=where[1],
        severity=where[2],
    )


def _runs(columns: Columns, keys: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
    """The rows of each run of a table, in the order in which the runs were written."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(zip(*(columns[key].tolist() for key in keys), strict=True)):
        found.setdefault(key, []).append(i)
    return ((key, np.array(at)) for key, at in found.items())


def _latencies(path: Path, data: Mapping[str, Any]) -> tuple[LoadProfile, ...]:
    if not path.exists():
        return ()
    columns = read_parquet(path)
    if "steal" not in columns:  # format 2: what the machine did stands beside the noise alone
        seen = {int(entry["batch"]): entry for entry in data["noise"]}
        for name in ("steal", "foreign"):
            values = [seen.get(batch, {}).get(name) for batch in columns["batch"].tolist()]
            columns[name] = np.array([np.nan if v is None else float(v) for v in values])
    keys = ("candidate", "runtime", "batch", "threads")
    return tuple(
        LoadProfile(
            candidate=candidate,
            runtime=runtime,
            batch=int(batch),
            threads=int(threads),
            wall_ms=columns["wall_ms"][at],
            cpu_ms=columns["cpu_ms"][at],
            machine=machine_of({key: columns[key][at] for key in ("steal", "foreign")}),
        )
        for (candidate, runtime, batch, threads), at in _runs(columns, keys)
    )


def _served(path: Path) -> tuple[ServedProfile, ...]:
    """The runs under load; rows and answers, which no verdict takes from here, are left empty."""
    if not path.exists():
        return ()
    columns = read_parquet(path)
    return tuple(_one_served(columns, at) for _, at in _runs(columns, ("load", "candidate")))


def _one_served(columns: Columns, at: np.ndarray) -> ServedProfile:
    said = {name: str(columns[name][at[0]]) for name in SAID}
    numbers = {name: _number(columns[name][at[0]]) for name in NUMBERS}
    # A request's rows stand together: the first of them tells its times.
    requests, first = np.unique(columns["request"][at], return_index=True)
    times = ("arrival_ms", "wall_ms", "service_ms", "lateness_ms", "cpu_ms")
    whole = ("threads", "waiting", "memory_bytes")
    counted = {k: None if numbers[k] is None else int(numbers[k] or 0) for k in whole}
    batch = len(at) // len(requests)
    nothing = np.full((len(requests), batch), -1)
    return ServedProfile(
        **{
            **said,
            **numbers,
            **counted,
            **{name: columns[name][at][first] for name in times},
            "url": said["url"] or None,
        },
        batch=batch,
        rows=nothing,
        answers=nothing,
        errors=json.loads(str(columns["errors"][at[0]])),
        machine=machine_of({key: columns[key][at] for key in ("steal", "foreign")}),
    )


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _checks(folder: Path, said: Recorded) -> Iterator[CheckResult]:
    for entry in said.data.get("checks", ()):
        check, name = str(entry["check"]), str(entry["candidate"])
        try:
            exact = bool(getattr(plugins.module("check", check), "EXACT", False))
        except PluginError as error:
            raise BundleError(str(error), where=str(folder)) from error
        if entry["rate"] is None and entry["error"]:
            yield CheckResult(candidate=name, check=check, checked=None, error=str(entry["error"]))
            continue
        columns = read_parquet(folder / "checks" / name / f"{check}.parquet")
        checked = Checked(
            ids=columns["id"],
            failed=columns["failed"].astype(bool),
            details=tuple(map(str, columns["detail"].tolist())),
            largest=entry["largest"],
            note=str(entry["note"]),
        )
        yield CheckResult(
            candidate=name,
            check=check,
            checked=checked,
            exact=exact,
            groups=columns.get("group"),
            slices={k.removeprefix(SLICE): v for k, v in columns.items() if k.startswith(SLICE)},
        )
