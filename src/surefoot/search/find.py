"""Finds the leanest model that holds, in rounds of what is known to help.

Free moves first, then quantisers, then smaller models, then what of these held together. After
each round the candidates are raced on the selection rows (`race`): the cheapest within the margin
is the one to beat, and an idea that even at its best could not be leaner is not tried. Latency is
measured in turns with the baseline. What is found is chosen, not proved; a verdict needs
other rows.

The rounds are a successive halving over recipes (Jamieson and Talwalkar 2016, "Non-stochastic best
arm identification and hyperparameter optimization"): few rows for all, all rows for few.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from surefoot.compress import compress
from surefoot.core.budget import TIMED
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError, PlanError
from surefoot.core.evidence import Budget
from surefoot.core.model import Candidate, Cost, Recipe
from surefoot.core.plan import LatencyPlan, Plan, SearchPlan
from surefoot.core.progress import Progress
from surefoot.core.search import Fate, Round, Searched, Spent, Trial
from surefoot.evaluate import measure_latency, selection_evidence
from surefoot.gate import finalists
from surefoot.search.answers import FIRST, Answers
from surefoot.search.race import race
from surefoot.search.space import Idea, Space, Steps
from surefoot.store import Store

Made = TypeVar("Made")

MARGIN = 0.01
"""The drop of accuracy that is allowed where no budget says."""
HOPELESS = 0.5
"""A drop that no repair wins back."""
SLACK = 2.0
"""A candidate may lose so many times the margin and still be built on."""
KEPT = 3
"""How many smaller models and graphs are built on, the cheapest first."""
CALLS, SECONDS = 150, 1.5
"""Calls of each candidate to time it, and seconds for it, at most."""
AT_ONCE = 8
"""Candidates that are timed together with the baseline."""
MEGABYTE = 1_000_000


@dataclass(slots=True, kw_only=True)
class _Tried:
    """A candidate that was made."""

    idea: Idea
    candidate: Candidate
    spent: Cost
    cost: float = float("nan")
    speedup: float = float("nan")
    p50_ms: float = float("nan")
    fate: Fate | None = None
    reason: str = ""


@dataclass(slots=True)
class _Clock:
    """Seconds by what they went to; those that an earlier run spent count as well."""

    began: float = field(default_factory=time.perf_counter)
    making: float = 0.0
    """Seconds that earlier runs spent on steps, as the store remembers them."""
    worked: float = 0.0
    """Seconds of this run inside steps, models and timing."""

    def timed(self, work: Callable[[], Made]) -> Made:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.worked += time.perf_counter() - started

    @property
    def here(self) -> float:
        """Seconds of this run."""
        return time.perf_counter() - self.began

    @property
    def elapsed(self) -> float:
        """Seconds of the search, those that earlier runs spent on making included."""
        return self.here + self.making


def search(
    plan: Plan, settings: SearchPlan, baseline: Candidate, task: Task, store: Store, watch: Progress
) -> Searched:
    """Find the leanest candidates of a plan that the selection rows let hope.

    Args:
        plan: Its budgets say what has to hold, and what lean means.
        settings: Its `[search]` table.
        baseline: The model that recipes start from.
        task: What steps may learn from, and the selection rows.
        store: Where finished work is kept; a search that was interrupted goes on from it.
        watch: Told of every candidate.

    Raises:
        PlanError: There are no selection rows.
        ModelError: The baseline cannot be run, or no candidate could be made.
    """
    if task.selection is None or not len(task.selection):
        raise PlanError("search: there are no rows to choose on; name task.train or task.selection")
    return _Search(plan, settings, baseline, task, store, watch).run()


class _Search:
    """What the rounds share."""

    def __init__(  # size: what a search is given, once
        self,
        plan: Plan,
        settings: SearchPlan,
        baseline: Candidate,
        task: Task,
        store: Store,
        watch: Progress,
    ) -> None:
        assert task.selection is not None
        self.plan, self.settings, self.baseline = plan, settings, baseline
        self.task, self.store, self.watch = task, store, watch
        self.clock = _Clock()
        self.margin = margin(plan.budgets)
        self.batch, self.quantity = lean(plan.budgets)
        self.answers = Answers(
            task.selection,
            store,
            batch=plan.evaluate.batch,
            seed=settings.seed,
            timed=self.clock.timed,
        )
        self.space = Space(
            baseline=baseline.model, labelled=task.train is not None, allowed=plan.search_steps
        )
        self.tried: dict[str, _Tried] = {}
        self.left: list[Trial] = []
        self.rounds: list[Spent] = []
        self.paid: dict[Steps, Cost] = {}
        self.best: _Tried | None = None
        self.stopped = "every idea was tried"

    def run(self) -> Searched:
        self.answers.ask(self.baseline, len(self.answers.selection))
        for name, ideas in self._rounds():
            if self._round(name, ideas):
                break
        if not self.tried:
            reasons = "; ".join(f"{t.name}: {t.reason}" for t in self.left[:3])
            raise ModelError(f"the search could make no candidate: {reasons}")
        return self._settled()

    def _rounds(self) -> Iterator[tuple[Round, list[Idea]]]:
        """The ideas of each round, from what the rounds before it found."""
        yield "free", self.space.free()
        graphs = self._cheapest("free", within=1.0)
        yield "quantise", self.space.quantised(graphs)
        whole = min((cost for _, cost in graphs), default=1.0)
        yield "shrink", self.space.shrunk(whole)
        factor = min((t.cost for t in self._of("quantise")), default=whole) / whole
        lossy = self._cheapest("quantise", within=HOPELESS / self.margin, lossy=True)
        smaller = self._cheapest("shrink", within=SLACK)
        ideas = self.space.combined(smaller, min(factor, 1.0))
        yield "combine", [*self.space.repaired(lossy), *ideas]

    def _round(self, name: Round, ideas: Sequence[Idea]) -> bool:
        """Try the ideas of a round; whether the search is at its end."""
        before, started = self._to_beat, self.clock.elapsed
        paid = sum(t.spent.cpu_s for t in self.tried.values())
        count = len(self.tried)
        self.watch.start(f"search: {name}", len(ideas))
        for group in _by_steps(ideas):
            why = self._needless(group[0])
            if why:
                self.left += [_untried(idea, why) for idea in group]
            else:
                self._try(group)
            self.watch.advance(len(group))
        self._race()
        self.rounds.append(
            Spent(
                round=name,
                tried=len(self.tried) - count,
                wall_s=self.clock.elapsed - started,
                cpu_s=sum(t.spent.cpu_s for t in self.tried.values()) - paid,
                before=before,
                after=self._to_beat,
            )
        )
        if self._late:
            self.stopped = f"the {self.settings.minutes:g} minutes were used up"
        return self._late

    @property
    def _late(self) -> bool:
        return self.clock.elapsed >= 60 * self.settings.minutes

    @property
    def _to_beat(self) -> float:
        """The cost of the leanest candidate within the margin."""
        return self.best.cost if self.best else 1.0

    def _needless(self, idea: Idea) -> str:
        """Why an idea is not worth a try, if it is not."""
        if self._late and self.tried:
            return f"the {self.settings.minutes:g} minutes were used up"
        best = self.best
        if best and idea.bound > best.cost * (1 - self.settings.worth):
            return (
                f"could cost {idea.bound:.2f} at best, and {best.candidate.name} holds"
                f" at {best.cost:.2f}"
            )
        plain = tuple(call for call in idea.steps if call.use != "distill")
        alike = [t for t in self.tried.values() if t.idea.steps == plain != idea.steps]
        if any(self._loss(t) <= 0 for t in alike):
            return "holds without distillation"
        if alike and best and min(t.cost for t in alike) > best.cost * (1 - self.settings.worth):
            return f"is no leaner than {best.candidate.name}, which holds"
        return ""

    def _try(self, group: Sequence[Idea]) -> None:
        """Make a model, ask it the first rows, and time it in every runtime."""
        fresh = []
        for idea in group:
            try:
                one = self._made(idea)
                self.answers.ask(one.candidate, FIRST)
            except ModelError as error:
                self.left.append(_untried(idea, str(error), fate="failed"))
                self.watch.note(f"{idea.name} failed: {error}")
                continue
            self.tried[idea.name] = one
            fresh.append(one)
        for start in range(0, len(fresh), AT_ONCE):
            self._time(fresh[start : start + AT_ONCE])

    def _made(self, idea: Idea) -> _Tried:
        recipe = Recipe(name=idea.name, steps=idea.steps, seed=self.settings.seed)
        started = time.perf_counter()
        candidate = self.clock.timed(
            lambda: compress(
                self.baseline.model, recipe, self.task, self.store, runtime=idea.runtime
            )
        )
        spent = self._new_cost(idea.steps, candidate.cost)
        self.clock.making += spent.wall_s - (time.perf_counter() - started)
        return _Tried(idea=idea, candidate=candidate, spent=spent)

    def _new_cost(self, steps: Steps, cost: Cost) -> Cost:
        """What steps cost beyond those of theirs that an earlier trial has paid for."""
        known = [n for n in range(len(steps) + 1) if steps[:n] in self.paid]
        before = self.paid[steps[: max(known)]] if known else Cost()
        self.paid[steps] = cost
        return replace(
            cost,
            wall_s=max(cost.wall_s - before.wall_s, 0.0),
            cpu_s=max(cost.cpu_s - before.cpu_s, 0.0),
        )

    def _time(self, fresh: Sequence[_Tried]) -> None:
        if not fresh:
            return
        everyone = [self.baseline, *(one.candidate for one in fresh)]
        settings = LatencyPlan(
            batch=[self.batch],
            calls=CALLS,
            seconds=SECONDS * (len(everyone) + 1),
            threads=self.plan.evaluate.latency.threads,
        )
        loads = self.clock.timed(
            lambda: measure_latency(everyone, self.answers.selection, self.store, settings)
        )
        usual, *others = (float(np.median(load.wall_ms)) for load in loads[: len(everyone)])
        for one, median in zip(fresh, others, strict=True):
            one.p50_ms, one.speedup = median, usual / median
            one.cost = median / usual
            if self.quantity == "size_mb":
                one.cost = one.candidate.model.size_bytes / self.baseline.model.size_bytes

    def _race(self) -> None:
        """Find who is to be beaten."""
        able = {one.candidate.name: one for one in self._able()}
        if not able:
            return
        kept = {name: one for name, one in able.items() if not self._over_budget(one)}
        labels = np.arange(len(self.answers.selection))
        found = race(
            lambda name, rows: self._right(able[name], rows),
            self.answers.right(self.baseline, labels),
            {name: one.cost for name, one in (kept or able).items()},
            margin=self.margin,
            seed=self.settings.seed,
        )
        for raced in found.raced:
            one = able[raced.candidate]
            if one.fate == "failed":
                continue
            one.fate = None if raced.fate == "won" else raced.fate
            one.reason = f"{raced.by} is cheaper and holds" if raced.fate == "undercut" else ""
        self.best = able[found.winner] if found.winner else None

    def _over_budget(self, one: _Tried) -> bool:
        """Whether a candidate breaks a budget on size or speed, as far as it was measured."""
        for budget in self.plan.budgets:
            found = {
                "size_mb": one.candidate.model.size_bytes / MEGABYTE,
                "speedup": one.speedup,
                "p50_ms": one.p50_ms,
            }.get(budget.quantity)
            if found is None or (budget.quantity != "size_mb" and budget.batch != self.batch):
                continue
            if not budget.load and (
                (budget.at_most or np.inf) < found or (budget.at_least or 0) > found
            ):
                one.fate, one.reason = "over a budget", f"{budget.quantity} is {found:.3g}"
                return True
        return False

    def _right(self, one: _Tried, rows: np.ndarray) -> np.ndarray:
        try:
            return self.answers.right(one.candidate, rows)
        except ModelError as error:  # it answered the first rows, and fails on one of these
            one.fate, one.reason = "failed", str(error)
            return np.zeros(len(rows))

    def _loss(self, one: _Tried) -> float:
        """How far a candidate's loss lies beyond the margin, on the rows that it was asked."""
        gain, _ = self.answers.compared(one.candidate, self.baseline)
        return -gain.value - self.margin

    def _of(self, name: Round) -> list[_Tried]:
        return [t for t in self.tried.values() if t.idea.round == name and t.fate != "failed"]

    def _cheapest(
        self, name: Round, *, within: float, lossy: bool = False
    ) -> list[tuple[Steps, float]]:
        """Steps of a round that lose at most so many times the margin, each with its least cost.

        Args:
            name: The round.
            within: How many times the margin.
            lossy: Only those that lose more than the margin.
        """
        least: dict[Steps, float] = {}
        for one in sorted(self._of(name), key=lambda t: t.cost):
            beyond = self._loss(one)
            if beyond <= (within - 1) * self.margin and not (lossy and beyond <= 0):
                least.setdefault(one.idea.steps, one.cost)
        return list(least.items())[:KEPT]

    def _settled(self) -> Searched:
        """Ask those that may be judged all rows, and name them."""
        able = sorted(self._able(), key=lambda t: t.cost)
        if not able:
            raise ModelError("no candidate of the search can be run on the selection rows")
        front = self._front(able)
        hopeful = [t for t in front if self._loss(t) <= self.margin and t.fate != "over a budget"]
        hopeful = hopeful or [min(able, key=self._loss)]
        chosen = self._judged(hopeful)
        names = {one.candidate.name for one in chosen}
        trials = [self._trial(one, names, front) for one in self.tried.values()]
        return Searched(
            baseline=self.baseline.name,
            quantity=self.quantity,
            margin=self.margin,
            metric="accuracy",
            rows=len(self.answers.selection),
            trials=(*trials, *self.left),
            front=tuple(one.candidate.name for one in front),
            recommended=chosen[0].candidate.name if self.best else None,
            finalists=tuple(one.candidate for one in chosen),
            rounds=tuple(self.rounds),
            stopped=self.stopped,
            wall_s=self.clock.elapsed,
            overhead_s=self.clock.here - self.clock.worked,
        )

    def _able(self) -> list[_Tried]:
        return [one for one in self.tried.values() if one.fate != "failed"]

    def _front(self, able: Sequence[_Tried]) -> list[_Tried]:
        """Who gains more than all that are cheaper, of those in the order of their cost."""
        front: list[_Tried] = []
        for one in able:
            gain = -self._loss(one)
            if not front or gain > -self._loss(front[-1]):
                front.append(one)
        return front

    def _judged(self, hopeful: Sequence[_Tried]) -> list[_Tried]:
        by_name = {one.candidate.name: one for one in hopeful}
        cells = {self.baseline.name: [self.answers.cell(self.baseline)]}
        cells |= {name: [self.answers.cell(one.candidate)] for name, one in by_name.items()}
        evidence = selection_evidence(cells, self.answers.selection, self.plan.metrics())
        costs = {name: one.cost for name, one in by_name.items()}
        names = finalists(evidence, self.plan.budgets, costs, most=self.settings.finalists)
        return [by_name[name] for name in names] or [min(hopeful, key=self._loss)]

    def _trial(self, one: _Tried, judged: set[str], front: Sequence[_Tried]) -> Trial:
        gain, flips = self.answers.compared(one.candidate, self.baseline)
        name = one.candidate.name
        fate = "finalist" if name in judged else one.fate
        fate = fate or ("on the front" if one in front else "dominated")
        return Trial(
            name=name,
            round=one.idea.round,
            recipe=one.candidate.recipe,
            runtime=one.candidate.runtime,
            fate=fate,
            reason=one.reason,
            cost=one.cost,
            size_bytes=one.candidate.model.size_bytes,
            gain=gain,
            flips=flips,
            spent=one.spent,
        )


