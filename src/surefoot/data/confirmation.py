"""The test sets of a plan as they are judged: split by a column, sliced by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, nearest
from surefoot.core.evidence import Budget
from surefoot.core.parts import CLASS, part_name, speaks_of
from surefoot.core.plan import Plan
from surefoot.core.printable import printable
from surefoot.core.progress import Progress
from surefoot.data.fingerprint import fingerprint
from surefoot.data.read import read
from surefoot.data.task import check
from surefoot.plan.problems import NAME

MOST_PARTS = 60
"""The most test sets that one source is split into: each is measured and judged by itself."""


def read_tests(plan: Plan, progress: Progress) -> dict[str, Dataset]:
    """Read the sources of the test sets, and nothing else of a plan.

    Args:
        plan: The plan.
        progress: Told of every source.

    Returns:
        The rows of each source by its name in the plan, before any is split.

    Raises:
        DataError: A file, column, row or slice is at fault.
    """
    found: dict[str, Dataset] = {}
    for name, call in plan.task.test.items():
        options = {key: value for key, value in call.items() if key != "use"}
        found[name] = read(call["use"], options, name=name, slices=plan.evaluate.slices)
        check(found[name], f"task.test.{name}")
        progress.advance()
    return found


def confirmation_sets(
    plan: Plan, whole: Mapping[str, Dataset]
) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    """The test sets that are judged, of the sources that a plan names.

    Args:
        plan: Says which source is split by which column, and whether classes are slices.
        whole: The rows of each source by its name.

    Returns:
        The test sets by name, for example `flights month=1`; and what was left out.

    Raises:
        DataError: A column splits into too many parts, or into parts that cannot be named; or a
            budget speaks of a part or class that is not there.
    """
    sets: dict[str, Dataset] = {}
    notes: list[str] = []
    for name, call in plan.task.test.items():
        if whole[name].parts is None:
            sets[name] = whole[name]
            continue
        parts = _split(whole[name], str(call["by"]))
        notes += _left_out(whole[name], str(call["by"]), parts)
        sets |= {part.name: part for part in parts}
    if plan.evaluate.class_slices:
        sets = {name: _by_class(dataset) for name, dataset in sets.items()}
    _check_places(plan, sets)
    return sets, tuple(notes)


def _split(dataset: Dataset, column: str) -> list[Dataset]:
    """One test set a value; a slice that has no rows in it is none of its slices."""
    assert dataset.parts is not None
    where = f"task.test.{dataset.name}.by"
    values = [str(value) for value in np.unique(dataset.parts) if value]
    if not values:
        raise DataError(f"column '{column}' is empty in every row", where=where)
    if len(values) > MOST_PARTS:
        raise DataError(
            f"column '{column}' has {len(values):,} values, and at most {MOST_PARTS} make test sets"
            " of their own",
            where=where,
            fix="name a coarser column, or leave 'by' out and name it as 'group'",
        )
    odd = [v for v in values if not NAME.fullmatch(part_name(dataset.name, column, v))]
    if odd:
        raise DataError(
            f"{len(odd)} values of column '{column}' make no file name, the first is {odd[0]!r}",
            where=where,
            fix="write them with letters, digits, blanks and . , + = _ -, 100 characters at most"
            " with the names of the test set and the column",
        )
    return [_part(dataset, column, value) for value in sorted(values, key=_in_order)]


def _part(dataset: Dataset, column: str, value: str) -> Dataset:
    assert dataset.parts is not None
    rows = dataset.rows(dataset.parts == value, name=part_name(dataset.name, column, value))
    slices = {name: mask for name, mask in rows.slices.items() if mask.any()}
    rows = replace(rows, slices=slices, parts=None)
    return replace(rows, fingerprint=fingerprint(rows))


def _in_order(value: str) -> tuple[float, str]:
    """Months as numbers: 2 before 10; what is no number comes last, by the alphabet."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _left_out(dataset: Dataset, column: str, parts: Sequence[Dataset]) -> Iterator[str]:
    lost = len(dataset) - sum(map(len, parts))
    if lost:
        yield (
            f"{lost:,} of {len(dataset):,} rows of test.{dataset.name} have nothing in column"
            f" '{column}' and are in none of its {len(parts)} parts: they are not judged"
        )
    for name in dataset.slices:
        without = sum(name not in part.slices for part in parts)
        if without:
            yield (
                f"slice '{name}' has no rows in {without} of the {len(parts)} parts of"
                f" test.{dataset.name}: budgets on it do not hold there"
            )


def _by_class(dataset: Dataset) -> Dataset:
    """The data set with a slice for every class that has rows in it."""
    found = {
        f"{CLASS}{printable(dataset.classes[index])}": dataset.labels == index
        for index in np.unique(dataset.labels)
    }
    return replace(dataset, slices={**dataset.slices, **found})


def _check_places(plan: Plan, sets: Mapping[str, Dataset]) -> None:
    """Refuse budgets on parts and classes that the data do not have, before anything is run."""
    for i, budget in enumerate(plan.budgets):
        where = f"{Path(plan.path).name}: budget[{i}]"
        here = [dataset for name, dataset in sets.items() if speaks_of(budget.dataset, name)]
        if not here:
            fix = nearest(str(budget.dataset), sets)
            raise DataError(f"no part '{budget.dataset}'", where=f"{where}.dataset", fix=fix)
        _check_slice(budget, here, f"{where}.slice")


def _check_slice(budget: Budget, here: Sequence[Dataset], where: str) -> None:
    known = {name for dataset in here for name in dataset.slices}
    if budget.slice not in (None, "*", *known):
        among = f" in '{budget.dataset}'" if budget.dataset else ""
        raise DataError(
            f"no row{among} is in slice '{budget.slice}'",
            where=where,
            fix=nearest(str(budget.slice), known),
        )
