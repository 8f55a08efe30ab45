"""Tunes the one continuous option of the best recipe: how much is taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import StepCall
from surefoot.search.bench import Tried
from surefoot.search.space import Idea, Steps

RANGES = {"prune_structured": ("ratio", 0.1, 0.9), "low_rank": ("rank_share", 0.1, 0.9)}
"""Steps that take a share away, the option that says how much, and its range."""
ASKED = 4
"""Values that are tried."""
DIGITS = 2
"""Decimals of a value: finer ones make no other model."""

Objective = Callable[[str], float | None]


def tuned(built_on: Sequence[Tried], objective: Objective, seed: int) -> Iterator[Idea]:
    """Ideas of one recipe with other shares, each from what the ones before it gave.

    A tree-structured Parzen estimator proposes them (Bergstra, Bardenet, Bengio and Kegl 2011,
    "Algorithms for hyper-parameter optimization", as Optuna has it), told of all that was tried.

    Args:
        built_on: Candidates near the margin, the cheapest first; the first with such a step is
            tuned.
        objective: What came of a candidate by its name; None where it failed.
        seed: Of the proposals.
    """
    able = [one for one in built_on if _place(one.idea.plain) is not None]
    if not able:
        return
    optuna = require("optuna", extra="compress", error=ModelError)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    first = able[0].idea
    option, low, high = RANGES[first.plain[_found(first)].use]
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    range_ = {option: optuna.distributions.FloatDistribution(low, high)}
    seen: set[float] = set()
    for one in able:
        if one.idea.runtime == first.runtime and _without(one.idea.plain) == _without(first.plain):
            value, found = _value(one.idea), objective(one.candidate.name)
            if value is not None and found is not None:
                seen.add(value)
                study.add_trial(
                    optuna.trial.create_trial(
                        params={option: value}, distributions=range_, value=found
                    )
                )
    for _ in range(ASKED):
        trial = study.ask(range_)
        value = round(trial.params[option], DIGITS)
        if value in seen:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        seen.add(value)
        idea = replace(first, round="tune", plain=_with(first.plain, value), bound=0.0)
        yield idea
        found = objective(idea.name)
        state = None if found is not None else optuna.trial.TrialState.FAIL
        study.tell(trial, found, state=state)


def _place(steps: Steps) -> int | None:
    places = [i for i, call in enumerate(steps) if call.use in RANGES]
    return places[0] if places else None


def _found(idea: Idea) -> int:
    place = _place(idea.plain)
    assert place is not None
    return place


def _value(idea: Idea) -> float | None:
    call = idea.plain[_found(idea)]
    value = dict(call.options).get(RANGES[call.use][0])
    return None if value is None else float(value)


def _with(steps: Steps, value: Any) -> Steps:
    """The same steps with another share; with None, without any."""
    place = _place(steps)
    assert place is not None
    call = steps[place]
    options = dict(call.options)
    options.pop(RANGES[call.use][0], None)
    options |= {} if value is None else {RANGES[call.use][0]: value}
    changed = StepCall(use=call.use, options=tuple(sorted(options.items())))
    return (*steps[:place], changed, *steps[place + 1 :])


def _without(steps: Steps) -> Steps:
    return _with(steps, None)
