"""Writes a bundle: the plan, the environment, the cells, the verdict and the models it is about."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.bundle.encode import encode
from surefoot.bundle.environment import environment
from surefoot.bundle.hide import described_hidden, hidden_check, hidden_ledger, hider_for
from surefoot.bundle.load import write_served
from surefoot.bundle.serving import write_policy
from surefoot.core.checks import CheckResult
from surefoot.core.dataset import Dataset, Task
from surefoot.core.evidence import Bundle, Cell, ConfirmationEvidence, Verdict
from surefoot.core.hashing import hash_file
from surefoot.core.hidden import Hider
from surefoot.core.load import LoadProfile, Machine
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.search import Searched
from surefoot.core.waiver import Waiver
from surefoot.data.columns import write_parquet
from surefoot.evaluate import Exploration, by_row, machine_columns, of_probabilities
from surefoot.evaluate.remote import EndpointAnswers
from surefoot.gate import (
    Worst,
    best,
    check_summaries,
    differences,
    load_summaries,
    noise,
    summaries,
)
from surefoot.ledger import LEDGER
from surefoot.store import whole_folder

HIDDEN = shutil.ignore_patterns(".*")
ROWS_TOO = shutil.ignore_patterns(".*", "golden.npz")
"""Golden vectors are rows of the data."""
FORMAT = 3
"""The version of the bundle's layout; docs/bundle.md says what changed in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle."""

    plan: Plan
    """The plan that was run."""
    task: Task
    """Its data; slices are written beside the cells."""
    candidates: Sequence[Candidate]
    """The baseline first."""
    failed: Mapping[str, str]
    """Candidates that could not be made, with the reason."""
    cells: Sequence[Cell]
    """Every candidate on every test set."""
    evidence: ConfirmationEvidence
    """What the verdicts rest on."""
    doubts: Sequence[str] = ()
    """Why the baseline itself may be broken: what makes a PASS worth nothing."""
    warnings: Sequence[str]
    """What a reader of the verdict should know."""
    metrics: Sequence[str]
    """The metrics that were compared, the task's own first."""
    calibration: Sequence[Cell] = ()
    """Every candidate on the calibration rows, where there are any."""
    endpoint: EndpointAnswers | None = None
    """What a fallback at an address says of them; None where there is none."""
    worst: Sequence[Worst] = ()
    """Where each candidate lost most."""
    found_slices: Exploration | None = None
    """What a search for slices found; None where none was asked for."""
    searched: Searched | None = None
    """What a search for recipes found; None where none was asked for."""
    verdicts: tuple[Verdict, ...] = ()
    """One a candidate; none where nothing was judged."""
    waivers: tuple[Waiver, ...] = ()
    """What somebody answers for although it is not shown to hold."""


def write_bundle(path: Path, key: str, contents: Contents) -> Bundle:
    """Write a bundle whole or not at all, in place of one that lies there.

    Args:
        path: The folder.
        key: The hash of everything that went into it.
        contents: What to write.

    Raises:
        BundleError: The disk is full, or the folder cannot be written.
    """
    told, hider = described(key, contents), hider_for(contents.plan)
    winner = told["winner"] = winner_of(contents.verdicts, told["costs"])
    with whole_folder(path) as folder:
        (folder / "plan.toml").write_text(contents.plan.text)
        _write_json(folder / "plan.json", contents.plan.resolved())
        _write_json(folder / "environment.json", environment())
        for cell in contents.cells:
            _write_cell(folder / "cells" / cell.candidate, cell, contents, hider)
        for cell in contents.calibration:
            _write_calibration(folder / "calibration", cell, contents.task, hider)
        if contents.endpoint:
            _write_endpoint(folder / "calibration", contents.endpoint, contents.task, hider)
        _write_ledger(folder / "ledger.jsonl", contents, hider)
        _write_loads(folder / "latency.parquet", contents.evidence.loads)
        write_served(folder / "load.parquet", contents.evidence.served, contents.task, hider)
        for result in contents.evidence.checks:
            found = hidden_check(result, hider) if hider else result
            _write_check(folder / "checks" / result.candidate, found)
        for candidate in contents.candidates:
            if candidate.name in (
                contents.candidates[0].name,
                winner,
                contents.plan.serve.candidate,
                *contents.plan.serve.between,
            ):
                target = folder / "models" / candidate.name
                shutil.copytree(candidate.model.path, target, ignore=ROWS_TOO if hider else HIDDEN)
        lean = contents.plan.serve.candidate or winner
        if warning := write_policy(folder, contents.plan.serve, lean):
            told["warnings"].append(warning)
        _write_json(folder / "verdict.json", described_hidden(told, hider) if hider else told)
        files = sorted(f for f in folder.rglob("*") if f.is_file())
        manifest = {str(f.relative_to(folder)): hash_file(f) for f in files}
        _write_json(folder / "manifest.json", manifest)
    return Bundle(path=path, key=key, verdicts=contents.verdicts, winner=winner)


