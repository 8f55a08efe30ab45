"""Holds budgets against evidence: one question for every place that a budget speaks of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from surefoot.core.budget import EXACT, QUANTILES, TIMED
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence, Paired, place
from surefoot.core.load import LoadProfile
from surefoot.core.parts import speaks_of
from surefoot.gate import load as under
from surefoot.gate.checks import rate_sample, unanswered
from surefoot.gate.latency import machine_noise
from surefoot.gate.samples import Calls, Counted, Drawn, Exact, Rows, Sample, Series, Share, negated

CHANGES = {"flips": (1, 2, 3), "lost": (1,), "won": (2,), "other": (3,)}
MEGABYTE = 1_000_000
_MILLIONS_PER_HOUR = 3_600_000 / 1_000_000
"""Milliseconds a row, over this: hours a million rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One budget in one place of one candidate."""

    budget: Budget
    """The budget."""
    subject: str
    """What is judged, for example `accuracy on tweets [short]`."""
    limit: float
    """What the estimate is held against, in its own unit and direction."""
    sample: Sample
    """The numbers."""
    shown: Callable[[float], float] | None = None
    """From what the sample estimates to the quantity, rising or falling; None: the same."""
    paired: Paired | None = None
    """The rows behind it, where there are any."""
    noise: str = ""
    """Why it cannot be answered here, if it cannot."""
    no_pass: str = ""
    """Why it cannot pass whatever its numbers, if it cannot."""


class Questions:
    """What can be asked of evidence.

    Args:
        evidence: What was measured.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._paired: dict[str, list[Paired]] = defaultdict(list)
        for paired in evidence.paired:
            self._paired[paired.candidate].append(paired)
        self._loads = {(load.candidate, load.batch): load for load in evidence.loads}
        self._served = {(one.load, one.candidate): one for one in evidence.served}
        self._checks = {(found.candidate, found.check): found for found in evidence.checks}

    def about(self, candidate: str, budgets: Sequence[Budget]) -> list[Question]:
        """Every budget in every place of one candidate that it speaks of.

        Raises:
            BudgetError: Nothing was measured that a budget speaks of.
        """
        return [question for budget in budgets for question in self._of(budget, candidate)]

    def drops(self, candidate: str, metric: str) -> list[Question]:
        """How much a metric dropped in every place of one candidate, whatever the budgets say."""
        any_margin = Budget(quantity=metric, max_drop=0.01)
        measured = (p for p in self._paired[candidate] if p.metric == metric and not p.note)
        return [_drop(paired, any_margin) for paired in measured]

    def _of(self, budget: Budget, candidate: str) -> list[Question]:
        if budget.quantity in EXACT:
            return [self._exact(budget, candidate)]
        if budget.load is not None:
            return [self._under_load(budget, candidate, budget.load)]
        if budget.quantity in TIMED:
            return [self._timed(budget, candidate)]
        if (candidate, budget.quantity) in self._checks:
            return [self._checked(budget, candidate)]
        found = [_on_rows(paired, budget) for paired in self._places(budget, candidate)]
        if not found:
            raise BudgetError(
                f"nothing measured for the budget on '{budget.quantity}' {_where(budget)}"
            )
        return found

    def _places(self, budget: Budget, candidate: str) -> Iterator[Paired]:
        known = self._paired[candidate]
        # Which answers changed is the same whatever the metric: the first one tells.
        wanted = known[0].metric if known and budget.quantity in CHANGES else budget.quantity
        for paired in known:
            here = paired.metric == wanted and speaks_of(budget.dataset, paired.dataset)
            here = here and _under(budget.shift, paired.shift)
            every_slice = budget.slice == "*" and paired.slice is not None
            if here and (every_slice or budget.slice == paired.slice):
                yield paired

    def _exact(self, budget: Budget, candidate: str) -> Question:
        sizes, memory = self._evidence.sizes, self._evidence.memory
        known, what = (sizes, "size") if budget.quantity == "size_mb" else (memory, "memory")
        if candidate not in known:
            raise BudgetError(f"no {what} measured for '{candidate}'")
        limit, _ = _limit(budget)
        value = known[candidate] / MEGABYTE
        sample = Exact(value=value, limit=limit)
        return Question(budget=budget, subject=budget.quantity, limit=limit, sample=sample)

    def _checked(self, budget: Budget, candidate: str) -> Question:
        found, (limit, _) = self._checks[candidate, budget.quantity], _limit(budget)
        sample = rate_sample(found, limit)
        return Question(
            budget=budget,
            subject=budget.quantity,
            limit=limit,
            sample=sample,
            shown=_negative if isinstance(sample, Rows) else None,
            noise=unanswered(found),
        )

    def _timed(self, budget: Budget, candidate: str) -> Question:
        load, (limit, at_least) = self._load(candidate, budget.batch), _limit(budget)
        batch, shown = budget.batch, None
        if budget.quantity in QUANTILES:
            sample: Sample = Calls(
                values=load.wall_ms, q=QUANTILES[budget.quantity], limit=limit, at_least=at_least
            )
        elif budget.quantity == "speedup":
            ratios = self._load(self._evidence.baseline, batch).wall_ms / load.wall_ms
            sample = Calls(values=ratios, q=0.5, limit=limit, at_least=at_least)
        elif budget.quantity == "rows_per_s":
            # At least so many rows a second: at most so many milliseconds a call, in the mean.
            sample = Series(values=load.wall_ms, limit=1000 * batch / limit)
            shown = _per_second(batch)
        else:
            sample = Series(values=load.cpu_ms, limit=limit * batch * _MILLIONS_PER_HOUR)
            shown = _hours_a_million(batch)
        return Question(
            budget=budget,
            subject=f"{budget.quantity} at batch {batch}",
            limit=limit,
            sample=sample,
            shown=shown,
            noise=machine_noise(
                self._loads, self._evidence.baseline, batch, paired=budget.quantity == "speedup"
            ),
        )

    def _under_load(self, budget: Budget, candidate: str, load: str) -> Question:
        """A latency or a rate under a load; an endpoint serves one candidate alone."""
        baseline, (limit, _) = self._evidence.baseline, _limit(budget)
        others = [name for where, name in self._served if where == load]
        if not others:
            raise BudgetError(f"nothing measured under the load '{load}'")
        subject, profile = f"{budget.quantity} under {load}", self._served.get((load, candidate))
        if profile is None:
            never = Calls(values=np.array([np.inf]), q=0.5, limit=limit, at_least=False)
            why = f"not measured: {load} was put on '{others[0]}' alone"
            return Question(budget=budget, subject=subject, limit=limit, sample=never, noise=why)
        rate = budget.quantity == "rows_per_s"
        return Question(
            budget=budget,
            subject=subject,
            limit=limit,
            sample=under.sample(profile, budget, limit),
            shown=under.rows_a_second if rate else None,
            noise=under.invalid(profile, self._served, baseline),
            no_pass=under.growing(profile),
        )

    def _load(self, candidate: str, batch: int) -> LoadProfile:
        load = self._loads.get((candidate, batch))
        if load is None:
            raise BudgetError(
                f"no latency measured for '{candidate}' at batch {batch}",
                fix=f"add {batch} to evaluate.latency.batch",
            )
        return load


