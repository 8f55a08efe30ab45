"""Runs recipes: the baseline in, candidates out, each step kept by the hash of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from surefoot.compress.step import draws
from surefoot.compress.workshop import NotMade, make_all
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Model, Recipe
from surefoot.core.progress import Progress, Silent
from surefoot.store import Store


def compress(
    baseline: Model,
    recipe: Recipe,
    task: Task,
    store: Store,
    *,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> Candidate:
    """Make one candidate from the baseline; steps that the store holds are not run again.

    Args:
        baseline: The model that the recipe starts from.
        recipe: Its steps.
        task: What the steps may learn from.
        store: Where models are kept.
        runtime: What runs the candidate; found from its format by default.
        progress: Told of every step.

    Raises:
        ModelError: A step cannot work on the model that it is given, or fails.
        BundleError: The store cannot be written.
    """
    jobs = [(recipe, runtime)]
    ((_, made),) = make_all(baseline, jobs, task, store, processes=1, progress=progress)
    if isinstance(made, NotMade):
        raise ModelError(made.why)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of a plan's recipes."""

    candidates: tuple[Candidate, ...]
    """Those that could be made, in the order of the recipes."""
    repeats: Mapping[str, tuple[Candidate, ...]]
    """The same recipe with further seeds, by candidate, where a step draws at random."""
    failed: Mapping[str, str]
    """The recipes that could not be made, with the reason."""


def compress_all(
    baseline: Model,
    recipes: Sequence[tuple[Recipe, str | None]],
    task: Task,
    store: Store,
    *,
    seeds: int = 1,
    progress: Progress | None = None,
) -> Made:
    """Make every candidate that can be made.

    Args:
        baseline: The model that all recipes start from.
        recipes: The recipes, each with the runtime it asks for.
        task: What the steps may learn from.
        store: Where models are kept.
        seeds: How often a recipe with a step that draws at random is made.
        progress: Told of every step, and of what failed.

    Raises:
        ModelError: None of them can be made.
        BundleError: The store cannot be written.
    """
    watch = progress or Silent()
    made_of = [
        (recipe.name, _reseeded(recipe, more), runtime)
        for recipe, runtime in recipes
        for more in range(seeds if any(map(draws, recipe.steps)) else 1)
    ]
    owners = [owner for owner, _, _ in made_of]
    jobs = [(recipe, runtime) for _, recipe, runtime in made_of]
    found: dict[int, Candidate] = {}
    failed: dict[str, str] = {}
    for position, made in make_all(baseline, jobs, task, store, progress=watch):
        owner = owners[position]
        if not isinstance(made, NotMade):
            found[position] = made
        elif owner not in failed:
            failed[owner] = made.why
            watch.note(f"{owner} could not be made: {made.why}")
    by_owner: dict[str, list[Candidate]] = {}
    for position in sorted(found):
        if owners[position] not in failed:
            by_owner.setdefault(owners[position], []).append(found[position])
    if not by_owner:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise ModelError(f"no candidate could be made: {reasons}")
    return Made(
        candidates=tuple(first for first, *_ in by_owner.values()),
        repeats={name: tuple(more) for name, (_, *more) in by_owner.items() if more},
        failed=failed,
    )


def _reseeded(recipe: Recipe, more: int) -> Recipe:
    if not more:
        return recipe
    seed = recipe.seed + more
    return replace(recipe, name=f"{recipe.name} (seed {seed})", seed=seed)