def costs(sizes: Mapping[str, float], loads: Iterable[LoadProfile]) -> dict[str, float]:
    """What each candidate costs to run: its median latency at the smallest batch, else its size.

    Args:
        sizes: Bytes, by candidate.
        loads: What was timed.
    """
    profiles = sorted(loads, key=lambda load: -load.batch)
    return {**sizes, **{load.candidate: float(np.median(load.wall_ms)) for load in profiles}}


def winner_of(verdicts: Sequence[Verdict], costs: Mapping[str, float]) -> str | None:
    """The leanest candidate that passed; None where none did.

    Args:
        verdicts: One a candidate.
        costs: What `costs` gave.
    """
    if not verdicts:
        return None
    first = best(verdicts, costs)
    return first.candidate if first.outcome == "PASS" else None


def described(key: str, contents: Contents) -> dict[str, Any]:
    """What was measured and judged as JSON-able data: `verdict.json`, but for the winner.

    Args:
        key: The hash of everything that went into it.
        contents: What to describe.
    """
    return {
        "format": FORMAT,
        "key": key,
        "evidence": {"kind": "rows"},
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "classes": list(contents.task.classes),
        "batch": contents.plan.evaluate.batch,
        "costs": costs(
            {c.name: float(c.model.size_bytes) for c in contents.candidates},
            contents.evidence.loads,
        ),
        "candidates": [
            {
                "name": c.name,
                "runtime": c.runtime,
                "steps": [[s.use, dict(s.options)] for s in c.recipe.steps],
                "seed": c.recipe.seed,
                "fingerprint": c.model.fingerprint,
                "size_bytes": c.model.size_bytes,
                "made_in": encode(c.cost),
                "step_costs": encode(c.step_costs),
            }
            for c in contents.candidates
        ],
        "failed": dict(contents.failed),
        "doubts": list(contents.doubts),
        "warnings": list(contents.warnings),
        "verdicts": encode(contents.verdicts),
        "comparisons": encode(contents.evidence.paired),
        "differences": encode(differences(contents.evidence)),
        "latencies": encode(summaries(contents.evidence.loads)),
        "noise": encode(noise(contents.evidence.loads)),
        "loads": encode(load_summaries(contents.evidence.served, contents.evidence.baseline)),
        "deadlines": encode(contents.evidence.deadlines),
        "repeat": encode(contents.evidence.repeat),
        "memory": dict(contents.evidence.memory),
        "worst": encode(contents.worst),
        "found_slices": encode(contents.found_slices),
        "calibration": encode(contents.evidence.calibration),
        "envelopes": encode(contents.evidence.envelopes),
        "checks": encode(check_summaries(contents.evidence.checks)),
        "rows": {name: d.fingerprint for name, d in contents.task.test.items()},
        "diagnoses": encode(contents.evidence.diagnoses),
        "search": _searched(contents.searched),
        "waivers": encode(contents.waivers),
    }


def _searched(found: Searched | None) -> dict[str, Any] | None:
    """A search as JSON-able data; its finalists are among the candidates."""
    if found is None:
        return None
    names = [candidate.name for candidate in found.finalists]
    return {**encode(replace(found, finalists=())), "finalists": names, "tried": found.tried}


def cell_file(dataset: str, shift: str, severity: float) -> str:
    """The name of a cell's file in the folder of its candidate."""
    under = f"+{shift}-{severity:g}" if shift else ""
    return f"{dataset}{under}.parquet"