def _under(asked: str | None, shift: str) -> bool:
    """Whether a budget speaks of rows under a shift, or of rows as they came."""
    return bool(shift) if asked == "*" else (asked or "") == shift


def _on_rows(paired: Paired, budget: Budget) -> Question:
    if budget.quantity in CHANGES:
        return _changes(paired, budget)
    return _drop(paired, budget) if budget.max_drop is not None else _absolute(paired, budget)


def _drop(paired: Paired, budget: Budget) -> Question:
    """The candidate may be worse than the baseline by at most a margin."""
    margin, sign = float(budget.max_drop or 0.0), 1 if paired.higher_is_better else -1
    if paired.note:
        return _unmeasured(paired, budget, -sign * margin)
    if paired.drawn is not None:
        difference = paired.drawn[1]
        sample: Sample = Drawn(
            drawn=difference if sign > 0 else negated(difference),
            margin=margin,
            n=paired.n,
            changed=paired.lost + paired.won + paired.other if paired.of_answers else None,
            units=_units(paired),
        )
    elif paired.difference is None:
        sample = Counted(lost=paired.lost, won=paired.won, n=paired.n, margin=margin)
    else:
        sample = _rows(paired, sign * paired.difference, margin)
    return _question(paired, budget, sample, -sign * margin, None if sign > 0 else _negative)


