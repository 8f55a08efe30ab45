"""The answers that a candidate changed, row by row: from a bundle's cells and the plan's data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.bundle import cell_file, environment, read_environment, read_verdict_json
from surefoot.core.dataset import Dataset
from surefoot.core.errors import BundleError, DataError, nearest
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import place
from surefoot.core.parts import speaks_of
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress
from surefoot.core.within import within
from surefoot.data import confirmation_sets, read_tests
from surefoot.data.columns import read_parquet
from surefoot.evaluate import shifted
from surefoot.evaluate.moved import share

Kind = Literal["lost", "won", "other"]
KINDS: tuple[Kind, ...] = ("lost", "won", "other")
"""Right to wrong, wrong to right, wrong to another wrong answer; the worst first."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One row whose answer changed."""

    kind: Kind
    """What happened to it."""
    place: int
    """The position of its place."""
    row: int
    """Its position in the test set."""
    id: str
    """Its id."""
    label: str
    """The right class."""
    before: str
    """The baseline's answer."""
    after: str
    """The candidate's answer."""
    moved: float
    """How much probability went from the right class to others; below 0 where it gained some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipPlace:
    """A test set, as it came or under a shift."""

    dataset: str
    """The test set."""
    shift: str
    """How its inputs were changed; empty where they were not."""
    severity: float
    """How far."""
    n: int
    """Rows."""
    counts: Mapping[Kind, int]
    """Rows of each kind."""
    shares: Mapping[Kind, Estimate]
    """Their share of all rows."""

    @property
    def name(self) -> str:
        """As in a verdict: `tweets + typos 3`."""
        return place(self.dataset, self.shift, self.severity, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Every answer that one candidate changed."""

    candidate: str
    """The candidate."""
    baseline: str
    """The baseline."""
    places: tuple[FlipPlace, ...]
    """Where they were looked for."""
    flips: tuple[Flip, ...]
    """Lost answers first, then won ones, then others; of each those that moved furthest first."""

    def of(self, kind: Kind) -> list[Flip]:
        """Those of one kind."""
        return [flip for flip in self.flips if flip.kind == kind]


def read_flips(
    bundle: Path, *, candidate: str | None, dataset: str | None, shift: str | None
) -> Flips:
    """Read which answers changed.

    Args:
        bundle: The folder of a finished run's bundle.
        candidate: Whose; the winner's by default, or those of the candidate that is listed first.
        dataset: Only on this test set, or the parts of it.
        shift: Only under this shift; an empty text is the inputs as they came.

    Raises:
        BundleError: The run is not finished, or it has no such candidate or place.
    """
    if not bundle.is_dir():
        raise BundleError("no finished run", where=str(bundle), fix="run the plan: surefoot run")
    data = read_verdict_json(bundle)
    names = [entry["name"] for entry in data["candidates"]]
    baseline, judged = names[0], [verdict["candidate"] for verdict in data["verdicts"]]
    name = candidate or data["winner"] or judged[0]
    if name not in judged:
        what = "is the baseline" if name == baseline else "was not judged"
        raise BundleError(f"'{name}' {what}", where=str(bundle), fix=nearest(name, judged))
    places = _places(data, name, dataset, shift)
    found: list[FlipPlace] = []
    flips: list[Flip] = []
    for i, (base, cell) in enumerate(_cells(bundle, baseline, name, places)):
        found.append(_counted(places[i], base, cell))
        flips += _flips(i, base, cell)
    return Flips(
        candidate=name, baseline=baseline, places=tuple(found), flips=tuple(_furthest_first(flips))
    )


def changed_in(
    bundle: Path, baseline: str, name: str, places: Sequence[tuple[str, str, float]]
) -> list[Flip]:
    """Which answers changed in these places, in the order of `Flips.flips`.

    Args:
        bundle: The folder of a bundle.
        baseline: The baseline's name.
        name: The candidate.
        places: Test set, shift and severity of each.

    Raises:
        BundleError: The bundle lacks the cells.
    """
    cells = enumerate(_cells(bundle, baseline, name, places))
    return _furthest_first(flip for i, (base, cell) in cells for flip in _flips(i, base, cell))


