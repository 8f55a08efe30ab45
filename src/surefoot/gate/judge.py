"""One budget against one piece of evidence: an estimate and two p-values.

`p_pass` is the p-value of "the budget is broken" and `p_fail` that of "the budget is kept". Which
outcome they lead to is decided over all findings together, in `gate.verdict`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from surefoot import stats
from surefoot.core.budget import QUANTILES
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Estimate, Evidence, Finding, LoadProfile, Paired
from surefoot.gate.latency import BLOCKS, time_blocks

CHANGES = {"flips": (1, 2, 3), "lost": (1,), "won": (2,), "other": (3,)}
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Levels:
    """One-sided confidence."""

    passing: float
    """That a PASS needs."""
    failing: float
    """That a FAIL needs where it needs most."""

    @property
    def two_sided(self) -> float:
        """Of the interval whose one end is the bound that a PASS needs."""
        return 2 * self.passing - 1

    def rows(self, squares: float, drop: float, margin: float) -> float:
        """Rows that decide on whichever side of the margin the drop lies, at 90 % power."""
        level = self.passing if drop < margin else self.failing
        return float(stats.rows_needed(squares, drop, margin, level=level, power=0.9))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """Is a mean drop below a margin?"""

    estimate: Estimate
    """Of the drop's negative, the gain."""
    p: tuple[float, float]
    """The p-values of "it is not" and of "it is"."""
    needed: float
    """Rows that would decide at 90 % power."""


def judge(
    evidence: Evidence, budget: Budget, candidate: str, *, share: int = 1, tests: int = 1
) -> list[Finding]:
    """Hold one budget against every place of one candidate that it applies to.

    Args:
        evidence: What was measured.
        budget: The budget.
        candidate: The candidate's name.
        share: What alpha is divided by; the intervals widen with it: they show the test made.
        tests: How many findings share the alpha of a FAIL, for the rows it needs.

    Raises:
        BudgetError: Nothing was measured that the budget speaks of.
    """
    alpha = 1 - budget.level
    levels = _Levels(passing=1 - alpha / share, failing=1 - alpha / tests)
    if budget.quantity == "size_mb":
        findings = [_size(evidence, budget, candidate)]
    elif budget.quantity in QUANTILES or budget.quantity == "speedup":
        findings = [_load(evidence, budget, candidate, levels)]
    else:
        findings = [_rows(p, budget, levels) for p in _places(evidence, budget, candidate)]
    if not findings:
        raise BudgetError(
            f"nothing measured for the budget on '{budget.quantity}' {_where(budget)}"
        )
    return findings


def _places(evidence: Evidence, budget: Budget, candidate: str) -> Iterator[Paired]:
    for paired in evidence.paired:
        here = paired.candidate == candidate and budget.dataset in (None, paired.dataset)
        every_slice = budget.slice == "*" and paired.slice is not None
        if here and (every_slice or budget.slice == paired.slice):
            yield paired


def _where(budget: Budget) -> str:
    parts = [
        f"in data set '{budget.dataset}'" if budget.dataset else "",
        f"in slice '{budget.slice}'" if budget.slice else "",
    ]
    return " ".join(filter(None, parts)) or "in any data set"