def _absolute(paired: Paired, budget: Budget) -> Question:
    """The candidate's own metric against a fixed limit."""
    limit, at_least = _limit(budget)
    if paired.note:
        return _unmeasured(paired, budget, limit)
    if paired.drawn is not None:
        own = paired.drawn[0]
        sample = Drawn(
            drawn=own if at_least else negated(own),
            margin=-limit if at_least else limit,
            n=paired.n,
        )
        return _question(paired, budget, sample, limit, None if at_least else _negative)
    if paired.values is None:
        return _share(round(paired.value * paired.n), paired, budget)
    return _level(paired.values, paired, budget)


def _changes(paired: Paired, budget: Budget) -> Question:
    """The share of rows whose answer changed: all, lost, won, or one wrong answer for another."""
    kinds = CHANGES[budget.quantity]
    if paired.change is not None:
        changed = np.isin(paired.change, kinds).astype(float)
        return _level(changed, replace(paired, share=True, span=1.0), budget)
    count = sum((0, paired.lost, paired.won, paired.other)[kind] for kind in kinds)
    return _share(count, paired, budget)


def _level(values: np.ndarray, paired: Paired, budget: Budget) -> Question:
    """A mean of values per row against a limit, as a drop from 0, or from 1 for `at_least`."""
    limit, at_least = _limit(budget)
    gain, margin = (values - 1, 1 - limit) if at_least else (-values, limit)
    sample = _rows(paired, gain, margin)
    return _question(paired, budget, sample, limit, _from_one if at_least else _negative)


def _rows(paired: Paired, gain: np.ndarray, margin: float) -> Rows:
    return Rows(
        gain=gain, margin=margin, groups=paired.groups, span=paired.span, answers=paired.share
    )


def _unmeasured(paired: Paired, budget: Budget, limit: float) -> Question:
    """A metric of sets that cannot be computed in this place."""
    sample = Rows(gain=np.zeros(1), margin=abs(limit))
    return replace(_question(paired, budget, sample, limit, None), noise=paired.note)


def _share(count: int, paired: Paired, budget: Budget) -> Question:
    """A share of independent rows against a limit."""
    limit, at_least = _limit(budget)
    sample = Share(count=count, n=paired.n, limit=limit, at_least=at_least)
    return _question(paired, budget, sample, limit, None)


def _question(
    paired: Paired,
    budget: Budget,
    sample: Sample,
    limit: float,
    shown: Callable[[float], float] | None,
) -> Question:
    where = place(paired.dataset, paired.shift, paired.severity, paired.slice)
    return Question(
        budget=budget,
        subject=f"{budget.quantity} on {where}",
        limit=limit,
        sample=sample,
        shown=shown,
        paired=paired,
    )


def _units(paired: Paired) -> int:
    """What is independent of each other: rows, or groups of them."""
    return paired.n if paired.groups is None else len(np.unique(paired.groups))


def _limit(budget: Budget) -> tuple[float, bool]:
    """The fixed limit, and whether it is one from below."""
    at_least = budget.at_least is not None
    return float((budget.at_least if at_least else budget.at_most) or 0.0), at_least


def _where(budget: Budget) -> str:
    parts = [
        f"in data set '{budget.dataset}'" if budget.dataset else "",
        f"in slice '{budget.slice}'" if budget.slice else "",
        f"under shift '{budget.shift}'" if budget.shift else "",
    ]
    return " ".join(filter(None, parts)) or "in any data set"


def _negative(gain: float) -> float:
    return -gain


def _from_one(gain: float) -> float:
    return 1 + gain


def _per_second(batch: int) -> Callable[[float], float]:
    return lambda call_ms: 1000 * batch / call_ms if call_ms > 0 else float("inf")


def _hours_a_million(batch: int) -> Callable[[float], float]:
    return lambda call_ms: call_ms / batch / _MILLIONS_PER_HOUR
