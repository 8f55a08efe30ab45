"""The search against a sweep of everything that its grammar allows, on one plan.

    python benchmarks/search_sweep.py PLAN [FOLDER]

Both start from empty folders. The sweep makes every free move, every quantiser on each of them,
every smaller model, and every quantiser on each of those, lets all of them answer all selection
rows, times them as the search does, and takes the cheapest within the margin. Targets: the same
recommendation, in at most a third of the time; and at most 5 % of the search's time for itself.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from surefoot.bundle import environment_key
from surefoot.cli.progress import Lines
from surefoot.compress import beside, workshop
from surefoot.core.plan import LatencyPlan, Plan
from surefoot.core.search import Trial
from surefoot.data import for_classes, read_task
from surefoot.models import adopt_baseline
from surefoot.plan import read_plan
from surefoot.search import rightful_winner, search
from surefoot.search.answers import Answers
from surefoot.search.bench import Bench
from surefoot.search.clock import Clock
from surefoot.search.find import lean, margin
from surefoot.search.space import Idea, Space
from surefoot.store import Store


def every_idea(space: Space) -> list[Idea]:
    """All recipes of the grammar, whatever came of the others."""
    free = space.free()
    graphs = [(steps, 1.0) for steps in dict.fromkeys(idea.plain for idea in free)]
    shrunk = space.shrunk(1.0)
    smaller = [(steps, 1.0) for steps in dict.fromkeys(idea.plain for idea in shrunk)]
    quantised = space.quantised(graphs)
    lossy = [(steps, 1.0) for steps in dict.fromkeys(idea.plain for idea in quantised)]
    ideas = [*free, *quantised, *shrunk, *space.repaired(lossy), *space.combined(smaller, 1.0)]
    return list({idea.steps: idea for idea in ideas}.values())


def sweep(plan: Plan, folder: Path) -> tuple[str | None, int, float]:
    """The rightful winner of all recipes, how many there are, and the seconds that they took."""
    store = Store(folder, environment_key())
    raw = read_task(plan)
    baseline = adopt_baseline(plan.model, raw, store, "baseline")
    task = for_classes(raw, baseline.model.signature.classes)
    batch, _ = lean(plan.budgets)
    started = time.perf_counter()
    answers = Answers(task.selection, store, batch=plan.evaluate.batch, seed=0, clock=Clock())
    space = Space(
        baseline=baseline.model, labelled=task.train is not None, allowed=plan.search_steps
    )
    rows, gains, costs = len(task.selection), {}, {}
    with workshop(baseline.model, task, store) as make:
        bench = Bench(baseline, make, answers, store, LatencyPlan(batch=[batch]), 0)
        answers.ask(baseline, rows)
        ideas = every_idea(space)
        for start in range(0, len(ideas), beside()):
            for one in bench.tried(ideas[start : start + beside()]):
                if isinstance(one, Trial):
                    continue
                answers.ask(one.candidate, rows)
                name = one.candidate.name
                gains[name] = answers.compared(one.candidate, baseline)[0].value
                costs[name] = 1 / one.speedup
    seconds = time.perf_counter() - started
    print(json.dumps({name: [gains[name], costs[name]] for name in sorted(costs, key=costs.get)}))
    return rightful_winner(gains, costs, margin=margin(plan.budgets)), len(ideas), seconds


def main() -> None:
    """Run both and print a line for each."""
    plan = read_plan(sys.argv[1])
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else "search-sweep")
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder / "search", environment_key())
    raw = read_task(plan)
    baseline = adopt_baseline(plan.model, raw, store, "baseline")
    task = for_classes(raw, baseline.model.signature.classes)
    found = search(plan, baseline, task, store, Lines())
    ablation = sum(variant.gain is not None for variant in found.ablation)
    print(
        f"search: {found.leanest}, {found.tried} tried, {found.search_s:.0f} s before {ablation}"
        f" variants of it, {found.overhead_s:.1f} s of {found.wall_s:.0f} s for itself"
    )
    winner, tried, seconds = sweep(plan, folder / "sweep")
    print(f"sweep: {winner}, {tried} tried, {seconds:.0f} s")
    print(f"the search took {found.search_s / seconds:.2f} of the sweep's time")


if __name__ == "__main__":
    main()
