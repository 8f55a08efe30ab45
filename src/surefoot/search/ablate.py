"""Which step of the recommended recipe earns its place, and how much hangs on each option.

Each step is left out, each option goes one notch up and down, and a recipe that draws at random is
made again with other seeds; each variant against the recommended candidate on the selection rows.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from surefoot import plugins
from surefoot.compress.step import draws
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, StepCall
from surefoot.core.progress import Progress
from surefoot.core.search import Trial, Variant
from surefoot.search.bench import Bench
from surefoot.search.space import USUAL, Idea, Steps, gives

QUICK_S = 20.0
"""A step that took longer has only those of its options varied that the recipe names."""
SHARE = 0.25
"""Of the minutes of a search, what its ablation may take beside them."""
NOTCH, SMALL = 2.0, 8
"""What a number is multiplied with or divided by; whole numbers up to `SMALL` go by one."""
UNTOUCHED = ("seed", "device", "outputs", "rows", "batch", "opset")
"""Options that say how the work is done, not what comes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A variant to try."""

    kind: Literal["left out", "option", "seed"]
    what: str
    steps: Steps
    seed: int


def ablated(
    recommended: Candidate,
    format: str,
    bench: Bench,
    *,
    minutes: float,
    seeds: int,
    progress: Progress,
) -> tuple[Variant, ...]:
    """Vary a candidate, one thing at a time.

    Args:
        recommended: The candidate; its own steps are in the store.
        format: Of the baseline.
        bench: Tries the variants beside the candidate.
        minutes: After which no further variant is begun.
        seeds: How often a recipe that draws at random is made in all.
        progress: Told of every variant.

    Returns:
        The variants in the order of the recipe; those that there was no time for say so.
    """
    answers = bench.answers
    answers.ask(recommended, len(answers.selection))
    changes = list(_changes(recommended, format, seeds))
    progress.start("varying what is recommended", len(changes))
    end, found = answers.clock.elapsed + 60 * minutes, []
    for change in changes:
        found.append(_tried(change, recommended, bench, late=answers.clock.elapsed > end))
        progress.advance()
    return tuple(found)


def _tried(change: _Change, recommended: Candidate, bench: Bench, *, late: bool) -> Variant:
    answers = bench.answers
    nothing = Variant(kind=change.kind, what=change.what)
    if late:
        return replace(nothing, reason="there was no time")
    idea = Idea(round="combine", plain=change.steps, runtime=USUAL)
    name = f"{recommended.name[:60]}, {change.what}"[:100]
    (one,) = bench.tried([idea], seed=change.seed, name=name)
    if isinstance(one, Trial):
        return replace(nothing, reason=one.reason)
    try:
        answers.ask(one.candidate, len(answers.selection))
    except ModelError as error:
        return replace(nothing, reason=str(error))
    gain, flips = answers.compared(one.candidate, recommended)
    size = one.candidate.model.size_bytes / recommended.model.size_bytes
    return replace(nothing, gain=gain, flips=flips, cost=1 / one.speedup, size=size)


def _changes(recommended: Candidate, format: str, seeds: int) -> Iterator[_Change]:
    recipe, costs = recommended.recipe, recommended.step_costs
    steps, seed = recipe.steps, recipe.seed
    reads = plugins.module("runtime", USUAL).FORMATS
    for i, call in enumerate(steps):
        rest = (*steps[:i], *steps[i + 1 :])
        if gives(format, rest) in reads:
            yield _Change(kind="left out", what=f"without {call.use}", steps=rest, seed=seed)
    for i, call in enumerate(steps):
        quick = costs[i].wall_s <= QUICK_S
        for option, value in _notches(call, all_=quick):
            changed = {**dict(call.options), option: value}
            other = StepCall(use=call.use, options=tuple(sorted(changed.items())))
            varied = (*steps[:i], other, *steps[i + 1 :])
            what = f"{call.use} {option} = {value}"
            yield _Change(kind="option", what=what, steps=varied, seed=seed)
    if any(map(draws, steps)):
        for more in range(1, seeds):
            what = f"seed {seed + more}"
            yield _Change(kind="seed", what=what, steps=steps, seed=seed + more)


def _notches(call: StepCall, *, all_: bool) -> Iterator[tuple[str, Any]]:
    """Options of a step with the values next to those that it has."""
    given = dict(call.options)
    for name, option in plugins.options("step", call.use).items():
        if name in UNTOUCHED or (name not in given and not all_):
            continue
        value = given.get(name, option.default)
        if value is inspect.Parameter.empty or value is None:
            continue
        yield from ((name, other) for other in _beside(value, option.type))


def _beside(value: Any, hint: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if typing.get_origin(hint) is Literal:
        return [choice for choice in typing.get_args(hint) if choice != value]
    if isinstance(value, int):
        down, up = (value - 1, value + 1) if value <= SMALL else (value // 2, value * 2)
        return [down, up] if down > 0 else [up]
    if isinstance(value, float) and 0 < value < 1:
        return [round(value / NOTCH, 6), round(min(value * NOTCH, (1 + value) / 2), 6)]
    if isinstance(value, float) and value > 0:
        return [value / NOTCH, value * NOTCH]
    return []
