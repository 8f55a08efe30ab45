"""The stages in order: a plan in, a bundle out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from surefoot.bundle import Contents, environment_key, read_bundle, write_bundle
from surefoot.compress import compress
from surefoot.core.dataset import Task
from surefoot.core.errors import BundleError, ModelError
from surefoot.core.evidence import Bundle
from surefoot.core.hashing import hash_json
from surefoot.core.model import Candidate, Recipe
from surefoot.core.plan import Plan
from surefoot.core.progress import Progress, Silent
from surefoot.data import for_classes, leaks, read_task
from surefoot.evaluate import fill_cells, gather, measure_latency
from surefoot.gate import gate_evidence
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
        candidates, failed = _compressed(plan, baseline, task, store, watch)
        everyone = [baseline, *candidates]
        cells = {
            c.name: fill_cells(c, task, store, batch=plan.evaluate.batch, progress=watch)
            for c in everyone
        }
        first = next(iter(task.test.values()))
        loads = measure_latency(everyone, first, store, plan.evaluate.latency, watch)
        evidence = gather(everyone, cells, task, loads)
        contents = Contents(
            plan=plan,
            task=task,
            candidates=everyone,
            failed=failed,
            cells=[cell for filled in cells.values() for cell in filled],
            evidence=evidence,
            verdicts=gate_evidence(evidence, plan.budgets),
            warnings=leaks(task),
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


def _compressed(
    plan: Plan, baseline: Candidate, task: Task, store: Store, progress: Progress
) -> tuple[list[Candidate], Mapping[str, str]]:
    """The candidates that could be made, and why the others could not."""
    made: list[Candidate] = []
    failed: dict[str, str] = {}
    for recipe in plan.recipes:
        try:
            made.append(_candidate(plan, baseline, recipe, task, store, progress))
        except ModelError as error:
            failed[recipe.name] = str(error)
            progress.note(f"{recipe.name} could not be made: {error}")
    if not made:
        raise ModelError(
            f"no candidate could be made: {'; '.join(f'{k}: {v}' for k, v in failed.items())}",
            where=str(plan.path),
        )
    return made, failed


def _candidate(
    plan: Plan, baseline: Candidate, recipe: Recipe, task: Task, store: Store, progress: Progress
) -> Candidate:
    runtime = plan.runtimes.get(recipe.name)
    return compress(baseline.model, recipe, task, store, runtime=runtime, progress=progress)
