"""Finds the leanest model that holds, in rounds of what is known to help.

Free moves first, then quantisers, then smaller models, then what of these held together, then the
options of the best. After each round the candidates are raced on the selection rows (`race`): the
cheapest within the margin is the one to beat, and an idea that even at its best could not be leaner
is not tried. Latency is measured in turns with the baseline. What is found is chosen, not proved: a
verdict needs other rows.

The rounds are a successive halving over recipes (Jamieson and Talwalkar 2016, "Non-stochastic best
arm identification and hyperparameter optimization"): few rows for all, all rows for few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

import numpy as np

from surefoot.compress import beside, workshop
from surefoot.core.budget import TIMED
from surefoot.core.dataset import Task
from surefoot.core.errors import BudgetError, ModelError, PlanError
from surefoot.core.evidence import Budget
from surefoot.core.model import Candidate
from surefoot.core.plan import LatencyPlan, Plan, SearchPlan
from surefoot.core.progress import Progress
from surefoot.core.search import Round, Searched, Spent, Trial
from surefoot.evaluate import selection_evidence
from surefoot.gate import finalists
from surefoot.search.ablate import SHARE, ablated
from surefoot.search.answers import Answers
from surefoot.search.bench import Bench, Tried, untried
from surefoot.search.clock import Clock
from surefoot.search.race import race
from surefoot.search.space import Idea, Space, Steps
from surefoot.search.tune import RANGES, tuned
from surefoot.store import Store

MARGIN = 0.01
"""The drop of accuracy that is allowed where no budget says."""
HOPELESS = 0.5
"""A drop that no repair wins back."""
SLACK = 2.0
"""A candidate may lose so many times the margin and still be built on."""
KEPT = 3
"""How many smaller models and graphs are built on, the cheapest first."""
SEEDS = 3
"""How often at least what is recommended is made, if it draws at random."""
MEGABYTE = 1_000_000


def search(
    plan: Plan, baseline: Candidate, task: Task, store: Store, watch: Progress
) -> Searched | None:
    """Find the leanest candidates that the selection rows let hope, where a plan asks for it.

    Args:
        plan: Its `[search]` table says how; its budgets what has to hold, and what lean means.
        baseline: The model that recipes start from.
        task: What steps may learn from, and the selection rows.
        store: Where finished work is kept; a search that was interrupted goes on from it.
        watch: Told of every candidate.

    Returns:
        What was found; None where the plan has no such table.

    Raises:
        PlanError: There are no selection rows.
        ModelError: The baseline cannot be run, or no candidate could be made.
    """
    if plan.search is None:
        return None
    if task.selection is None or not len(task.selection):
        raise PlanError("search: there are no rows to choose on; name task.train or task.selection")
    clock = Clock()
    batch, quantity = lean(plan.budgets)
    answers = Answers(
        task.selection, store, batch=plan.evaluate.batch, seed=plan.search.seed, clock=clock
    )
    timing = LatencyPlan(batch=[batch], threads=plan.evaluate.latency.threads)
    with workshop(baseline.model, task, store) as make:
        bench = Bench(baseline, make, answers, store, timing, plan.search.seed)
        space = Space(
            baseline=baseline.model, labelled=task.train is not None, allowed=plan.search_steps
        )
        return _Search(plan, plan.search, bench, answers, space, quantity).run(baseline, watch)


class _Search:
    """What the rounds share."""

    def __init__(  # size: what a search is given, once
        self,
        plan: Plan,
        settings: SearchPlan,
        bench: Bench,
        answers: Answers,
        space: Space,
        quantity: str,
    ) -> None:
        self.settings, self.bench, self.answers = settings, bench, answers
        self.plan, self.space, self.quantity = plan, space, quantity
        self.batch, _ = lean(plan.budgets)
        self.margin = margin(plan.budgets)
        self.clock = answers.clock
        self.tried: dict[str, Tried] = {}
        self.thought_of: set[str] = set()
        self.left: list[Trial] = []
        self.rounds: list[Spent] = []
        self.best: Tried | None = None
        self.stopped = "every idea was tried"
        self.factor = 1.0
        """How far a quantiser lowered the cost of the whole model, at best."""

    def run(self, baseline: Candidate, watch: Progress) -> Searched:
        self.baseline, self.watch = baseline, watch
        self.answers.ask(baseline, len(self.answers.selection))
        for name, ideas in self._rounds():
            self._round(name, ideas)
            if self._late:
                self.stopped = f"its {self.settings.minutes:g} minutes were used up"
                break
        if not self._able():
            raise ModelError(self._no_candidate())
        return self._settled()

    def _no_candidate(self) -> str:
        failed = [*self.left, *(self._trial(one, (), ()) for one in self.tried.values())]
        reasons = [f"{trial.name}: {trial.reason}" for trial in failed if trial.fate == "failed"]
        if not reasons:
            return "no step that search.steps allows fits the model; allow others"
        return f"the search could make no candidate: {'; '.join(reasons[:3])}"

    def _rounds(self) -> Iterator[tuple[Round, Iterable[Idea]]]:
        """The ideas of each round, from what the rounds before it found."""
        yield "free", self.space.free()
        found = dict(self._cheapest("free", within=1.0))
        if self.baseline.model.format == "onnx":  # it is a graph itself, in no need of a free move
            found[()] = min(found.get((), 1.0), 1.0)
        graphs = list(found.items())
        yield "quantise", self.space.quantised(graphs)
        whole = min((cost for _, cost in graphs), default=1.0)
        factor = min((t.cost for t in self._of("quantise")), default=whole) / whole
        self.factor = min(factor, 1.0)
        yield "shrink", self.space.shrunk(whole)
        lossy = self._cheapest("quantise", within=HOPELESS / self.margin, lossy=True)
        smaller = self._cheapest("shrink", within=SLACK)
        ideas = self.space.combined(smaller, self.factor)
        yield "combine", [*self.space.repaired(lossy), *ideas]
        built_on = [t for t in self._able() if self._near(t) and not self._given(t)]
        built_on.sort(key=lambda one: one.cost)
        yield "tune", tuned(built_on, self._objective, self.settings.seed)

    def _given(self, one: Tried) -> bool:
        """Whether the plan itself says how much a step takes away."""
        uses = one.idea.uses & RANGES.keys()
        return any(RANGES[use][0] in self.space.said(use) for use in uses)

    def _objective(self, name: str) -> float | None:
        """What tuning makes small: the cost, or for who loses too much more than any cost."""
        one = self.tried.get(name)
        if one is None or not self._answers_all(one):
            return None
        beyond = self._beyond(one)
        return one.cost if beyond <= 0 else 1.0 + beyond

    def _round(self, name: Round, ideas: Iterable[Idea]) -> None:
        """Try the ideas of a round, as far as they are worth it and time is left."""
        before, started, count = self._to_beat, self.clock.elapsed, len(self.tried)
        groups: Iterator[list[Idea]]
        if isinstance(ideas, Sequence):
            ideas = [idea for idea in ideas if self._new(idea)]
            groups = (list(group) for _, group in groupby(ideas, key=lambda idea: idea.plain))
            total, at_once = len(ideas), beside()
        else:  # what is tuned depends on what was found just before: one by one, none ahead
            groups = ([idea] for idea in ideas if self._new(idea))
            total, at_once = 1, 1
        self.watch.start(f"search: {name}", total)
        while some := list(islice(groups, at_once)):
            wanted = []
            for group in some:
                why = self._needless(group[0])
                self.left += [untried(idea, why) for idea in group if why]
                wanted += [] if why else group
            for one in self.bench.tried(wanted) if wanted else ():
                self._take(one)
            self.watch.advance(sum(map(len, some)))
            self._race()
        tried = list(self.tried.values())[count:]
        self.rounds.append(
            Spent(
                round=name,
                tried=len(tried),
                wall_s=self.clock.elapsed - started,
                cpu_s=sum(one.spent.cpu_s for one in tried),
                before=before,
                after=self._to_beat,
            )
        )

    def _new(self, idea: Idea) -> bool:
        """Whether nobody had the idea before; the plan's own options make some the same."""
        new = idea.name not in self.thought_of
        self.thought_of.add(idea.name)
        return new

    def _take(self, one: Tried | Trial) -> None:
        if isinstance(one, Trial):
            self.left.append(one)
            self.watch.note(f"{one.name} failed: {one.reason}")
            return
        sizes = one.candidate.model.size_bytes, self.baseline.model.size_bytes
        one.cost = sizes[0] / sizes[1] if self.quantity == "size_mb" else 1 / one.speedup
        self.tried[one.candidate.name] = one

    @property
    def _late(self) -> bool:
        return self.clock.elapsed >= 60 * self.settings.minutes

    @property
    def _to_beat(self) -> float:
        """The cost of the leanest candidate within the margin."""
        return self.best.cost if self.best else 1.0

    def _needless(self, idea: Idea) -> str:
        """Why an idea is not worth a try, if it is not."""
        best, enough = self.best, self._to_beat * (1 - self.settings.worth)
        if self._late and self.tried:
            return f"its {self.settings.minutes:g} minutes were used up"
        # A smaller model need not be lean itself: it will be quantised.
        factor = self.factor if idea.round == "shrink" else 1.0
        if best and idea.bound * factor > enough:
            held = f"{best.candidate.name} holds at {best.cost:.3g}"
            return f"costs {idea.bound * factor:.3g} at best, and {held}"
        plain = tuple(call for call in idea.plain if call.use != "distill")
        alike = [t for t in self._able() if t.idea.plain == plain != idea.plain]
        if any(self._beyond(one) <= 0 for one in alike):
            return "holds without distillation"
        if best and alike and factor * min(one.cost for one in alike) > enough:
            return f"is no leaner than {best.candidate.name}, which holds"
        return ""

    def _race(self) -> None:
        """Find who is to be beaten."""
        able = {one.candidate.name: one for one in self._able()}
        within = {name: one for name, one in able.items() if not self._over_budget(one)}
        # Where nobody is fast enough yet, the fastest is still the one to beat; but one that is too
        # large keeps nobody out.
        small = {n: one for n, one in able.items() if not one.reason.startswith("size_mb")}
        among = within or small
        self.best = None
        if not able:
            return
        everybody = np.arange(len(self.answers.selection))
        found = race(
            lambda name, rows: self._right(able[name], rows),
            self.answers.right(self.baseline, everybody),
            {name: one.cost for name, one in (among or able).items()},
            margin=self.margin,
            seed=self.settings.seed,
        )
        if any(one.fate == "failed" for one in able.values()):
            self._race()  # one that failed on the way can neither win nor undercut
            return
        for raced in found.raced:
            one = able[raced.candidate]
            if raced.candidate in within:
                one.fate = None if raced.fate == "won" else raced.fate
                one.reason = f"{raced.by} is cheaper and holds" if raced.fate == "undercut" else ""
        self.best = able[found.winner] if found.winner in among else None

    def _over_budget(self, one: Tried) -> bool:
        """Whether a candidate breaks a budget on size or speed, as far as it was measured."""
        size = one.candidate.model.size_bytes / MEGABYTE
        measured = {"size_mb": size, "speedup": one.speedup, "p50_ms": one.p50_ms}
        for budget in self.plan.budgets:
            found = measured.get(budget.quantity)
            elsewhere = budget.load or (budget.quantity != "size_mb" and budget.batch != self.batch)
            if found is None or elsewhere:
                continue
            if found > (budget.at_most or np.inf) or found < (budget.at_least or 0):
                one.fate, one.reason = "over a budget", f"{budget.quantity} is {found:.3g}"
                return True
        return False

    def _right(self, one: Tried, rows: np.ndarray) -> np.ndarray:
        try:
            return self.answers.right(one.candidate, rows)
        except ModelError as error:
            self._fails(one, error)
            return np.zeros(len(rows))

    def _answers_all(self, one: Tried) -> bool:
        """Ask a candidate all rows, if it has not failed already."""
        try:
            self.answers.ask(one.candidate, len(self.answers.selection))
        except ModelError as error:
            self._fails(one, error)
        return one.fate != "failed"

    def _fails(self, one: Tried, error: ModelError) -> None:
        """It answered the first rows, and fails on a later one."""
        one.fate, one.reason = "failed", str(error)
        self.watch.note(f"{one.candidate.name} failed: {one.reason}")

    def _beyond(self, one: Tried) -> float:
        """How far a candidate's loss lies beyond the margin, on the rows that it was asked."""
        return -self.answers.gain(one.candidate, self.baseline) - self.margin

    def _near(self, one: Tried) -> bool:
        return self._beyond(one) <= (SLACK - 1) * self.margin

    def _able(self) -> list[Tried]:
        return [one for one in self.tried.values() if one.fate != "failed"]

    def _of(self, name: Round) -> list[Tried]:
        return [one for one in self._able() if one.idea.round == name]

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
            beyond = self._beyond(one)
            if beyond <= (within - 1) * self.margin and not (lossy and beyond <= 0):
                least.setdefault(one.idea.plain, one.cost)
        return list(least.items())[:KEPT]

    def _settled(self) -> Searched:
        """Ask those that may be judged all rows, and name them."""
        while True:
            able = sorted(self._able(), key=lambda one: one.cost)
            front = self._front([one for one in able if one.fate != "over a budget"] or able)
            hopeful = [one for one in front if self._near(one) and one.fate != "over a budget"]
            # Where nobody keeps every budget, the verdict is on the leanest that keep the margin.
            near = [one for one in self._front(able) if self._near(one)]
            asked = hopeful or near or [min(able, key=self._beyond)]
            failed = [one for one in asked if not self._answers_all(one)]
            if not failed:
                break
            self._race()
            if not self._able():
                raise ModelError(self._no_candidate())
        took = self.clock.elapsed
        chosen = self._judged(asked)
        recommended = chosen[0].candidate
        return Searched(
            baseline=self.baseline.name,
            quantity=self.quantity,
            margin=self.margin,
            metric="accuracy",
            rows=len(self.answers.selection),
            trials=(*(self._trial(one, chosen, front) for one in self.tried.values()), *self.left),
            front=tuple(one.candidate.name for one in front),
            leanest=self.best.candidate.name if self.best else None,
            recommended=recommended.name if hopeful else None,
            finalists=tuple(one.candidate for one in chosen),
            ablation=ablated(
                recommended,
                self.baseline.model.format,
                self.bench.beside(recommended),
                minutes=SHARE * self.settings.minutes,
                seeds=max(SEEDS, self.plan.evaluate.seeds),
                progress=self.watch,
            ),
            rounds=tuple(self.rounds),
            stopped=self.stopped,
            search_s=took,
            wall_s=self.clock.elapsed,
            overhead_s=self.clock.here - self.clock.worked,
        )

    def _front(self, able: Sequence[Tried]) -> list[Tried]:
        """Who gains more than all that are cheaper, of those in the order of their cost."""
        front: list[Tried] = []
        for one in able:
            if not front or self._beyond(one) < self._beyond(front[-1]):
                front.append(one)
        return front

    def _judged(self, hopeful: Sequence[Tried]) -> list[Tried]:
        by_name = {one.candidate.name: one for one in hopeful}
        everyone = [self.baseline, *(one.candidate for one in hopeful)]
        cells = {one.name: [self.answers.cell(one)] for one in everyone}
        metrics = tuple(dict.fromkeys(["accuracy", *self.plan.metrics()]))
        evidence = selection_evidence(cells, self.answers.selection, metrics)
        costs = {name: one.cost for name, one in by_name.items()}
        most, allowed = self.settings.finalists, Budget(quantity="accuracy", max_drop=self.margin)
        try:
            names = finalists(evidence, self.plan.budgets, costs, most=most)
        except BudgetError:  # all are on time, or on one test set; the margin speaks of any rows
            names = finalists(evidence, [allowed], costs, most=most)
        return [by_name[name] for name in names] or [min(hopeful, key=self._beyond)]

    def _trial(self, one: Tried, chosen: Sequence[Tried], front: Sequence[Tried]) -> Trial:
        gain, flips = self.answers.compared(one.candidate, self.baseline)
        undecided = one.fate in (None, "undercut")
        fate = "on the front" if one in front and undecided else one.fate
        fate = "finalist" if one in chosen else fate
        return Trial(
            name=one.candidate.name,
            round=one.idea.round,
            recipe=one.candidate.recipe,
            runtime=one.candidate.runtime,
            fate=fate or "dominated",
            reason=one.reason,
            cost=one.cost,
            size_bytes=one.candidate.model.size_bytes,
            gain=gain,
            flips=flips,
            spent=one.spent,
        )


def margin(budgets: Sequence[Budget]) -> float:
    """The drop of accuracy that budgets allow on all rows as they came; a point by default."""
    whole = (b for b in budgets if not (b.slice or b.shift))
    return min((b.max_drop for b in whole if b.max_drop and b.max_drop < 1), default=MARGIN)


def lean(budgets: Sequence[Budget]) -> tuple[int, str]:
    """The batch size at which candidates are timed, and what makes one of them the leaner one."""
    timed = [b for b in budgets if b.quantity in TIMED and not b.load]
    if timed:
        return timed[0].batch, f"median latency at batch {timed[0].batch}"
    if any(b.quantity == "size_mb" for b in budgets):
        return 1, "size_mb"
    return 1, "median latency at batch 1"
