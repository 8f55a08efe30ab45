"""Everything that a plan asks to be measured: what a gate and a bundle are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from surefoot.core.dataset import ConfirmationSet, Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.evidence import Cell, ConfirmationEvidence
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress
from surefoot.evaluate.calibration.evidence import beside_tests, calibration_evidence
from surefoot.evaluate.cells import hollow
from surefoot.evaluate.checking import run_checks
from surefoot.evaluate.diagnosis.diagnose import diagnose
from surefoot.evaluate.envelope.axes import measure_envelopes
from surefoot.evaluate.latency import measure_latency
from surefoot.evaluate.load.all import compared, find_endpoints, measure_loads
from surefoot.evaluate.load.deadlines import by_deadline
from surefoot.evaluate.matrix import Filling, ask_again, fill_matrix
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import confirmation_evidence
from surefoot.evaluate.shifted import Shifted, under_shifts
from surefoot.store import Store

Cells = dict[str, tuple[Cell, ...]]
"""The cells of each candidate, in the order of the sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrants:
    """Who is measured."""

    baseline: Candidate
    """What the others are compared with."""
    candidates: Sequence[Candidate]
    """The candidates that could be made."""
    repeats: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    """By candidate, what it became with each further seed."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Candidates that could not be made, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found."""

    candidates: Sequence[Candidate]
    """Who could be run, the baseline first."""
    failed: Mapping[str, str]
    """Who could not be made or run, with the reason."""
    cells: Sequence[Cell]
    """Every candidate on every test set, under every shift and of every seed."""
    evidence: ConfirmationEvidence
    """What a gate looks at."""
    calibration: Sequence[Cell] = ()
    """Every candidate on the calibration rows, where there are any."""


def measure(
    plan: Plan, task: Task, entrants: Entrants, store: Store, progress: Progress
) -> Measured:
    """Measure every candidate in every cell, and its latency; of further seeds, the cells alone.

    Args:
        plan: What is asked.
        task: Its data.
        entrants: The baseline and the candidates.
        store: Where finished work is kept.
        progress: Told of every piece of work.

    Raises:
        ModelError: The baseline cannot be run, or no candidate can.
    """
    baseline, sets = entrants.baseline, under_shifts(task.test, plan.shifts)
    loads, first = plan.evaluate.load, next(iter(task.test.values()))
    endpoints = find_endpoints(loads, first)
    how = Filling(
        store=store,
        batch=plan.evaluate.batch,
        processes=plan.evaluate.processes,
        progress=progress,
    )
    others = beside_tests(task)
    cells, beside, seeds, failed = _cells(entrants, sets, others, how)
    for doubt in hollow(cells.get(baseline.name, ()), baseline.name):
        progress.note(f"warning: {doubt}")  # now, and not only after hours of measuring
    everyone = [baseline, *(c for c in entrants.candidates if c.name in cells)]
    if len(everyone) == 1:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ModelError(f"no candidate can be run: {reasons}", where=str(plan.path))
    wanted = plan.metrics()
    envelopes = measure_envelopes(plan.evaluate, everyone, task.test, cells, store, progress)
    timed = measure_latency(everyone, first, store, plan.evaluate.latency, progress)
    served = compared(
        measure_loads(everyone, first, store, loads, endpoints, progress),
        {name: filled[0].predicted for name, filled in cells.items()},
    )
    weighed = everyone if any(b.quantity == "memory_mb" for b in plan.budgets) else ()
    return Measured(
        candidates=everyone,
        failed=failed,
        cells=[c for filled in (*cells.values(), *chain(*seeds.values())) for c in filled],
        calibration=[
            cell
            for filled in beside.values()
            for name, cell in zip(others, filled, strict=True)
            if name == "calibration"
        ],
        evidence=replace(
            confirmation_evidence(cells, sets, wanted, repeats=seeds),
            loads=timed,
            served=served,
            deadlines=by_deadline(served, loads, first, cells[baseline.name][0]),
            sizes={c.name: c.model.size_bytes for c in everyone},
            memory={c.name: peak_memory(c, first, store) for c in weighed},
            checks=run_checks(plan, task, everyone, cells, store, progress),
            repeat=ask_again(baseline, task.test, how),
            calibration=calibration_evidence(cells, sets, beside, others, store, progress),
            envelopes=envelopes,
            diagnoses=diagnose(everyone, first, timed, store),
        ),
    )


def _cells(
    entrants: Entrants,
    sets: Mapping[str, ConfirmationSet | Shifted],
    others: Mapping[str, Dataset],
    how: Filling,
) -> tuple[Cells, Cells, dict[str, list[tuple[Cell, ...]]], dict[str, str]]:
    """The cells on test sets and beside them, of further seeds, and why somebody has none."""
    seeds = {
        (name, i): again for name, made in entrants.repeats.items() for i, again in enumerate(made)
    }
    first = {c.name: c for c in (entrants.baseline, *entrants.candidates)}
    filled = fill_matrix({(name, None): c for name, c in first.items()} | seeds, sets, how)
    beside = fill_matrix(first, others, how)
    failed = dict(entrants.failed)
    broken = [(name, why) for (name, _), why in filled.failed.items()]
    for name, why in (*broken, *beside.failed.items()):
        if name == entrants.baseline.name:
            raise ModelError(why)
        if name not in failed:
            failed[name] = why
            how.progress.note(f"{name} cannot be run: {why}")
    cells = {name: filled.cells[name, None] for name in first if name not in failed}
    repeats = {
        name: [filled.cells[name, i] for i in range(len(made))]
        for name, made in entrants.repeats.items()
        if name not in failed
    }
    return cells, {name: beside.cells[name] for name in cells}, repeats, failed