def _cells(
    bundle: Path, baseline: str, name: str, places: Iterable[tuple[str, str, float]]
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """The baseline's cell and the candidate's of each place."""
    for where in places:
        base, cell = (
            _cell(within(bundle, "cells", who, cell_file(*where))) for who in (baseline, name)
        )
        yield base, cell


def _furthest_first(flips: Iterable[Flip]) -> list[Flip]:
    """Lost answers first, then won ones, then others; of each those that moved furthest first."""
    return sorted(flips, key=lambda flip: (KINDS.index(flip.kind), _furthest(flip)))


def inputs_of(
    plan: Plan, bundle: Path, flips: Flips, progress: Progress
) -> dict[int, tuple[Dataset, Dataset]]:
    """The rows that the model was given, by the position of their place, and as they came.

    Args:
        plan: Where the data lie.
        bundle: The run's bundle, which knows which data it saw.
        flips: Whose places are wanted.
        progress: Told of every source.

    Raises:
        DataError: The data have changed since the run, or the plan no longer names them.
    """
    seen: Mapping[str, str] | None = read_verdict_json(bundle).get("rows")
    if seen is None:
        fix = "run the plan again"
        raise BundleError("the run does not say which data it saw", where=str(bundle), fix=fix)
    progress.start("reading test sets", len(plan.task.test))
    sets, _ = confirmation_sets(plan, read_tests(plan, progress))
    found = {}
    for i, here in enumerate(flips.places):
        where, again = f"{plan.path.name}: task.test.{here.dataset}", "run the plan again"
        if here.dataset not in sets:
            raise DataError("the run had this test set, and the plan has not", where=where)
        dataset = sets[here.dataset]
        if dataset.fingerprint != seen.get(here.dataset):
            raise DataError("the data have changed since the run", where=where, fix=again)
        calls = [c for c in plan.shifts if c.use == here.shift]
        calls = [c for c in calls if dict(c.options).get("severity", 1.0) == here.severity]
        if here.shift and not calls:
            shift = f"{here.shift} {here.severity:g}"
            raise DataError(f"the plan has no shift '{shift}' any more", where=where, fix=again)
        found[i] = (shifted(dataset, calls[0]) if here.shift else dataset, dataset)
    return found


def other_source(bundle: Path) -> bool:
    """Whether another version of surefoot made the run, whose shifts may have been others."""
    return bool(read_environment(bundle).get("surefoot") != environment()["surefoot"])


def _places(
    data: Mapping[str, Any], candidate: str, dataset: str | None, shift: str | None
) -> list[tuple[str, str, float]]:
    known = dict.fromkeys(
        (c["dataset"], c["shift"], c["severity"])
        for c in data["comparisons"]
        if c["candidate"] == candidate
    )
    sets, shifts = [where[0] for where in known], [where[1] for where in known if where[1]]
    here = [where for where in known if speaks_of(dataset, where[0])]
    if not here:
        raise BundleError(f"no test set '{dataset}' in the run", fix=nearest(str(dataset), sets))
    here = [where for where in here if shift in (None, where[1])]
    if not here:
        raise BundleError(f"no shift '{shift}' in the run", fix=nearest(str(shift), shifts))
    return here


def _cell(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BundleError("the bundle lacks a file", where=str(path), fix="run the plan again")
    return read_parquet(path)


def _kinds(base: Mapping[str, np.ndarray], cell: Mapping[str, np.ndarray]) -> dict[Kind, Any]:
    before, after = base["correct"], cell["correct"]
    changed = base["predicted"] != cell["predicted"]
    return {
        "lost": before & ~after,
        "won": ~before & after,
        "other": ~before & ~after & changed,
    }


def _counted(
    where: tuple[str, str, float], base: Mapping[str, np.ndarray], cell: Mapping[str, np.ndarray]
) -> FlipPlace:
    dataset, shift, severity = where
    kinds = _kinds(base, cell)
    return FlipPlace(
        dataset=dataset,
        shift=shift,
        severity=severity,
        n=len(cell["id"]),
        counts={kind: int(mask.sum()) for kind, mask in kinds.items()},
        shares={kind: share(mask, cell.get("group")) for kind, mask in kinds.items()},
    )


def _flips(
    at: int, base: Mapping[str, np.ndarray], cell: Mapping[str, np.ndarray]
) -> Iterator[Flip]:
    moved = base["score"].astype(np.float64) - cell["score"]
    for kind, mask in _kinds(base, cell).items():
        for row in np.flatnonzero(mask).tolist():
            yield Flip(
                kind=kind,
                place=at,
                row=row,
                id=str(cell["id"][row]),
                label=str(cell["label"][row]),
                before=str(base["predicted"][row]),
                after=str(cell["predicted"][row]),
                moved=float(moved[row]),
            )


def _furthest(flip: Flip) -> float:
    return flip.moved if flip.kind == "won" else -flip.moved


def shown(inputs: np.ndarray, row: int, columns: Sequence[str] = ()) -> str | None:
    """A row's input as text; None for an image.

    Args:
        inputs: The inputs of a test set.
        row: The row.
        columns: The names of numeric columns, where they are known.
    """
    if inputs.dtype.kind == "T":
        return str(inputs[row])
    if inputs.dtype == np.uint8:
        return None
    names = [columns[i] if i < len(columns) else f"column {i + 1}" for i in range(len(inputs[row]))]
    return ", ".join(f"{k} = {v:.6g}" for k, v in zip(names, inputs[row].tolist(), strict=True))
