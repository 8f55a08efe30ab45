"""Reads the data of a plan into a `Task`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from surefoot.core.dataset import ConfirmationSet, Dataset, SelectionSet, Task
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data.read import read
from surefoot.data.split import split
from surefoot.data.task import align, check, overlap

SHARES = {"train": 0.8, "selection": 0.1, "calibration": 0.1}
"""How `task.train` is shared out where the plan names no `selection` or `calibration`."""


def read_task(plan: Plan, progress: Progress | None = None) -> Task:
    """Read every data set of a plan; classes are all labels found, sorted.

    `selection` and `calibration` come from `train` where the plan names none: a tenth of its rows
    each, chosen by a hash of the group or id.

    Raises:
        DataError: A file, column, row or slice is at fault.
    """
    watch = progress or Silent()
    calls = {"train": plan.task.train, "selection": plan.task.selection}
    calls |= {"calibration": plan.task.calibration, **plan.task.test}
    found: dict[str, Dataset] = {}
    watch.start("reading data", len(calls))
    for name, call in calls.items():
        if call is not None:
            slices = plan.evaluate.slices if name in plan.task.test else {}
            found[name] = _read(name, call, slices)
        watch.advance()
    for name in plan.task.test:
        check(found[name], f"task.test.{name}")
    return _task(plan, found)


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
    """A warning for each test set with rows that stand word for word in the training data."""
    if task.train is None:
        return ()
    counts = {name: len(overlap(task.train, dataset)) for name, dataset in task.test.items()}
    return tuple(
        f"{count} of {len(task.test[name])} rows of test.{name} also stand in task.train"
        for name, count in counts.items()
        if count
    )


def _read(name: str, call: Mapping[str, Any], slices: Mapping[str, str]) -> Dataset:
    options = {key: value for key, value in call.items() if key != "use"}
    return read(call["use"], options, name=name, slices=slices)


def _task(plan: Plan, found: Mapping[str, Dataset]) -> Task:
    classes = tuple(sorted({label for d in found.values() for label in d.classes}))
    sets = {name: align(d, classes, where=name) for name, d in found.items()}
    own: dict[str, Dataset] = {name: sets[name] for name in SHARES if name in sets}
    if "train" in own:
        own = _shared_out(own, plan.task.seed) | {k: d for k, d in own.items() if k != "train"}
    return Task(
        name=plan.task.name,
        kind=plan.task.kind,
        classes=classes,
        train=own.get("train"),
        selection=SelectionSet(own["selection"]) if "selection" in own else None,
        calibration=own.get("calibration"),
        test={name: ConfirmationSet(sets[name]) for name in plan.task.test},
        metric=plan.task.metric,
    )


def _shared_out(own: Mapping[str, Dataset], seed: int) -> dict[str, Dataset]:
    """Split `train`, unless the plan names every set that would be split off it."""
    missing = [name for name in SHARES if name == "train" or name not in own]
    return split(own["train"], shares=_rescaled(missing), seed=seed)


def _rescaled(names: Iterable[str]) -> dict[str, float]:
    shares = {name: SHARES[name] for name in names}
    return {name: share / sum(shares.values()) for name, share in shares.items()}
