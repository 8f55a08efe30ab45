"""Runs the behaviour checks of a plan on the baseline and every candidate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.checks import CRASHES, Checked, CheckResult, Golden, Opened, Subject
from surefoot.core.cpus import usable_cpus
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import PluginError
from surefoot.core.evidence import Cell
from surefoot.core.hashing import hash_arrays
from surefoot.core.model import INPUTS, Candidate, Model, StepCall
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress
from surefoot.data import fingerprint
from surefoot.models import golden_broken, open_model, read_golden
from surefoot.store import Store

FILE = "checked.json"
TEXT = np.dtypes.StringDType()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The rows that checks ask about, the same for every candidate."""

    dataset: Dataset
    """Drawn from all test sets as they came; ids are `SET/ID`."""
    sets: np.ndarray
    """(n,) the test set of each row."""
    positions: Mapping[str, np.ndarray]
    """By test set, which of its rows these are, in their order."""
    train: Dataset | None
    """Drawn from the training rows; ids are `train/ID`."""

    def scores(self, cells: Sequence[Cell]) -> np.ndarray:
        """(n, classes) what a candidate gave to these rows, from its cells."""
        as_they_came = {cell.dataset: cell.scores for cell in cells if not cell.shift}
        return np.concatenate([as_they_came[name][at] for name, at in self.positions.items()])


def run_checks(
    plan: Plan,
    task: Task,
    candidates: Sequence[Candidate],
    cells: Mapping[str, Sequence[Cell]],
    store: Store,
    progress: Progress,
) -> tuple[CheckResult, ...]:
    """Run every check on every candidate; what the store holds is not done again.

    Args:
        plan: Its checks, and how many rows they ask about.
        task: The data.
        candidates: The baseline first.
        cells: What each of them answered, by name.
        store: Where results are kept.
        progress: Told of every check.

    Returns:
        For each candidate a result of each check. One that could not be run says why: it is a
        finding about that candidate, and no reason to judge none.
    """
    if not plan.checks:
        return ()
    sample = draw(task, plan.evaluate.check_rows)
    baseline = sample.scores(cells[candidates[0].name])
    found: list[CheckResult] = []
    for candidate in candidates:
        scores = sample.scores(cells[candidate.name])
        one = _One(
            candidate=candidate, task=task, sample=sample, scores=scores, baseline=baseline,
            store=store, progress=progress,
        )  # fmt: skip
        found += one.results(plan.checks)
    return tuple(found)


def asked_rows(plan: Plan, rows: int) -> dict[str, int]:
    """How many rows each check of a plan asks about at most; 0 where they are a fixed list.

    Args:
        plan: The plan.
        rows: How many rows its test sets have together.
    """
    found = {}
    for call in plan.checks:
        exact = getattr(plugins.module("check", call.use), "EXACT", False)
        own = plugins.options("check", call.use).get("rows")
        most = rows if own is None else int(dict(call.options).get("rows", own.default))
        found[call.use] = 0 if exact else min(rows, plan.evaluate.check_rows, most)
    return found


def draw(task: Task, rows: int) -> Sample:
    """Rows of all test sets, each as likely as any other, and as many of the training rows.

    Args:
        task: The data.
        rows: How many, at most.
    """
    lengths = [len(dataset) for dataset in task.test.values()]
    rng = np.random.default_rng(0)
    total = sum(lengths)
    chosen = np.sort(rng.choice(total, min(rows, total), replace=False))
    starts = np.cumsum([0, *lengths])
    positions = {
        name: chosen[(chosen >= start) & (chosen < stop)] - start
        for name, start, stop in zip(task.test, starts, starts[1:], strict=False)
    }
    train = task.train
    if train is not None:
        part = np.sort(rng.choice(len(train), min(rows, len(train)), replace=False))
        train = _prefixed(train.rows(part), "train")
    parts = [_prefixed(task.test[name].rows(at), name) for name, at in positions.items()]
    return Sample(
        dataset=_joined(parts, task),
        sets=np.repeat(np.array(list(positions), TEXT), [len(at) for at in positions.values()]),
        positions=positions,
        train=train,
    )


def _prefixed(dataset: Dataset, name: str) -> Dataset:
    return replace(dataset, ids=np.array([f"{name}/{one}" for one in dataset.ids.tolist()], TEXT))