def _rows(paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    if budget.quantity in CHANGES:
        return _changes(paired, budget, levels)
    if budget.max_drop is not None:
        return _drop(paired, budget, levels)
    return _absolute(paired, budget, levels)


def _drop(paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    """The candidate may be worse than the baseline by at most a margin."""
    margin, sign = float(budget.max_drop or 0.0), 1 if paired.higher_is_better else -1
    if paired.difference is None:
        test = _counted(paired, margin, levels)
    else:
        test = _mean(sign * paired.difference, margin, paired.groups, levels)
    return _finding(paired, budget, test, sign=sign, limit=-sign * margin)


def _absolute(paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    """The candidate's own mean against a fixed limit."""
    if paired.values is None:
        return _share(round(paired.value * paired.n), paired, budget, levels)
    return _level(paired.values, paired, budget, levels)


def _changes(paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    """The share of rows whose answer changed: all, lost, won, or one wrong answer for another."""
    kinds = CHANGES[budget.quantity]
    if paired.change is not None:
        return _level(np.isin(paired.change, kinds).astype(float), paired, budget, levels)
    count = sum((0, paired.lost, paired.won, paired.other)[kind] for kind in kinds)
    return _share(count, paired, budget, levels)


def _level(values: np.ndarray, paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    """A mean of values per row against a limit, as a drop from 0, or from 1 for `at_least`."""
    limit, at_least = _limit(budget)
    gain, margin = (values - 1, 1 - limit) if at_least else (-values, limit)
    test = _mean(gain, margin, paired.groups, levels)
    sign = 1 if at_least else -1
    return _finding(paired, budget, test, sign=sign, limit=limit, start=float(at_least))


def _share(count: int, paired: Paired, budget: Budget, levels: _Levels) -> Finding:
    """A share of independent rows against a limit."""
    limit, at_least = _limit(budget)
    n = paired.n
    most = float(stats.proportion_at_most(count, n, limit))
    least = float(stats.proportion_at_least(count, n, limit))
    bad, margin = (1 - count / n, 1 - limit) if at_least else (count / n, limit)
    interval = stats.proportion_interval(count, n, level=levels.two_sided)
    test = _Test(
        estimate=_estimate(interval, "Clopper-Pearson", n, levels),
        p=(least, most) if at_least else (most, least),
        needed=levels.rows(bad, bad, margin),
    )
    return _finding(paired, budget, test, sign=1, limit=limit)


def _counted(paired: Paired, margin: float, levels: _Levels) -> _Test:
    """Answers that are right or wrong, of independent rows."""
    lost, won, n = paired.lost, paired.won, paired.n
    interval = stats.paired_proportions(lost, won, n, level=levels.two_sided)
    return _Test(
        estimate=_estimate(interval, "Tango score", n, levels),
        p=(
            float(stats.noninferiority(lost, won, n, margin)),
            float(stats.inferiority(lost, won, n, margin)),
        ),
        needed=levels.rows((lost + won) / n, (lost - won) / n, margin),
    )


def _mean(gain: np.ndarray, margin: float, groups: np.ndarray | None, levels: _Levels) -> _Test:
    """Any values per row, of independent rows or of rows in groups."""
    units = len(gain) if groups is None else len(np.unique(groups))
    if units < 2:
        return _unknown(gain, levels)
    drop, squares = -float(gain.mean()), float(np.square(gain).mean())
    if groups is not None and np.isin(gain, (-1, 0, 1)).all():
        interval = stats.clustered_proportions(gain, groups, level=levels.two_sided)
        p_pass = stats.clustered_noninferiority(gain, groups, margin)
        p_fail = stats.clustered_inferiority(gain, groups, margin)
        method = "clustered score"
    else:
        interval = stats.paired_mean(gain, groups=groups, level=levels.two_sided)
        p_pass = stats.mean_p_value(gain, margin=margin, groups=groups)
        p_fail = stats.mean_p_value(-gain, margin=-margin, groups=groups)
        method = "paired t" if groups is None else "cluster-robust t"
    return _Test(
        estimate=_estimate(interval, method, len(gain), levels),
        p=(float(p_pass), float(p_fail)),
        needed=levels.rows(squares, drop, margin) * _design_effect(gain, groups),
    )


def _unknown(gain: np.ndarray, levels: _Levels) -> _Test:
    """A single row or group says nothing about others."""
    infinite = np.array(np.inf)
    interval = stats.Interval(value=gain.mean(), low=-infinite, high=infinite)
    estimate = _estimate(interval, "one row or group", len(gain), levels)
    return _Test(estimate=estimate, p=(1.0, 1.0), needed=np.inf)


def _design_effect(gain: np.ndarray, groups: np.ndarray | None) -> float:
    """How many rows in groups say as much as one independent row (Kish 1965, "Survey sampling")."""
    if groups is None:
        return 1.0
    members, positions = np.unique(groups, return_inverse=True)
    sums = np.bincount(positions, weights=gain - gain.mean())
    independent = float(np.square(gain - gain.mean()).sum())
    # Where all rows agree nothing tells how alike the rows of a group are: wholly, then.
    alike = len(gain) / len(members)
    return max(1.0, float(np.square(sums).sum()) / independent) if independent > 0 else alike


def _size(evidence: Evidence, budget: Budget, candidate: str) -> Finding:
    if candidate not in evidence.sizes:
        raise BudgetError(f"no size measured for '{candidate}'")
    megabytes, (limit, _) = evidence.sizes[candidate] / MEGABYTE, _limit(budget)
    kept = megabytes <= limit
    return Finding(
        budget=budget,
        subject="size_mb",
        estimate=Estimate(
            value=megabytes, low=megabytes, high=megabytes, level=1.0, method="exact", n=1
        ),
        limit=limit,
        outcome="INCONCLUSIVE",
        p_pass=0.0 if kept else 1.0,
        p_fail=1.0 if kept else 0.0,
    )


def _load(evidence: Evidence, budget: Budget, candidate: str, levels: _Levels) -> Finding:
    values, q = _profile(evidence, candidate, budget.batch).wall_ms, 0.5
    if budget.quantity == "speedup":
        values = _profile(evidence, evidence.baseline, budget.batch).wall_ms / values
    else:
        q = QUANTILES[budget.quantity]
    limit, at_least = _limit(budget)
    blocks = time_blocks(len(values))
    below = float(stats.quantile_at_most(values, q, limit, blocks=blocks))
    above = float(stats.quantile_above(values, q, limit, blocks=blocks))
    interval = stats.quantile_interval(values, q, level=levels.two_sided, blocks=blocks)
    return Finding(
        budget=budget,
        subject=f"{budget.quantity} at batch {budget.batch}",
        estimate=_estimate(interval, "order statistics, blocks", len(values), levels),
        limit=limit,
        outcome="INCONCLUSIVE",
        p_pass=above if at_least else below,
        p_fail=below if at_least else above,
        # The exact need depends on how far the limit lies; the least that any limit needs is known.
        needed=max(int(stats.calls_needed(q, levels.passing, blocks=BLOCKS)), 2 * len(values)),
    )


def _profile(evidence: Evidence, candidate: str, batch: int) -> LoadProfile:
    for profile in evidence.loads:
        if (profile.candidate, profile.batch) == (candidate, batch):
            return profile
    raise BudgetError(
        f"no latency measured for '{candidate}' at batch {batch}",
        fix=f"add {batch} to evaluate.latency.batch",
    )


def _limit(budget: Budget) -> tuple[float, bool]:
    """The fixed limit, and whether it is one from below."""
    at_least = budget.at_least is not None
    return float((budget.at_least if at_least else budget.at_most) or 0.0), at_least


def _estimate(interval: stats.Interval, method: str, n: int, levels: _Levels) -> Estimate:
    return Estimate(
        value=float(interval.value),
        low=float(interval.low),
        high=float(interval.high),
        level=levels.two_sided,
        method=method,
        n=n,
    )


def _finding(
    paired: Paired,
    budget: Budget,
    test: _Test,
    *,
    sign: int,
    limit: float,
    start: float = 0.0,
) -> Finding:
    """The finding of a test; the quantity is `start` plus `sign` times what was tested."""
    e = test.estimate
    low, high = (e.low, e.high) if sign > 0 else (-e.high, -e.low)
    place = f"{paired.dataset} [{paired.slice}]" if paired.slice else paired.dataset
    # A few rows more always say more, even where the formula, an approximation, asks for fewer.
    needed = max(int(test.needed), paired.n + 1) if np.isfinite(test.needed) else None
    return Finding(
        budget=budget,
        subject=f"{budget.quantity} on {place}",
        estimate=replace(e, value=start + sign * e.value, low=start + low, high=start + high),
        limit=limit,
        outcome="INCONCLUSIVE",
        p_pass=test.p[0],
        p_fail=test.p[1],
        needed=needed,
        paired=paired,
    )
