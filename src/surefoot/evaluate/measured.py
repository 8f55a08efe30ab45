"""Everything that a plan asks to be measured: what a gate and a bundle are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError, PluginError
from surefoot.core.evidence import Cell, ConfirmationEvidence
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress
from surefoot.evaluate.cells import ask_again, fill_cells
from surefoot.evaluate.deadlines import by_deadline
from surefoot.evaluate.latency import measure_latency
from surefoot.evaluate.loads import compared, find_endpoints, measure_loads
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import confirmation_evidence
from surefoot.evaluate.shifted import under_shifts
from surefoot.store import Store


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

    def fill(candidate: Candidate) -> tuple[Cell, ...]:
        batch = plan.evaluate.batch
        return fill_cells(candidate, sets, store, batch=batch, progress=progress)

    cells, seeds, failed = {baseline.name: fill(baseline)}, {}, dict(entrants.failed)
    for candidate in entrants.candidates:
        name = candidate.name
        try:
            filled = fill(candidate)
            seeds[name] = [fill(again) for again in entrants.repeats.get(name, ())]
        except (ModelError, PluginError) as error:
            failed[name] = str(error)
            progress.note(f"{name} cannot be run: {error}")
        else:
            cells[name] = filled
    everyone = [baseline, *(c for c in entrants.candidates if c.name in cells)]
    if len(everyone) == 1:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ModelError(f"no candidate can be run: {reasons}", where=str(plan.path))
    wanted = plan.metrics()
    served = compared(
        measure_loads(everyone, first, store, loads, endpoints, progress),
        {name: filled[0].predicted for name, filled in cells.items()},
    )
    weighed = everyone if any(b.quantity == "memory_mb" for b in plan.budgets) else ()
    return Measured(
        candidates=everyone,
        failed=failed,
        cells=[c for filled in (*cells.values(), *chain(*seeds.values())) for c in filled],
        evidence=replace(
            confirmation_evidence(cells, sets, wanted, repeats=seeds),
            loads=measure_latency(everyone, first, store, plan.evaluate.latency, progress),
            served=served,
            deadlines=by_deadline(served, loads, first, cells[baseline.name][0]),
            sizes={c.name: c.model.size_bytes for c in everyone},
            memory={c.name: peak_memory(c, first, store) for c in weighed},
            repeat=ask_again(baseline, task.test, store, batch=plan.evaluate.batch),
        ),
    )
