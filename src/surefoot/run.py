"""The stages in order: a plan in, a bundle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from surefoot.bundle import Contents, environment_key, read_bundle, write_bundle
from surefoot.compress import compress_all
from surefoot.core.budget import metrics
from surefoot.core.dataset import Task
from surefoot.core.errors import BundleError
from surefoot.core.evidence import Bundle, Cell, ConfirmationEvidence
from surefoot.core.hashing import hash_json
from surefoot.core.model import Candidate
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data import for_classes, leaks, read_task
from surefoot.evaluate import (
    ask_again,
    confirmation_evidence,
    fill_cells,
    measure_latency,
    peak_memory,
)
from surefoot.gate import gate_evidence
from surefoot.ledger import LEDGER, record_use
from surefoot.models import adopt_baseline
from surefoot.store import Store

BASELINE = "baseline"


def run_plan(plan: Plan, out: Path, progress: Progress | None = None) -> tuple[Bundle, bool]:
    """Run every stage that an earlier run has not finished.

    Args:
        plan: The plan.
        out: The folder of finished stages; the bundle is its sub-folder `bundle`.
        progress: Told of every stage.

    Returns:
        The bundle, and whether there was anything to do.

    Raises:
        SurefootError: A file, a model or the folder is at fault.
    """
    watch, store = progress or Silent(), Store(out)
    with store.locked():
        key = run_key(plan, store)
        finished = _finished(out / "bundle", key)
        if finished:
            return finished, False
        raw = read_task(plan, watch)
        baseline = adopt_baseline(plan.model, raw, store, BASELINE)
        task = for_classes(raw, baseline.model.signature.classes)
        recipes = [(recipe, plan.runtimes.get(recipe.name)) for recipe in plan.recipes]
        seeds = plan.evaluate.seeds
        made = compress_all(baseline.model, recipes, task, store, seeds=seeds, progress=watch)
        everyone = [baseline, *made.candidates]
        measured = _measured(plan, task, everyone, made.repeats, store, watch)
        fingerprints = {name: dataset.fingerprint for name, dataset in task.test.items()}
        use = record_use(plan.path.parent / LEDGER, key, fingerprints)
        contents = Contents(
            plan=plan,
            task=task,
            candidates=everyone,
            failed=made.failed,
            cells=measured.cells,
            evidence=measured.evidence,
            verdicts=gate_evidence(measured.evidence, plan.budgets, use=use),
            warnings=leaks(task),
            metrics=metrics(plan.budgets, task.metric),
        )
        bundle = write_bundle(out / "bundle", key, contents)
        store.keep_digests()
        return bundle, True


def run_key(plan: Plan, store: Store) -> str:
    """The hash of everything a run depends on: the plan, its files, the libraries, the machine."""
    files = {plan.shown(path): store.digest(path) for path in plan.files() if path.exists()}
    return hash_json({"plan": plan.resolved(), "files": files, "environment": environment_key()})


def _finished(path: Path, key: str) -> Bundle | None:
    try:
        bundle = read_bundle(path)
    except BundleError:
        return None
    return bundle if bundle.key == key else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    cells: Sequence[Cell]
    evidence: ConfirmationEvidence


def _measured(
    plan: Plan,
    task: Task,
    everyone: Sequence[Candidate],
    repeats: Mapping[str, Sequence[Candidate]],
    store: Store,
    progress: Progress,
) -> _Measured:
    """Every candidate in every cell, and its latency; of further seeds, the cells alone."""

    def fill(candidate: Candidate) -> tuple[Cell, ...]:
        batch = plan.evaluate.batch
        return fill_cells(candidate, task.test, store, batch=batch, progress=progress)

    cells = {c.name: fill(c) for c in everyone}
    seeds = {name: [fill(c) for c in again] for name, again in repeats.items()}
    first, baseline = next(iter(task.test.values())), everyone[0]
    evidence = confirmation_evidence(
        cells, task.test, metrics(plan.budgets, task.metric), repeats=seeds
    )
    wanted = everyone if any(b.quantity == "memory_mb" for b in plan.budgets) else ()
    return _Measured(
        cells=[c for filled in (*cells.values(), *chain(*seeds.values())) for c in filled],
        evidence=replace(
            evidence,
            loads=measure_latency(everyone, first, store, plan.evaluate.latency, progress),
            sizes={c.name: c.model.size_bytes for c in everyone},
            memory={c.name: peak_memory(c, first, store) for c in wanted},
            repeat=ask_again(
                baseline, task.test, cells[baseline.name], store, batch=plan.evaluate.batch
            ),
        ),
    )
