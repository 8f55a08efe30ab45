"""Runs the models of earlier evidence again, and says which answers moved.

A model file is the same everywhere; what answers is the file in a runtime on a processor. Evidence
of another machine, version or number of threads holds here as far as nothing moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.bundle import (
    changes,
    environment,
    environment_key,
    read_cell,
    read_verdict_json,
    recorded_environment,
)
from surefoot.bundle.hide import hidden_by
from surefoot.core.dataset import ConfirmationSet, Examples, Task
from surefoot.core.drift import CellDrift, Drift, Moved, Sample
from surefoot.core.errors import BundleError, DataError, ModelError, PluginError
from surefoot.core.evidence import Cell, Repeat, place
from surefoot.core.hidden import Hider
from surefoot.core.model import Candidate, Model, Recipe
from surefoot.core.nested import from_json
from surefoot.core.parts import speaks_of
from surefoot.core.plan import OWN_SETS, ModelPlan, Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data import for_classes, read_task
from surefoot.evaluate import Filling, ask_again, fill_cells, sample_cell, under_shifts
from surefoot.evaluate.moved import against_floor, difference, share
from surefoot.models import read_model, source_files
from surefoot.models.formats.skops import TRUSTED
from surefoot.models.store import TOKENIZER
from surefoot.store import Store

ROUNDING = 1e-4
"""Sums of floats in another order move a probability by less: no answer depends on it."""
ALPHA = 0.05
"""How often one cell or more of an equal machine may be said to have moved."""

COLUMNS = {
    "T": ("dataset", "shift", "id", "label", "predicted"),
    "iuf": ("severity", "score", "confidence"),
    "b": ("correct",),
}
"""What an earlier cell must hold, by the kinds of array."""

Where = tuple[str, str, float]
"""Data set, shift and severity."""
Columns = Mapping[str, np.ndarray]
"""An earlier cell, as its Parquet file holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """What is needed of an earlier verdict.json."""

    entries: Mapping[str, Mapping[str, str]]
    """By name each candidate's name, fingerprint and runtime; the baseline first."""
    rows: Mapping[str, str]
    """The fingerprints of the test sets."""
    batch: int
    evidence: Mapping[str, str]
    """Whether its ids are hashes, and of which salt."""
    repeat: Repeat | None
    """The noise floor of the baseline, where it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Earlier evidence measured again, with what it was measured on."""

    drift: Drift
    """What moved."""
    cells: Mapping[tuple[str, Where], Cell]
    """What was measured of whole cells, by candidate and place."""
    candidates: tuple[Candidate, ...]
    """Whose models are at hand; the baseline first, if it is."""
    task: Task | None
    """The rows; None where there are none."""


