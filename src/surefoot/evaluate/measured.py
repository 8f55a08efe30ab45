"""Everything that a plan asks to be measured: what a gate and a bundle are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from surefoot.core.dataset import ConfirmationSet, Task
from surefoot.core.errors import ModelError
from surefoot.core.evidence import Cell, ConfirmationEvidence
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress
from surefoot.evaluate.latency import measure_latency
from surefoot.evaluate.matrix import Filling, ask_again, fill_matrix
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import confirmation_evidence
from surefoot.evaluate.shifted import Shifted, under_shifts
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
    how = Filling(
        store=store,
        batch=plan.evaluate.batch,
        processes=plan.evaluate.processes,
        progress=progress,
    )
    cells, seeds, failed = _cells(entrants, sets, how)
    everyone = [baseline, *(c for c in entrants.candidates if c.name in cells)]
    if len(everyone) == 1:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ModelError(f"no candidate can be run: {reasons}", where=str(plan.path))
    first, wanted = next(iter(task.test.values())), plan.metrics()
    weighed = everyone if any(b.quantity == "memory_mb" for b in plan.budgets) else ()
    return Measured(
        candidates=everyone,
        failed=failed,
        cells=[c for filled in (*cells.values(), *chain(*seeds.values())) for c in filled],
        evidence=replace(
            confirmation_evidence(cells, sets, wanted, repeats=seeds),
            loads=measure_latency(everyone, first, store, plan.evaluate.latency, progress),
            sizes={c.name: c.model.size_bytes for c in everyone},
            memory={c.name: peak_memory(c, first, store) for c in weighed},
            repeat=ask_again(baseline, task.test, how),
        ),
    )


def _cells(
    entrants: Entrants, sets: Mapping[str, ConfirmationSet | Shifted], how: Filling
) -> tuple[dict[str, tuple[Cell, ...]], dict[str, list[tuple[Cell, ...]]], dict[str, str]]:
    """The cells of everybody, those of further seeds, and why somebody has none."""
    seeds = {
        (name, i): again
        for name, others in entrants.repeats.items()
        for i, again in enumerate(others)
    }
    first = {c.name: c for c in (entrants.baseline, *entrants.candidates)}
    filled = fill_matrix({(name, None): c for name, c in first.items()} | seeds, sets, how)
    failed = dict(entrants.failed)
    for (name, _), why in filled.failed.items():
        if name == entrants.baseline.name:
            raise ModelError(why)
        if name not in failed:
            failed[name] = why
            how.progress.note(f"{name} cannot be run: {why}")
    cells = {name: filled.cells[name, None] for name in first if name not in failed}
    repeats = {
        name: [filled.cells[name, i] for i in range(len(others))]
        for name, others in entrants.repeats.items()
        if name not in failed
    }
    return cells, repeats, failed
