"""Reads the data of a plan into a `Task`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.core.dataset import ConfirmationSet, Dataset, SelectionSet, Task
from surefoot.core.errors import DataError
from surefoot.core.plan import LABEL_LESS, OWN_SETS, Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data.confirmation import confirmation_sets, read_tests
from surefoot.data.fingerprint import row_hashes
from surefoot.data.read import read
from surefoot.data.split import split
from surefoot.data.task import align, overlap

SHARES = {"train": 0.8, "selection": 0.1, "calibration": 0.1}
"""How `task.train` is shared out where the plan names no `selection` or `calibration`."""
OUTSIDE, UNLABELLED = LABEL_LESS


def read_task(plan: Plan, progress: Progress | None = None) -> Task:
    """Read every data set of a plan; classes are all labels found, sorted.

    `selection` and `calibration` come from `train` where the plan names none: a tenth of its rows
    each, chosen by a hash of the group or id.

    Raises:
        DataError: A file, column, row or slice is at fault; or a test row was seen in training.
    """
    watch = progress or Silent()
    calls = {name: call for name in OWN_SETS if (call := getattr(plan.task, name)) is not None}
    watch.start("reading data", len(calls) + len(plan.task.test))
    found: dict[str, Dataset] = {}
    for name, call in calls.items():
        found[name] = _read(name, call, {})
        watch.advance()
    found |= read_tests(plan, watch)
    for name in plan.task.test:
        where = f"task.test.{name}"
        _refuse_seen(name, where, {**calls, **plan.task.test}, found)
        _refuse_same(name, where, found)
    if OUTSIDE in found:
        _refuse_seen(OUTSIDE, f"task.{OUTSIDE}", calls, found)
    task = _task(plan, found)
    for note in task.notes:
        watch.note(note)
    return task


def for_classes(task: Task, classes: Sequence[str]) -> Task:
    """The task with its labels counted into the classes of a model, in the model's order.

    Raises:
        DataError: A label that the model does not know.
    """

    def fit(dataset: Dataset | None) -> Dataset | None:
        return dataset and align(dataset, tuple(classes), where=dataset.name)

    selection = fit(task.selection)
    return replace(
        task,
        classes=tuple(classes),
        train=fit(task.train),
        selection=None if selection is None else SelectionSet(selection),
        calibration=fit(task.calibration),
        test={
            name: ConfirmationSet(align(d, tuple(classes), where=f"task.test.{name}"))
            for name, d in task.test.items()
        },
    )


def leaks(task: Task) -> tuple[str, ...]:
    """A warning for each test set with rows that stand word for word in the training data.

    What was split off for selection and calibration counts as well, and so do unlabelled rows.
    """
    given = (task.train, task.selection, task.calibration, task.unlabelled)
    seen = [d for d in given if d is not None]
    judged: dict[str, Dataset] = {f"test.{name}": dataset for name, dataset in task.test.items()}
    found = [*_again(judged, seen, "task.train")] if seen else []
    if task.out_of_scope is not None:
        outside = {OUTSIDE: task.out_of_scope}
        found += _again(outside, seen, "task.train") if seen else ()
        found += _again(outside, [*task.test.values()], "task.test")
    return tuple(found)


def _again(sets: Mapping[str, Dataset], seen: Sequence[Dataset], where: str) -> Iterator[str]:
    for name, dataset in sets.items():
        count = len(np.unique(np.concatenate([overlap(d, dataset) for d in seen])))
        if count:
            yield f"{count} of {len(dataset)} rows of {name} also stand in {where}"


def _read(name: str, call: Mapping[str, Any], slices: Mapping[str, str]) -> Dataset:
    options = {key: value for key, value in call.items() if key != "use"}
    return read(call["use"], options, name=name, slices=slices)


def _refuse_seen(
    name: str, where: str, calls: Mapping[str, Any], found: Mapping[str, Dataset]
) -> None:
    """Refuse a test set with rows of our own sets: the same given id, and the same input."""
    if not calls[name].get("id"):
        return
    test = found[name]
    for key in OWN_SETS:
        if key == name or key not in found or not calls[key].get("id"):
            continue
        seen = _shared(test, found[key])
        if len(seen):
            first = ", ".join(test.ids[seen[:5]]) + (", …" if len(seen) > 5 else "")
            raise DataError(
                f"{len(seen):,} rows also stand in task.{key}, with the same id and input: {first}",
                where=where,
                fix="take them out of one of the two: a verdict needs rows never seen before",
            )


def _refuse_same(name: str, where: str, found: Mapping[str, Dataset]) -> None:
    """Refuse a test set that is one of our own sets over again: the same inputs, every one.

    A few rows in common may be chance, as `leaks` counts them; all of both are the same data twice.
    """
    test = found[name]
    for key in OWN_SETS:
        if key == name or key not in found or len(found[key]) != len(test):
            continue
        mine, theirs = (np.sort(row_hashes(rows)) for rows in (test.inputs, found[key].inputs))
        if np.array_equal(mine, theirs):
            raise DataError(
                f"has the very rows of task.{key}: steps may not learn from, or be calibrated on,"
                " what they are judged on",
                where=where,
                fix="name other data as one of the two: a verdict needs rows never seen before",
            )


def _shared(test: Dataset, other: Dataset) -> np.ndarray:
    """Positions of the test rows whose id and input also stand together in another data set."""
    ids = row_hashes(test.ids), row_hashes(other.ids)
    _, here, there = np.intersect1d(*ids, return_indices=True)
    alike = row_hashes(test.inputs[here]) == row_hashes(other.inputs[there])
    positions: np.ndarray = np.sort(here[alike])
    return positions


def _task(plan: Plan, found: Mapping[str, Dataset]) -> Task:
    labelled = {name: d for name, d in found.items() if name not in LABEL_LESS}
    classes = tuple(sorted({label for d in labelled.values() for label in d.classes}))
    sets = {name: align(d, classes, where=name) for name, d in labelled.items()}
    own: dict[str, Dataset] = {name: sets[name] for name in SHARES if name in sets}
    if "train" in own:
        own = _shared_out(own, plan.task.seed) | {k: d for k, d in own.items() if k != "train"}
    tests, notes = confirmation_sets(plan, sets)
    return Task(
        name=plan.task.name,
        kind=plan.task.kind,
        classes=classes,
        train=own.get("train"),
        selection=SelectionSet(own["selection"]) if "selection" in own else None,
        calibration=own.get("calibration"),
        test={name: ConfirmationSet(dataset) for name, dataset in tests.items()},
        metric=plan.task.metric,
        notes=notes,
        out_of_scope=found.get(OUTSIDE),
        unlabelled=found.get(UNLABELLED),
    )


def _shared_out(own: Mapping[str, Dataset], seed: int) -> dict[str, Dataset]:
    """Split `train`, unless the plan names every set that would be split off it."""
    missing = [name for name in SHARES if name == "train" or name not in own]
    return split(own["train"], shares=_rescaled(missing), seed=seed)


def _rescaled(names: Iterable[str]) -> dict[str, float]:
    shares = {name: SHARES[name] for name in names}
    return {name: share / sum(shares.values()) for name, share in shares.items()}
