"""Makes many candidates at once: each step once, in a process of its own, when its model is there.

What goes wrong in a step, up to the death of its process, fails the candidates that need it and no
others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.step import NotDone, Step, finished, step_of, stepper
from surefoot.core.cpus import usable_cpus
from surefoot.core.dataset import ConfirmationSet, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Cost, Model, Recipe, total_cost
from surefoot.core.progress import Progress, Silent
from surefoot.executors import PER_PROCESS, Ended, Workers, free_memory
from surefoot.models import own_runtime
from surefoot.store import Store

Jobs = Sequence[tuple[Recipe, str | None]]
"""Recipes, each with the runtime it asks for; None takes that of the format."""
Make = Callable[[Jobs], Iterator[tuple[int, "Candidate | NotMade"]]]
"""What a workshop gives: positions of jobs, and the candidate or why there is none."""

UNLABELLED = 64
MOST_THREADS = 4
"""More do not make small models faster, and other steps can use the processors meanwhile."""
PER_BYTE = 12
"""Bytes of main memory that a step takes for each byte of the model, at most: the teacher, and of
the student the weights, their gradients, two moments, and a graph or two to write."""
NAMED = 3
KILLED = "was killed by signal 9"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotMade:
    """A recipe that gave no candidate."""

    recipe: Recipe
    """The recipe."""
    why: str
    """For people."""


def make_all(
    baseline: Model,
    jobs: Jobs,
    task: Task,
    store: Store,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Candidate | NotMade]]:
    """Make candidates on several processes, and give each as soon as it is made.

    What comes out does not depend on how many processes there are: how many threads a step takes
    depends on the machine alone. While a candidate is looked at the processes go on with the rest.

    Args:
        baseline: What the recipes start from.
        jobs: The recipes.
        task: What the steps may learn from.
        store: Where models are kept; steps that it holds are not done again.
        processes: How many; by default as the processors and the free memory allow. With 0 all is
            done in this process, which a step can then take down.
        progress: Told of every step.

    Yields:
        The position of a job, and the candidate or why there is none.

    Raises:
        BundleError: The store cannot be written any more.
    """
    with workshop(baseline, task, store, processes=processes, progress=progress) as make:
        yield from make(jobs)


@contextmanager
def workshop(
    baseline: Model,
    task: Task,
    store: Store,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Make]:
    """Processes that make candidates, for whoever makes some, looks at them, and makes more.

    Args:
        baseline: What the recipes start from.
        task: What the steps may learn from.
        store: Where models are kept.
        processes: As `make_all` takes it.
        progress: Told of every step.

    Yields:
        What `make_all` is, for jobs alone. Nothing runs between two calls of it.
    """
    task = blind(task)
    number = _room(baseline, task) if processes is None else processes
    work = partial(stepper, baseline, task, store, threads())
    with Workers(work, processes=number, heard=lambda _: None, threads=threads()) as workers:
        yield partial(_make, baseline, task, store, workers, progress or Silent())


def threads() -> int:
    """How many threads a step takes, which decides the last bits of what is trained.

    It depends on the machine alone: half of its processors and at most 4, or what `OMP_NUM_THREADS`
    says.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdigit() else max(1, min(MOST_THREADS, usable_cpus() // 2))


def beside() -> int:
    """How many steps the processors have room for, side by side."""
    return max(1, usable_cpus() // threads())


def blind(task: Task) -> Task:
    """The task as steps may see it: no test row, or where there are no others, a few unlabelled.

    Exporting compares outputs on real inputs; the labels all say the first class.
    """
    task = replace(task, calibration=None, out_of_scope=None)
    if task.train is not None or task.selection is not None:
        return replace(task, test={})
    name, first = next(iter(task.test.items()))
    few = first.spread(UNLABELLED)
    hidden = replace(few, labels=np.zeros_like(few.labels), slices={})
    return replace(task, test={name: ConfirmationSet(hidden)})


def _room(baseline: Model, task: Task) -> int:
    """How many processes the processors and half of the free memory have room for."""
    sets = (task.train, task.selection, task.unlabelled)
    rows = sum(2 * data.nbytes for data in sets if data is not None)
    each = PER_PROCESS + PER_BYTE * baseline.size_bytes + rows
    return max(1, min(beside(), free_memory() // 2 // each))


@dataclass(slots=True, kw_only=True)
class _Chain:
    """A recipe on its way."""

    position: int
    recipe: Recipe
    runtime: str | None
    model: Model
    costs: list[Cost] = field(default_factory=list)

    def candidate(self) -> Candidate:
        return Candidate(
            name=self.recipe.name,
            model=self.model,
            runtime=self.runtime or own_runtime(self.model),
            recipe=self.recipe,
            cost=total_cost(self.costs),
            step_costs=tuple(self.costs),
        )


@dataclass(slots=True, kw_only=True)
class _Order:
    """A step that has to be done, and the recipes that wait for it."""

    step: Step
    chains: list[_Chain]
    beside: bool = False
    """Whether another step ran at the same time."""
    again: bool = False
    """Whether it is done once more, with nothing beside it."""


# size: what the workshop was opened with comes first, through `partial`
def _make(
    baseline: Model,
    task: Task,
    store: Store,
    workers: Workers,
    progress: Progress,
    jobs: Jobs,
) -> Iterator[tuple[int, Candidate | NotMade]]:
    names = [recipe.name for recipe, _ in jobs]
    more = ", …" if len(names) > NAMED else ""
    steps = sum(len(recipe.steps) for recipe, _ in jobs)
    progress.start(f"making {', '.join(names[:NAMED])}{more}", steps)
    shop = _Shop(baseline, task, store, workers, progress)
    try:
        for position, (recipe, runtime) in enumerate(jobs):
            chain = _Chain(position=position, recipe=recipe, runtime=runtime, model=baseline)
            shop.advance(chain)
        while True:
            ended, shop.ended = shop.ended, []
            yield from ended
            if not shop.ended and not shop.go_on():
                return
    finally:
        shop.give_up()


class _Shop:
    """The steps of some recipes: those to begin, those that run, and what came of the others."""

    def __init__(
        self, baseline: Model, task: Task, store: Store, workers: Workers, progress: Progress
    ) -> None:
        self._baseline, self._task, self._store = baseline, task, store
        self._workers, self._progress = workers, progress
        self._known: dict[Path, tuple[Model, Cost] | NotDone] = {}
        self._waiting: dict[Path, _Order] = {}
        self._running: dict[int, tuple[Path, _Order]] = {}
        self._numbers = count()
        self.ended: list[tuple[int, Candidate | NotMade]] = []

    def advance(self, chain: _Chain) -> None:
        """Take a recipe as far as what is known goes; then it waits for a step, or has ended."""
        while len(chain.costs) < len(chain.recipe.steps):
            call = chain.recipe.steps[len(chain.costs)]
            try:
                step = step_of(call, chain.model, chain.recipe.seed, self._baseline, self._task)
            except ModelError as error:
                return self._fail(chain, str(error))
            path = self._store.path("models", step.inputs)
            found = self._known.get(path) or self._store.kept("models", step.inputs, finished)
            if found is None:
                return self._order(path, step, chain)
            self._known[path] = found
            if isinstance(found, NotDone):
                return self._fail(chain, found.why)
            chain.model = found[0]
            chain.costs.append(found[1])
            self._progress.advance()
        return self.ended.append((chain.position, chain.candidate()))

    def go_on(self) -> bool:
        """Begin what can begin, and take what has ended; false where there is nothing left."""
        while self._workers.room and (path := self._next()) is not None:
            self._begin(path, self._waiting.pop(path))
        if not self._running:
            return False
        for number, result in self._workers.results():
            self._take(*self._running.pop(number), result)
        return True

    def give_up(self) -> None:
        """End what still runs, and remove what it has left half done."""
        if self._running:
            self._workers.kill()
        for path, _ in self._running.values():
            self._store.discard(path)
        self._running.clear()

    def _fail(self, chain: _Chain, why: str) -> None:
        self._progress.advance(len(chain.recipe.steps) - len(chain.costs))
        self.ended.append((chain.position, NotMade(recipe=chain.recipe, why=why)))

    def _order(self, path: Path, step: Step, chain: _Chain) -> None:
        running = (order for place, order in self._running.values() if place == path)
        order = self._waiting.get(path) or next(running, None)
        if order is None:
            order = self._waiting[path] = _Order(step=step, chains=[])
        order.chains.append(chain)

    def _next(self) -> Path | None:
        """The first step that may begin beside those that run."""
        running = [order for _, order in self._running.values()]
        if any(order.again for order in running):
            return None
        taken = any(order.step.alone for order in running)
        for path, order in self._waiting.items():
            if not order.again and not (taken and order.step.alone):
                return path
        return next(iter(self._waiting), None) if not running else None

    def _begin(self, path: Path, order: _Order) -> None:
        number = next(self._numbers)
        for _, other in self._running.values():
            other.beside = True
        order.beside = bool(self._running)
        self._running[number] = (path, order)
        self._workers.give(number, order.step)

    def _take(self, path: Path, order: _Order, result: Any) -> None:
        if isinstance(result, Ended):
            result = self._died(path, order, result)
        if isinstance(result, NotDone) and result.short_of == "memory" and order.beside:
            # Others had a part of the memory: it is tried once more with all of it.
            self._waiting[path] = replace(order, again=True)
            return
        if isinstance(result, NotDone) and result.short_of == "room":
            self._store.check_writable()
        self._known[path] = result
        for chain in order.chains:
            self.advance(chain)

    def _died(self, path: Path, order: _Order, ended: Ended) -> tuple[Model, Cost] | NotDone:
        """What a step came to whose process is gone; it may have finished all the same."""
        found = self._store.kept("models", order.step.inputs, finished)
        if found is not None:
            return found
        self._store.discard(path)
        why = f"the step {order.step.use} {ended.how}"
        if ended.how != KILLED:
            return NotDone(why=why)
        return NotDone(why=f"{why}, probably for want of memory", short_of="memory")
