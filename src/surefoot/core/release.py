"""What a bundle says of one candidate, in the terms that exports need."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from surefoot.core.dataset import TaskKind
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Verdict, place
from surefoot.core.model import Signature

Role = Literal["test", "train", "selection", "calibration", "out_of_scope", "unlabelled"]
ColumnKind = Literal["text", "number", "label", "id", "group", "array"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity of one model in one place; it never travels without its interval."""

    model: str
    """The candidate's name, or the baseline's."""
    quantity: str
    """A metric, `p50_ms`, `p99_ms`, `size_mb`, `memory_mb`, or a behaviour check."""
    estimate: Estimate
    """The number, its interval, and what it rests on."""
    lower_is_better: bool
    """The direction of the quantity."""
    dataset: str | None = None
    """The data set; None for what is timed or read off."""
    slice: str | None = None
    """The slice; None for all rows."""
    shift: str = ""
    """How the inputs were changed; empty where they were not."""
    severity: float = 0.0
    """How far."""
    batch: int | None = None
    """Rows a call, where calls were timed."""
    load: str | None = None
    """The load, where requests were timed."""

    @property
    def where(self) -> str:
        """Its place in words: `tweets + typos 3 [short]`, `batch 1`; empty where it has none."""
        if self.dataset is not None:
            return place(self.dataset, self.shift, self.severity, self.slice)
        if self.load is not None:
            return f"load {self.load}"
        return "" if self.batch is None else f"batch {self.batch}"

    @property
    def bounded(self) -> bool:
        """Whether its value and both ends of its interval are numbers."""
        e = self.estimate
        return all(map(math.isfinite, (e.value, e.low, e.high)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUsed:
    """A data set as far as a bundle knows it: never its rows."""

    name: str
    """Its name in the plan, or that of a part of it."""
    role: Role
    """What it was used for."""
    source: str
    """The plugin that read it, for example `csv`."""
    path: str
    """Its file or folder, as the plan names it."""
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    """The columns that the plan names, and what each holds."""
    rows: int | None = None
    """Rows; None where nothing counted them."""
    fingerprint: str | None = None
    """surefoot's SHA-256 of its ids, inputs, labels and groups; None where none was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A model that a bundle speaks of, and its files where it holds them."""

    name: str
    """The candidate's name."""
    runtime: str
    """The plugin in `models/runtimes/` that it was measured in."""
    steps: tuple[tuple[str, Mapping[str, Any]], ...]
    """Its recipe: steps with their options; none for the baseline."""
    seed: int
    """What its steps started from."""
    fingerprint: str
    """SHA-256 over every file that decides an answer."""
    size_bytes: int
    """What has to be shipped."""
    folder: Path | None = None
    """Its folder; None where the bundle does not hold it."""
    format: str = ""
    """The plugin in `models/formats/` that reads it; empty where the bundle does not hold it."""
    file: str = ""
    """The weights inside the folder, or `.`; empty likewise."""
    signature: Signature | None = None
    """Inputs and outputs; None likewise."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each file of the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One candidate of a bundle with all that was measured of it and of its baseline."""

    task: str
    """The task's name."""
    kind: TaskKind
    """The kind of input and output."""
    metric: str
    """The task's own metric."""
    key: str
    """The bundle's key: the hash of everything that went into it."""
    candidate: Shipped
    """The candidate."""
    baseline: Shipped
    """What it was compared with."""
    verdict: Verdict
    """Its verdict."""
    winner: bool
    """Whether it is the leanest candidate that passed."""
    figures: tuple[Figure, ...]
    """What was measured of both, the candidate first."""
    without_interval: tuple[str, ...]
    """What was measured but has no interval in the bundle, and so is not exported."""
    data: tuple[DataUsed, ...]
    """The data sets, test sets first."""
    environment: Mapping[str, Any]
    """What it was made with."""
    evidence: Mapping[str, Any]
    """The bundle's verdict.json."""
    plan: Mapping[str, Any]
    """The bundle's plan.json."""
    cells: Path
    """The folder with the candidate's answers, example by example."""
    exported_at: float
    """When it was exported: seconds since 1970."""

    @property
    def library(self) -> str:
        """The version of surefoot that made the bundle."""
        return str(self.environment.get("libraries", {}).get("surefoot") or "unknown")

    def of(self, model: Shipped) -> tuple[Figure, ...]:
        """The figures of one of the two models."""
        return tuple(f for f in self.figures if f.model == model.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What an export writes, and what it says about it."""

    files: Mapping[str, str | Path]
    """By path below the folder: a text, or a file to copy. A format of one file has one, ``."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
