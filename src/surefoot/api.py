"""The road as Python calls: what `surefoot run` does, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from surefoot.bundle import environment_key
from surefoot.compress import compress
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.evidence import ConfirmationEvidence
from surefoot.core.model import Candidate, Recipe, StepCall
from surefoot.core.plan import LatencyPlan, Plan
from surefoot.data import for_classes, read_task
from surefoot.evaluate import (
    Filling,
    ask_again,
    beside_tests,
    calibration_evidence,
    confirmation_evidence,
    fill_matrix,
    measure_latency,
)
from surefoot.models import adopt_baseline
from surefoot.store import Store

STORE = Path("surefoot-run")
"""Where finished work is kept when nobody says otherwise."""


def open_task(plan: Plan, *, store: Path = STORE) -> tuple[Task, Candidate]:
    """Read a plan's data, and take its model in as the baseline.

    Args:
        plan: The plan.
        store: Where finished work is kept.

    Returns:
        The task, its labels counted into the model's classes, and the baseline.

    Raises:
        SurefootError: A file of the data or the model is at fault.
    """
    raw, place = read_task(plan), _open(store)
    with place.locked():
        baseline = adopt_baseline(plan.model, raw, place)
    return for_classes(raw, baseline.model.signature.classes), baseline


def compress_model(
    baseline: Candidate,
    task: Task,
    name: str,
    steps: Sequence[StepCall],
    *,
    seed: int = 0,
    store: Path = STORE,
) -> Candidate:
    """Make a candidate from a baseline by steps, in order.

    Args:
        baseline: What the steps start from.
        task: What they may learn from.
        name: The candidate's name.
        steps: Made with `surefoot.step`.
        seed: What steps that draw at random start from.
        store: Where finished work is kept.

    Raises:
        ModelError: A step cannot work on the model that it is given.
    """
    recipe, place = Recipe(name=name, steps=tuple(steps), seed=seed), _open(store)
    with place.locked():
        return compress(baseline.model, recipe, task, place)


def evaluate_candidates(
    candidates: Sequence[Candidate],
    task: Task,
    *,
    latency: LatencyPlan | None = None,
    metrics: Sequence[str] = (),
    store: Path = STORE,
) -> ConfirmationEvidence:
    """Measure candidates on every test set of a task, and time them in turns.

    Args:
        candidates: The baseline first.
        task: Its test sets are measured.
        latency: How latency is measured; by default as in a plan that does not say.
        metrics: Further metrics that budgets speak of, beside the task's own.
        store: Where finished work is kept.

    Raises:
        ModelError: A model cannot be run, or gives a non-finite score.
    """
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        raise ModelError(f"two candidates have one name: {', '.join(names)}")
    place, first = _open(store), next(iter(task.test.values()))
    with place.locked():
        how, everyone = Filling(store=place), {c.name: c for c in candidates}
        others = beside_tests(task)
        filled, beside = (fill_matrix(everyone, sets, how) for sets in (task.test, others))
        for name, why in {**filled.failed, **beside.failed}.items():
            raise ModelError(f"{name}: {why}")
        return replace(
            confirmation_evidence(
                filled.cells, task.test, list(dict.fromkeys([task.metric, *metrics]))
            ),
            loads=measure_latency(candidates, first, place, latency or LatencyPlan()),
            sizes={c.name: c.model.size_bytes for c in candidates},
            repeat=ask_again(candidates[0], task.test, how),
            calibration=calibration_evidence(filled.cells, task.test, beside.cells, others, place),
        )


def _open(store: Path) -> Store:
    return Store(store, environment_key())