def _joined(parts: Sequence[Dataset], task: Task) -> Dataset:
    """Several data sets as one; a row without a group is a group of its own."""
    names = dict.fromkeys(name for part in parts for name in part.slices)
    grouped = any(part.groups is not None for part in parts)
    nowhere = [np.zeros(len(part), dtype=bool) for part in parts]
    return Dataset(
        name="all test sets",
        ids=np.concatenate([part.ids for part in parts]),
        inputs=np.concatenate([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        classes=task.classes,
        slices={
            name: np.concatenate(
                [part.slices.get(name, none) for part, none in zip(parts, nowhere, strict=True)]
            )
            for name in names
        },
        groups=np.concatenate([p.ids if p.groups is None else p.groups for p in parts])
        if grouped
        else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """One candidate, and what it is checked on."""

    candidate: Candidate
    task: Task
    sample: Sample
    scores: np.ndarray
    baseline: np.ndarray
    store: Store
    progress: Progress

    def results(self, calls: Sequence[StepCall]) -> Iterator[CheckResult]:
        """What each check found; the model is opened only if one has to be run."""
        kept = {call: self.store.kept("checks", self._key(call), _read) for call in calls}
        made = self._made([call for call, checked in kept.items() if checked is None])
        for call in calls:
            yield self._result(call, kept[call] or made[call])

    def _made(self, calls: Sequence[StepCall]) -> dict[StepCall, Checked | str]:
        if not calls:
            return {}
        with ExitStack() as stack:
            try:
                opened = _opened(self.candidate, _threads())
                subject = self._subject(stack.enter_context(opened))
            except CRASHES as error:
                return dict.fromkeys(calls, _reason(error))
            return {call: self._run(call, subject) for call in calls}

    def _run(self, call: StepCall, subject: Subject) -> Checked | str:
        """What a check found, or why it could not be run; the latter is not kept."""
        self.progress.start(f"{call.use} of {self.candidate.name}", 1)
        digest = hashlib.sha256(f"check {call.use}".encode()).digest()
        rng = np.random.default_rng(list(digest))
        try:
            checked = plugins.find("check", call.use)(subject, rng, **dict(call.options))
            sound(checked, call.use)
        except CRASHES as error:
            self.progress.note(f"{call.use} of {self.candidate.name} cannot be run: {error}")
            return _reason(error)
        self.progress.advance()
        return _read(self.store.make("checks", self._key(call), partial(_write, checked)))

    def _subject(self, model: Opened) -> Subject:
        sample = self.sample
        return Subject(
            kind=INPUTS[self.task.kind],
            classes=self.task.classes,
            dataset=sample.dataset,
            sets=sample.sets,
            scores=self.scores,
            baseline_scores=self.baseline,
            train=sample.train,
            model=model,
            reopened=partial(_opened, self.candidate),
            threads=_threads(),
            golden=_golden(self.candidate.model),
        )

    def _key(self, call: StepCall) -> Mapping[str, Any]:
        rows, train = self.sample.dataset, self.sample.train
        version = plugins.version("check", call.use) if plugins.foreign("check", call.use) else ""
        return {
            "check": [call.use, call.options, version],
            "model": [
                self.candidate.model.fingerprint,
                plugins.stamped("runtime", self.candidate.runtime),
                _threads(),
            ],
            "rows": fingerprint(rows),
            "slices": {name: hash_arrays(mask) for name, mask in rows.slices.items()},
            "train": None if train is None else fingerprint(train),
            "scores": hash_arrays(self.scores, self.baseline),
        }

    def _result(self, call: StepCall, found: Checked | str) -> CheckResult:
        name, check = self.candidate.name, call.use
        if isinstance(found, str):
            return CheckResult(candidate=name, check=check, checked=None, error=found)
        rows = self.sample.dataset
        place = {one: i for i, one in enumerate(rows.ids.tolist())}
        at = np.array([place.get(one, -1) for one in found.ids.tolist()], dtype=np.int64)
        slices = {part: (at >= 0) & mask[at] for part, mask in rows.slices.items()}
        return CheckResult(
            candidate=name,
            check=check,
            checked=found,
            exact=getattr(plugins.module("check", check), "EXACT", False),
            groups=self._groups(found.ids),
            slices={part: mask for part, mask in slices.items() if mask.any()},
        )

    def _groups(self, ids: np.ndarray) -> np.ndarray | None:
        """The cluster of each row asked, whichever sample it is from; None without any groups."""
        known: dict[str, str] = {}
        for rows in (self.sample.dataset, self.sample.train):
            if rows is not None and rows.groups is not None:
                known |= zip(rows.ids.tolist(), rows.groups.tolist(), strict=True)
        if not known:
            return None
        clusters = [known.get(one, one) for one in ids.tolist()]
        return np.unique(np.array(clusters, TEXT), return_inverse=True)[1]


@contextmanager
def _opened(candidate: Candidate, threads: int) -> Iterator[Opened]:
    """A candidate as a check may ask it; golden vectors are a check of their own."""
    with open_model(
        candidate.model, runtime=candidate.runtime, threads=threads, golden=False
    ) as predictor:

        def one_call(inputs: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):  # infinite and missing numbers are asked on purpose
                return predictor.run_batch(inputs, finite=False)

        yield Opened(one_call=one_call)


def _golden(model: Model) -> Golden | None:
    stored = read_golden(model)
    if stored is None:
        return None
    inputs, expected = stored
    broken: Callable[[np.ndarray], np.ndarray] = partial(golden_broken, expected=expected)
    return Golden(inputs=inputs, probabilities=expected, broken=broken)


def sound(checked: Any, check: str) -> None:
    """Make sure that a plugin gave what its contract says.

    Raises:
        PluginError: It did not.
    """
    n = len(checked.ids) if isinstance(checked, Checked) else -1
    if n < 0 or checked.failed.shape != (n,) or checked.failed.dtype != np.bool_:
        raise PluginError(f"check '{check}' must give a Checked with ids and a bool for each")
    if len(checked.details) != n or len(set(checked.ids.tolist())) != n:
        raise PluginError(f"check '{check}' must give a detail for each id, and no id twice")


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _threads() -> int:
    return usable_cpus()


def _write(checked: Checked, folder: Path) -> None:
    columns = {
        "ids": checked.ids.tolist(),
        "failed": checked.failed.tolist(),
        "details": checked.details,
        "largest": None if checked.largest is None else float(checked.largest),
        "note": checked.note,
    }
    (folder / FILE).write_text(json.dumps(columns, ensure_ascii=False))


def _read(folder: Path) -> Checked:
    columns = json.loads((folder / FILE).read_text())
    return Checked(
        ids=np.array(columns["ids"], TEXT),
        failed=np.array(columns["failed"], dtype=bool),
        details=tuple(columns["details"]),
        largest=columns["largest"],
        note=columns["note"],
    )