def margin(budgets: Sequence[Budget]) -> float:
    """The drop of accuracy that budgets allow on all rows as they came; a point by default."""
    drops = [b.max_drop for b in budgets if b.max_drop is not None and not (b.slice or b.shift)]
    return min([drop for drop in drops if drop < 1], default=MARGIN)


def lean(budgets: Sequence[Budget]) -> tuple[int, str]:
    """The batch size at which candidates are timed, and what makes one of them the leaner one."""
    timed = [b for b in budgets if b.quantity in TIMED and not b.load]
    if timed:
        return timed[0].batch, f"median latency at batch {timed[0].batch}"
    if any(b.quantity == "size_mb" for b in budgets):
        return 1, "size_mb"
    return 1, "median latency at batch 1"


def _by_steps(ideas: Sequence[Idea]) -> list[list[Idea]]:
    """Ideas of the same steps together, which are one model in several runtimes."""
    groups: dict[Steps, list[Idea]] = {}
    for idea in ideas:
        groups.setdefault(idea.steps, []).append(idea)
    return list(groups.values())


def _untried(idea: Idea, why: str, fate: Fate = "not tried") -> Trial:
    return Trial(
        name=idea.name,
        round=idea.round,
        recipe=Recipe(name=idea.name, steps=idea.steps),
        runtime=idea.runtime,
        fate=fate,
        reason=why,
    )