def drift(plan: Plan, run: Path, out: Path, progress: Progress | None = None) -> Drift:
    """Hold earlier evidence against the same models, run here on the plan's rows.

    The ledger does not count it: no candidate is made or chosen, and what it shows of the rows was
    counted when the evidence was made.

    Args:
        plan: Says where the rows are; its budgets and candidates do not matter.
        run: A run folder, or a bundle.
        out: Where what is measured here is kept.
        progress: Told of every piece of work.

    Raises:
        BundleError: There is no bundle, or it is not as surefoot writes it.
        MachineError: It does not say what it was made with, so that nothing can be concluded.
        SurefootError: The data or a file is at fault.
    """
    bundle = run if (run / "verdict.json").exists() else run / "bundle"
    return measure_again(plan, bundle, out, progress=progress).drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How earlier evidence is measured again."""

    sample: Sample | None = None
    """Of each cell, these rows alone."""
    models: tuple[Candidate, ...] = ()
    """Who stands in for the candidates of these names, whose models are others."""
    lenient: bool = False
    """Whether test sets that are not at hand are left out, rather than being an error."""


EVERYTHING = Asked()


def measure_again(
    plan: Plan,
    bundle: Path,
    out: Path,
    *,
    asked: Asked = EVERYTHING,
    progress: Progress | None = None,
) -> Again:
    """Run the models of a bundle on the plan's rows, cell by cell.

    Args:
        plan: Says where the rows are.
        bundle: The bundle.
        out: Where what is measured here is kept.
        asked: Which rows, and what to do about those that are not at hand.
        progress: Told of every piece of work.

    Raises:
        SurefootError: As `drift` does.
    """
    then, there = _earlier(bundle), recorded_environment(bundle)
    differs = changes(there, environment())
    # On an equal machine the store would give the very cells that are to be checked.
    context = environment_key() if differs else f"{environment_key()} again"
    watch, store = progress or Silent(), Store(out, context)
    with store.locked():
        models = _models(
            bundle,
            {entry["fingerprint"] for entry in then.entries.values()},
            _own_files(plan.model, store),
        )
        classes = [m.signature.classes for m in models.values() if isinstance(m, Model)]
        hider, unknown = hidden_by({"evidence": then.evidence}, plan.path.parent)
        task, gone = _rows_here(plan, classes[0] if classes else None, asked.lenient, watch)
        here = _Here(
            task=task,
            gone=gone,
            asked=asked,
            hider=hider,
            unknown=unknown,
            plan=plan,
            rows=then.rows,
            batch=then.batch,
            store=store,
            progress=watch,
        )
        found: list[_Judged] = []
        floors: dict[str, Repeat] = {}
        for folder in sorted((bundle / "cells").glob("*"), key=_in_order(then.entries)):
            stands_in = {one.name: one for one in asked.models}.get(folder.name)
            if asked.models and stands_in is None:
                continue
            candidate = stands_in or _candidate(then.entries.get(folder.name), models)
            earlier = [read_cell(file, COLUMNS) for file in sorted(folder.glob("*.parquet"))]
            if isinstance(candidate, str):
                found += [_not_run(columns, folder.name, candidate) for columns in earlier]
                continue
            recorded = then.repeat if folder.name == next(iter(then.entries)) else None
            judged, floor = here.again(candidate, earlier, recorded)
            found += judged
            floors |= {folder.name: floor} if floor else {}
    made = (_candidate(entry, models) for entry in then.entries.values())
    return Again(
        drift=Drift(
            environment=differs,
            batch=then.batch,
            cells=_settled(found),
            floors=tuple(floors.items()),
        ),
        cells={(j.here.candidate, j.key): j.here for j in found if j.here is not None},
        candidates=tuple(one for one in made if isinstance(one, Candidate)),
        task=task,
    )


def _rows_here(
    plan: Plan, classes: Sequence[str] | None, lenient: bool, watch: Progress
) -> tuple[Task | None, dict[str, str]]:
    """The test sets, and why some cannot be read; of the other sets nothing is needed then."""
    if not lenient:
        raw = read_task(plan, watch)
        return (for_classes(raw, classes) if classes else raw), {}
    found: Task | None = None
    gone: dict[str, str] = {}
    own: dict[str, Any] = dict.fromkeys(OWN_SETS)
    for name, call in plan.task.test.items():
        only = replace(plan, task=replace(plan.task, **own, test={name: call}), budgets=())
        try:
            task = read_task(only, watch)
            task = for_classes(task, classes) if classes else task
        except (DataError, PluginError) as error:
            gone[name] = str(error)
            continue
        found = replace(found, test={**found.test, **task.test}) if found else task
    return found, gone


def _earlier(bundle: Path) -> _Earlier:
    data = read_verdict_json(bundle)
    try:
        return _told(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(
            f"verdict.json is not as surefoot writes it: {type(error).__name__}: {error}",
            where=str(bundle),
            fix="take the folder as its run left it, or run its plan again",
        ) from error


def _told(data: Mapping[str, Any]) -> _Earlier:
    """What verdict.json says; whatever Python raises where it is of another form."""
    keys = ("name", "fingerprint", "runtime")
    listed = [{key: str(entry[key]) for key in keys} for entry in data["candidates"]]
    batch, told = int(data["batch"]), data["repeat"]
    if not listed or batch < 1:
        raise ValueError(f"{len(listed)} candidates, batch {batch}")
    return _Earlier(
        entries={entry["name"]: entry for entry in listed},
        rows={str(name): str(sha) for name, sha in data.get("rows", {}).items()},
        batch=batch,
        evidence=dict(data.get("evidence", {})),
        repeat=told
        and Repeat(
            rows=int(told["rows"]), flips=int(told["flips"]), largest=float(told["largest"])
        ),
    )


def _own_files(model: ModelPlan, store: Store) -> frozenset[str]:
    """SHA-256 of the files of the plan's model, if the plan trusts it.

    They alone may run code: somebody who trusts a pickle of their own has not said a word about
    those in a folder of others.
    """
    if not model.trust:
        return frozenset()
    try:
        return frozenset(map(store.digest, source_files(Path(model.path), model)))
    except ModelError:  # gone, and so nobody's
        return frozenset()


def _models(bundle: Path, wanted: set[str], own: frozenset[str]) -> dict[str, Model | str]:
    """By fingerprint the models that the bundle, or the run folder around it, holds.

    One that cannot be read is the reason why.

    Args:
        bundle: The bundle.
        wanted: Their fingerprints.
        own: SHA-256 of the files that may run code.
    """
    found: dict[str, Model | str] = {}
    for root in (bundle, bundle.parent):
        for file in sorted(root.glob("models/*/signature.json")):
            try:
                record = from_json(file.read_text())
                fingerprint, files = record["fingerprint"], dict(record["files"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue  # somebody else's file
            if fingerprint in wanted and not isinstance(found.get(fingerprint), Model):
                found[fingerprint] = _opened(file.parent, trust=_is_own(files, own))
    return found


def _is_own(files: Mapping[str, str], own: frozenset[str]) -> bool:
    """Whether a sealed model holds nothing that could run code but the user's own files."""
    known = (TOKENIZER, TRUSTED)
    return bool(own) and all(sha in own for name, sha in files.items() if name not in known)


