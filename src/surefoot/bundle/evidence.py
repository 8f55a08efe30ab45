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
from surefoot.core.hidden import Hider
from surefoot.core.load import LoadProfile, ServedProfile
from surefoot.core.nested import from_json
from surefoot.data.columns import read_parquet
from surefoot.evaluate import by_row, machine_of, of_probabilities, of_sets, pairs

SEED = re.compile(r"(.*) \(seed (-?\d+)\)")
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
    hashed: bool = False
    """Whether ids and answers are hashes."""
    hider: Hider | None = None
    """What hid them, where that is at hand."""


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
            hashed=(data.get("evidence") or {}).get("kind") == "hashed",
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
    by_rows = [metric for metric in said.metrics if not of_sets(plugins.find("metric", metric))]
    if said.hashed and len(by_rows) < len(said.metrics):
        wholes = ", ".join(metric for metric in said.metrics if metric not in by_rows)
        raise BundleError(f"hashed evidence does not hold what {wholes} is computed from")
    first = read_parquet(folder / "cells" / said.baseline / cell_file(*where))
    place = _Place(
        where=where,
        classes=() if said.hashed else _classes(said, first),
        metrics=by_rows,
        said=said,
        instead=instead or {},
    )
    named = _folders(folder, said)
    base, before = place.taken(said.baseline, first)
    for name in said.judged:
        columns = [read_parquet(one / cell_file(*where)) for one in named[name]]
        after = [place.taken(name, one, seed=i) for i, one in enumerate(columns)]
        known = {m: np.stack([before[m], *(values[m] for _, values in after)]) for m in by_rows}
        cells = [cell for cell, _ in after]
        yield from pairs(base, cells, _rows(first, where, place.classes), said.metrics, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where cells are taken from the bundle, or from what was measured again."""

    where: Where
    classes: tuple[str, ...]
    metrics: Sequence[str]
    """Those that every row has."""
    said: Recorded
    instead: Mapping[tuple[str, Where], Cell]

    def taken(
        self, name: str, columns: Columns, *, seed: int = 0
    ) -> tuple[Cell, Mapping[str, np.ndarray]]:
        """A cell and its metrics by row; of further seeds nothing is measured again."""
        again = None if seed else self.instead.get((name, self.where))
        if again is None:
            cell = self._hashed(name, columns) if self.said.hashed else self._cell(name, columns)
            return cell, {metric: columns[metric] for metric in self.metrics}
        values = by_row(again, self.metrics)
        return (self._as_hashed(again) if self.said.hashed else again), values

    def _cell(self, name: str, columns: Columns) -> Cell:
        """A cell; where no probabilities are kept, its scores are the answers alone."""
        codes = {text: i for i, text in enumerate(self.classes)}
        for text in (*columns["label"].tolist(), *columns["predicted"].tolist()):
            codes.setdefault(text, len(codes))
        labels, predicted = (
            np.array([codes[text] for text in columns[key].tolist()], np.int64)
            for key in ("label", "predicted")
        )
        kept = sum(key.startswith(PROBABILITY) for key in columns)
        scores = (
            np.stack([columns[f"{PROBABILITY}{i}"] for i in range(kept)], axis=1)
            if kept
            else np.eye(len(codes), dtype=np.float32)[predicted]
        )
        return self._made(name, columns["id"], labels, predicted, scores)

    def _hashed(self, name: str, columns: Columns) -> Cell:
        """A cell of hashes: each is a number of its own, in every cell the same."""
        labels, predicted = (_numbers(columns[key]) for key in ("label", "predicted"))
        nothing = np.zeros((len(labels), 1), np.float32)
        return self._made(name, columns["id"], labels, predicted, nothing)

    def _as_hashed(self, cell: Cell) -> Cell:
        """A cell that was measured here, as hashed evidence would have it."""
        hider = self.said.hider
        if hider is None:
            raise BundleError("its ids are hashes, and their salt is not at hand")
        names = np.array(self.said.data["classes"], np.dtypes.StringDType())
        labels, predicted = (
            _numbers(hider.answers(cell.dataset, cell.ids, names[codes]))
            for codes in (cell.labels, cell.predicted)
        )
        ids = hider.ids(cell.dataset, cell.ids)
        return self._made(cell.candidate, ids, labels, predicted, cell.scores)

    def _made(
        self,
        name: str,
        ids: np.ndarray,
        labels: np.ndarray,
        predicted: np.ndarray,
        scores: np.ndarray,
    ) -> Cell:
        dataset, shift, severity = self.where
        return Cell(
            candidate=name,
            dataset=dataset,
            shift=shift,
            severity=severity,
            ids=ids,
            labels=labels,
            predicted=predicted,
            scores=scores,
        )


def _numbers(hashes: np.ndarray) -> np.ndarray:
    """(n,) int64, the first 60 bits of hexadecimal hashes."""
    return np.array([int(text[:15], 16) for text in hashes.tolist()], np.int64)


def _folders(folder: Path, said: Recorded) -> dict[str, list[Path]]:
    """By candidate the folder of its cells, then those of its further seeds."""
    found = {name: [folder / "cells" / name] for name in said.judged}
    more: list[tuple[int, str, Path]] = []
    for path in (folder / "cells").iterdir():
        seeded = SEED.fullmatch(path.name)
        if path.name in (*said.judged, said.baseline):
            continue
        if seeded is None or seeded[1] not in found:
            raise BundleError("holds the cells of no candidate", where=str(path))
        more.append((int(seeded[2]), seeded[1], path))
    for _, name, path in sorted(more):
        found[name].append(path)
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
