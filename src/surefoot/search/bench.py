"""Makes candidates, asks them the first selection rows, and times them beside the baseline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from surefoot.compress import Make, NotMade, beside
from surefoot.compress.step import draws
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Cost, Recipe, total_cost
from surefoot.core.plan import LatencyPlan
from surefoot.core.search import Fate, Trial
from surefoot.evaluate import measure_latency
from surefoot.search.answers import FIRST, Answers
from surefoot.search.space import Idea, Steps
from surefoot.store import Store

CALLS, SECONDS = 150, 1.5
"""Calls of each candidate to time it, and seconds for it, at most."""
AT_ONCE = 8
"""Candidates that are timed together with the baseline."""


@dataclass(slots=True, kw_only=True)
class Tried:
    """A candidate that was made and has answered some rows."""

    idea: Idea
    """What it was."""
    candidate: Candidate
    """What it became."""
    spent: Cost
    """What its steps cost that nobody before it had paid for."""
    cost: float = float("nan")
    """Its median latency over the baseline's, or its size over the baseline's."""
    speedup: float = float("nan")
    """The baseline's median latency over its own."""
    p50_ms: float = float("nan")
    """Its median latency."""
    fate: Fate | None = None
    """What became of it in the last race; None where it is still in it."""
    reason: str = ""
    """Why."""


class Bench:
    """Where candidates are tried.

    Args:
        baseline: What they are compared with.
        make: Makes candidates on several processes.
        answers: Asks them.
        store: Where latencies are kept.
        settings: At which batch size and with how many threads calls are timed.
        seed: What steps that draw at random start from.
    """

    def __init__(  # size: what every candidate is tried with
        self,
        baseline: Candidate,
        make: Make,
        answers: Answers,
        store: Store,
        settings: LatencyPlan,
        seed: int,
    ) -> None:
        self._baseline, self._make, self.answers = baseline, make, answers
        self._store, self._settings, self._seed = store, settings, seed
        self._paid: set[tuple[Steps, int]] = set()
        self.clock = answers.clock

    def beside(self, candidate: Candidate) -> Bench:
        """The same bench with another candidate to be timed beside."""
        bench = Bench(candidate, self._make, self.answers, self._store, self._settings, self._seed)
        bench._paid = self._paid  # what the search has paid for costs its ablation nothing
        return bench

    def tried(
        self, ideas: Sequence[Idea], *, seed: int | None = None, name: str = ""
    ) -> Iterator[Tried | Trial]:
        """Try ideas.

        Args:
            ideas: The ideas.
            seed: Instead of the search's own.
            name: Of the candidate, instead of the idea's.

        Yields:
            Each as it fared, or a `Trial` that says how it failed.
        """
        seed = self._seed if seed is None else seed
        jobs = [(Recipe(name=name or i.name, steps=i.steps, seed=seed), None) for i in ideas]
        started = time.perf_counter()
        with self.clock.working():
            made = dict(self._make(jobs))
        remembered = 0.0
        fresh: list[Tried] = []
        for position, idea in enumerate(ideas):
            found = made[position]
            if isinstance(found, NotMade):
                yield untried(idea, found.why, fate="failed")
                continue
            spent = self._new_cost(found)
            remembered += spent.wall_s
            try:
                self.answers.ask(found, FIRST)
            except ModelError as error:
                yield untried(idea, str(error), fate="failed")
                continue
            fresh.append(Tried(idea=idea, candidate=found, spent=spent))
        took = time.perf_counter() - started
        self.clock.earlier += max(remembered / beside() - took, 0.0)
        for start in range(0, len(fresh), AT_ONCE):
            self._time(fresh[start : start + AT_ONCE])
        yield from fresh

    def _new_cost(self, found: Candidate) -> Cost:
        """What the steps cost that nobody before had paid for."""
        steps, seed = found.recipe.steps, found.recipe.seed
        chains = [steps[: n + 1] for n in range(len(steps))]
        starts = [(chain, seed if any(map(draws, chain)) else 0) for chain in chains]
        costs = zip(starts, found.step_costs, strict=True)
        new = [cost for start, cost in costs if start not in self._paid]
        self._paid.update(starts)
        return total_cost(new)

    def _time(self, fresh: Sequence[Tried]) -> None:
        everyone = [self._baseline, *(one.candidate for one in fresh)]
        settings = replace(self._settings, calls=CALLS, seconds=SECONDS * (len(everyone) + 1))
        with self.clock.working():
            loads = measure_latency(everyone, self.answers.selection, self._store, settings)
        usual, *others = (float(np.median(load.wall_ms)) for load in loads[: len(everyone)])
        for one, median in zip(fresh, others, strict=True):
            one.p50_ms, one.speedup = median, usual / median


def untried(idea: Idea, why: str, fate: Fate = "not tried") -> Trial:
    """The record of an idea that was not measured.

    Args:
        idea: The idea.
        why: Why not.
        fate: Whether it failed.
    """
    return Trial(
        name=idea.name,
        round=idea.round,
        recipe=Recipe(name=idea.name, steps=idea.steps),
        runtime=idea.runtime,
        fate=fate,
        reason=why,
    )