def _write_cell(folder: Path, cell: Cell, contents: Contents, hider: Hider | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    task = contents.task
    dataset, names = _rows_of(cell, task), np.array(task.classes, dtype=object)
    shown = _Shown(dataset=cell.dataset, ids=cell.ids, hider=hider)
    n, rows = len(cell.ids), np.arange(len(cell.ids))
    write_parquet(
        folder / cell_file(cell.dataset, cell.shift, cell.severity),
        {
            "candidate": np.full(n, cell.candidate, dtype=object),
            "dataset": np.full(n, cell.dataset, dtype=object),
            "shift": np.full(n, cell.shift, dtype=object),
            "severity": np.full(n, cell.severity),
            "id": shown.names(),
            "label": shown.answers(names[cell.labels]),
            "predicted": shown.answers(names[cell.predicted]),
            "correct": cell.labels == cell.predicted,
            **by_row(cell, contents.metrics),
            "score": cell.scores[rows, cell.labels],
            "confidence": cell.scores[rows, cell.predicted],
            **({} if hider else _probabilities(cell, contents.metrics)),
            **({} if dataset.groups is None else {"group": shown.groups(dataset.groups)}),
            **{f"slice_{name}": mask for name, mask in dataset.slices.items()},
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Rows of a test set as a bundle may name them."""

    dataset: str
    ids: np.ndarray
    hider: Hider | None

    def names(self) -> np.ndarray:
        return self.hider.ids(self.dataset, self.ids) if self.hider else self.ids

    def answers(self, found: np.ndarray) -> np.ndarray:
        return self.hider.answers(self.dataset, self.ids, found) if self.hider else found

    def groups(self, found: np.ndarray) -> np.ndarray:
        return self.hider.groups(found) if self.hider else found


def _write_endpoint(folder: Path, asked: EndpointAnswers, task: Task, hider: Hider | None) -> None:
    """The same of a fallback at an address, and how long its answers took."""
    more = {"confidence": asked.confidence, "wall_ms": asked.wall_ms}
    _write_calibration(folder, asked.cell, task, hider, more)


def _write_calibration(
    folder: Path,
    cell: Cell,
    task: Task,
    hider: Hider | None,
    more: Mapping[str, np.ndarray] | None = None,
) -> None:
    """What a threshold between this candidate and a fallback is chosen on."""
    folder.mkdir(parents=True, exist_ok=True)
    # The last is what an endpoint's answer of -1 means.
    rows, names = np.arange(len(cell.ids)), np.array([*task.classes, ""], dtype=object)
    slices = task.calibration.slices if task.calibration else {}
    groups = task.calibration.groups if task.calibration else None
    shown = _Shown(dataset=cell.dataset, ids=cell.ids, hider=hider)
    write_parquet(
        folder / f"{cell.candidate}.parquet",
        {
            "id": shown.names(),
            "label": shown.answers(names[cell.labels]),
            "predicted": shown.answers(names[cell.predicted]),
            "correct": cell.labels == cell.predicted,
            "confidence": cell.scores[rows, cell.predicted],
            **({} if groups is None else {"group": shown.groups(groups)}),
            **{f"slice_{name}": mask for name, mask in slices.items()},
            **(more or {}),
        },
    )


def _probabilities(cell: Cell, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of every class, where a metric that only a whole set has is computed from them."""
    if not any(of_probabilities(name) for name in metrics):
        return {}
    return {f"probability_{i}": column for i, column in enumerate(cell.scores.T)}


def _rows_of(cell: Cell, task: Task) -> Dataset:
    """The rows of a cell; under a shift that chooses rows they are fewer than the test set's."""
    dataset = task.test[cell.dataset]
    whole = len(cell.ids) == len(dataset)
    return dataset if whole else dataset.rows(dataset.among(cell.ids))


def _write_check(folder: Path, result: CheckResult) -> None:
    """One row for each row asked; nothing where the check could not be run."""
    if result.checked is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(
        folder / f"{result.check}.parquet",
        {
            "id": result.checked.ids,
            "failed": result.checked.failed,
            "detail": np.array(result.checked.details, dtype=object),
            **({} if result.groups is None else {"group": result.groups}),
            **{f"slice_{name}": mask for name, mask in result.slices.items()},
        },
    )


def _write_loads(path: Path, loads: Sequence[LoadProfile]) -> None:
    calls = [len(load.wall_ms) for load in loads]
    if not loads:
        return
    write_parquet(
        path,
        {
            "candidate": np.repeat(
                np.array([load.candidate for load in loads], dtype=object), calls
            ),
            "runtime": np.repeat(np.array([load.runtime for load in loads], dtype=object), calls),
            "batch": np.repeat(np.array([load.batch for load in loads]), calls),
            "threads": np.repeat(np.array([load.threads for load in loads]), calls),
            "call": np.concatenate([np.arange(n) for n in calls]),
            "wall_ms": np.concatenate([load.wall_ms for load in loads]),
            "cpu_ms": np.concatenate([load.cpu_ms for load in loads]),
            **_machines(loads),
        },
    )


def _machines(loads: Sequence[LoadProfile]) -> dict[str, np.ndarray]:
    nobody = Machine(steal=None, foreign=None)
    seen = [machine_columns(load.machine or nobody, len(load.wall_ms)) for load in loads]
    return {name: np.concatenate([one[name] for one in seen]) for name in seen[0]}


def _write_ledger(path: Path, contents: Contents, hider: Hider | None) -> None:
    """The ledger as it is now, this run's own line included; nothing where nobody counts."""
    ledger = contents.plan.path.parent / LEDGER
    if contents.verdicts and contents.verdicts[0].use and ledger.is_file():
        text = ledger.read_text(encoding="utf-8", errors="surrogateescape")
        text = hidden_ledger(text) if hider else text
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=list))