def _opened(folder: Path, *, trust: bool) -> Model | str:
    try:
        return read_model(folder, trust=trust)
    except ModelError as error:
        fix = "[model] trust holds for the very file that the plan names" if not trust else None
        asks = "trust" in (error.fix or "")
        return str(ModelError(error.what, where=error.where, fix=fix if asks else error.fix))


def _in_order(entries: Mapping[str, Any]) -> Callable[[Path], tuple[int, str]]:
    """Folders of cells in the order of the candidates, then those of further seeds."""
    order = {name: position for position, name in enumerate(entries)}
    return lambda folder: (order.get(folder.name, len(order)), folder.name)


def _candidate(
    entry: Mapping[str, Any] | None, models: Mapping[str, Model | str]
) -> Candidate | str:
    """The candidate of an entry of `verdict.json`, or why there is none."""
    if entry is None:
        return "the model of a further seed is not kept"
    model = models.get(entry["fingerprint"], "its model is not in that run")
    if isinstance(model, str):
        return model
    name = entry["name"]
    return Candidate(name=name, model=model, runtime=entry["runtime"], recipe=Recipe(name=name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A cell with what decides whether it moved."""

    cell: CellDrift
    p: float = 1.0
    """p-value of "not more answers differ than when the same machine is asked twice"."""
    beyond: bool = False
    """Whether it moved for another reason."""
    key: Where = ("", "", 0.0)
    """Data set, shift and severity."""
    here: Cell | None = None
    """What was measured, where all rows were."""


def _settled(found: Sequence[_Judged]) -> tuple[CellDrift, ...]:
    """The cells with their status, at one error rate for all of them together (Holm)."""
    compared = [one for one in found if one.cell.moved is not None]
    small = stats.holm([one.p for one in compared]) <= ALPHA if compared else ()
    told = {id(one): bool(is_small) for one, is_small in zip(compared, small, strict=True)}
    return tuple(
        replace(one.cell, status="moved") if told.get(id(one)) or one.beyond else one.cell
        for one in found
    )


def _not_run(columns: Columns, name: str, reason: str, *, other_rows: bool = False) -> _Judged:
    where = place(*_key(columns), None)
    cell = CellDrift(
        candidate=name, place=where, status="not run", reason=reason, other_rows=other_rows
    )
    return _Judged(cell=cell)


def _key(columns: Columns) -> Where:
    """Data set, shift and severity of an earlier cell."""
    return str(columns["dataset"][0]), str(columns["shift"][0]), float(columns["severity"][0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """The rows and the machine that earlier evidence is measured again on."""

    task: Task | None
    gone: Mapping[str, str]
    asked: Asked
    hider: Hider | None
    unknown: str
    """Why rows cannot be told from their hashes; empty where they can."""
    plan: Plan
    rows: Mapping[str, str]
    batch: int
    store: Store
    progress: Progress

    def again(
        self, candidate: Candidate, earlier: Sequence[Columns], recorded: Repeat | None
    ) -> tuple[list[_Judged], Repeat | None]:
        """Every earlier cell of one candidate against one made here, and its noise floor.

        Without a floor where the candidate does not run here at all.
        """
        sets = self.task.test if self.task else {}
        known = {(d.name, d.shift, d.severity): d for d in _shifted(sets, self.plan).values()}
        if not any(_key(columns) in known for columns in earlier):
            return [_not_run(c, candidate.name, self._unlike(c, None)) for c in earlier], None
        try:
            floor = self._floor(candidate, recorded)
        except (ModelError, PluginError) as error:
            return [_not_run(columns, candidate.name, str(error)) for columns in earlier], None
        judged = []
        for columns in earlier:
            dataset = known.get(_key(columns))
            reason = self._unlike(columns, dataset)
            if reason or dataset is None:
                other = dataset is not None
                judged.append(_not_run(columns, candidate.name, reason, other_rows=other))
                continue
            try:
                judged.append(self._cell(candidate, columns, dataset, floor))
            except (ModelError, PluginError) as error:
                judged.append(_not_run(columns, candidate.name, str(error)))
        return judged, floor

    def _cell(
        self, candidate: Candidate, columns: Columns, dataset: Examples, floor: Repeat
    ) -> _Judged:
        """One earlier cell against one made here, of all rows or of a sample."""
        hider = self.hider
        if self.asked.sample is None:
            (cell,) = fill_cells(
                candidate,
                {dataset.name: dataset},
                self.store,
                batch=self.batch,
                progress=self.progress,
                golden=False,
            )
            return replace(_judged(columns, cell, dataset, floor, hider), here=cell)
        drawn = sample_cell(candidate, dataset, self.asked.sample, self.batch, self.progress)
        part = {name: values[drawn.positions] for name, values in columns.items()}
        judged = _judged(part, drawn.cell, drawn.rows, floor, hider)
        return replace(judged, cell=replace(judged.cell, seen=drawn.seen))

    def _floor(self, candidate: Candidate, recorded: Repeat | None) -> Repeat:
        """What the candidate differs by from itself: asked twice here, and twice back then."""
        assert self.task is not None
        name, first = next(iter(self.task.test.items()))
        how = Filling(store=self.store, batch=self.batch, golden=False)
        here = ask_again(candidate, {name: first}, how)
        if recorded is None:
            return here
        return Repeat(
            rows=here.rows + recorded.rows,
            flips=here.flips + recorded.flips,
            largest=max(here.largest, recorded.largest),
        )

    def _unlike(self, columns: Columns, dataset: Examples | None) -> str:
        """Why the rows here are not those of an earlier cell; empty where they are."""
        if dataset is None:
            gone = [why for name, why in self.gone.items() if speaks_of(name, _key(columns)[0])]
            return gone[0] if gone else "the plan has no such data set or shift"
        hider = self.hider
        if self.unknown:
            return self.unknown
        here, there = dataset.ids, columns["id"]
        hidden = hider.ids(dataset.name, here) if hider else here
        if len(here) != len(there) or not np.array_equal(hidden, there):
            lost, more = len(np.setdiff1d(there, hidden)), len(np.setdiff1d(hidden, there))
            return f"the rows are others: {lost:,} ids are gone, {more:,} new, or their order is"
        labels = np.array(dataset.classes, np.dtypes.StringDType())[dataset.labels]
        labels = hider.answers(dataset.name, here, labels) if hider else labels
        if changed := int((labels != columns["label"]).sum()):
            return f"{changed:,} labels are others"
        made_of = self.rows.get(dataset.name)
        assert self.task is not None
        if made_of is not None and made_of != self.task.test[dataset.name].fingerprint:
            return "the inputs are others, under the same ids"
        return ""


def _shifted(sets: Mapping[str, ConfirmationSet], plan: Plan) -> Mapping[str, Examples]:
    return under_shifts(sets, plan.shifts)


def _judged(
    columns: Columns, cell: Cell, dataset: Examples, floor: Repeat, hider: Hider | None = None
) -> _Judged:
    names = np.array(dataset.classes, np.dtypes.StringDType())
    answers = names[cell.predicted]
    answers = hider.answers(dataset.name, dataset.ids, answers) if hider else answers
    differ = answers != columns["predicted"]
    before, after = columns["correct"].astype(bool), cell.predicted == cell.labels
    rows = np.arange(len(differ))
    largest = max(
        float(np.abs(cell.scores[rows, cell.labels] - columns["score"]).max()),
        float(np.abs(cell.scores[rows, cell.predicted] - columns["confidence"]).max()),
    )
    return _Judged(
        cell=CellDrift(
            candidate=cell.candidate,
            place=place(*_key(columns), None),
            status="same",
            moved=Moved(
                rows=len(differ),
                differ=share(differ, dataset.groups),
                there=float(before.mean()),
                here=float(after.mean()),
                difference=difference(after.astype(int) - before, dataset.groups),
                largest=largest,
            ),
        ),
        p=against_floor(int(differ.sum()), len(differ), floor),
        # The largest of many rows is a little larger than that of the few that were asked again.
        beyond=largest > max(ROUNDING, 2 * floor.largest),
        key=_key(columns),
    )
