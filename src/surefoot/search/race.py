"""Find the winner on the selection split without measuring every candidate on every row.

The rule, `rightful_winner`: of the candidates whose gain (their metric minus the baseline's, over
the whole split) is at least -margin, the cheapest; where costs tie, the one that gains most; where
gains tie too, the one named first; nobody where nobody qualifies. With probability 1 - alpha at
least over the order of the rows, `race` names the very winner that measuring everything would. The
split is the whole population and only its order is random, so nothing is assumed of the rows. The
winner is chosen, not confirmed: its verdict needs rows that no choice was made on.

The cheapest candidates are on the track first, together with all that cost the same, and every
candidate sees the rows in the same random order. After each batch one is dropped if

- *over the margin*: its gain is shown to lie below -margin;
- *dominated*: one that costs the same is shown to gain more, by their paired difference;
- *undercut*: a cheaper one is shown to qualify. Those still to come are then never measured, which
  is where most of the saving is: a costlier candidate matters only if all cheaper ones fail.

"Shown" is valid at every look together. Rows are drawn without replacement, so the mean that a
hypothesis leaves for the rows to come is known, and capital staked against it exceeds 1 / p with
probability p at most if it is true: Waudby-Smith and Ramdas 2024, "Estimating means of bounded
random variables by betting", and 2020, "Confidence sequences for sampling without replacement".
Only three hypotheses are of interest, so no interval is inverted: capital is staked against each
directly, spread over several stakes (a mixture). At a margin of 1 point, drops of 2 to 5 points are
shown on 14 to 34 % fewer rows than by `stats.betting_p_value`, those of 20 points some fifteen rows
later (`benchmarks/racing.py`). Stakes grow as 1 / (1 - share of rows seen), as the evidence in what
is left does. Rows where both are alike cost next to nothing, so what counts is the flips.

Alpha is shared out over the ways to go wrong. Only the true winner's own drop matters, so that one
pays for no other candidate; being falsely shown to qualify is shared over all candidates, being
falsely dominated over those of the same cost. Where nothing can be shown all rows are seen, and
nothing is left to chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import BudgetError, DataError
from surefoot.stats.checks import finite, open_share

Measure = Callable[[str, np.ndarray], np.ndarray]
"""A candidate's metric in [0, 1] on rows of the selection split, by their numbers; more is better.

No row of a candidate is asked for twice.
"""
Fate = Literal["won", "over the margin", "dominated", "undercut"]

BATCH = 64
"""Rows from one look to the next."""
_STAKES = np.geomspace(0.08, 1, 5)
"""Shares of the capital per unit of difference; the best is the gap over the flip rate."""
_BOLDEST = 0.95
"""The largest share of the capital a single row may cost."""
_CLOSE = 1e-9
"""Means closer than this are equal, so that rounding decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raced:
    """How one candidate fared."""

    candidate: str
    """The candidate's name."""
    cost: float
    """What it costs."""
    rows: int
    """How many rows it was measured on."""
    gain: float | None
    """Its mean metric minus the baseline's on those rows; None without rows."""
    fate: Fate
    """Why it was dropped, or that it won."""
    by: str | None = None
    """The candidate that dominated or undercut it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What a race found."""

    winner: str | None
    """The cheapest candidate within the margin; None where none is."""
    raced: tuple[Raced, ...]
    """Every candidate, in the order given."""
    evaluations: int
    """Rows measured, over all candidates."""
    exhaustive: int
    """Rows that measuring every candidate on every row would have taken."""


def rightful_winner(
    gains: Mapping[str, float], costs: Mapping[str, float], *, margin: float
) -> str | None:
    """The winner by the rule, from gains over the whole split.

    Args:
        gains: Mean metric minus the baseline's, by candidate.
        costs: What each costs; only the order matters.
        margin: The largest drop allowed.

    Returns:
        The cheapest within the margin, of these the one that gains most, of these the first in
        `costs`; None where none is within the margin.
    """
    within = [name for name in costs if gains[name] >= -margin - _CLOSE]
    cheapest = [name for name in within if costs[name] == min(costs[n] for n in within)]
    most = max((gains[name] for name in cheapest), default=0.0)
    return next((name for name in cheapest if gains[name] >= most - _CLOSE), None)


def race(
    measure: Measure,
    baseline: ArrayLike,
    costs: Mapping[str, float],
    *,
    margin: float,
    alpha: float = 0.05,
    seed: int = 0,
) -> Race:
    """Drop candidates as soon as they cannot win; see the module for the rule.

    The same arguments give the same calls of `measure` in the same order, so a race that was
    interrupted is resumed by running it again over a cache of what was measured.

    Args:
        measure: Asked for a candidate's metric on some rows, never twice for the same.
        baseline: (rows,) the baseline's metric on the selection split, in [0, 1].
        costs: What each candidate costs; only the order matters.
        margin: The largest drop allowed, negative to demand a gain; in the metric's unit.
        alpha: The probability, at most, that the winner is another than the rightful one.
        seed: Of the order of the rows.

    Raises:
        DataError: No candidate, a cost that is not a number, or metrics outside [0, 1].
        BudgetError: A margin outside (-1, 1) or an alpha outside (0, 1).
    """
    known = _metric(baseline, "the baseline's metric")
    split = _Split(
        measure=measure,
        baseline=known,
        order=np.random.default_rng(seed).permutation(len(known)),
        costs=_priced(costs),
        margin=_bounded(margin),
        alpha=float(open_share(alpha, "alpha")),
    )
    winner: str | None = None
    raced: dict[str, Raced] = {}
    for names in split.tiers():
        if winner is None:
            winner, heat = _Heat(split, names).run()
            raced.update(heat)
        else:
            raced.update({n: split.raced(n, fate="undercut", by=winner) for n in names})
    return Race(
        winner=winner,
        raced=tuple(raced[name] for name in costs),
        evaluations=sum(one.rows for one in raced.values()),
        exhaustive=len(costs) * split.rows,
    )


def _metric(values: ArrayLike, name: str) -> np.ndarray:
    metric = finite(values, name)
    if metric.ndim != 1 or metric.min() < 0 or metric.max() > 1:
        raise DataError(f"{name} is not a row of numbers in [0, 1]", fix="rescale it by its range")
    return metric


def _priced(costs: Mapping[str, float]) -> dict[str, float]:
    if not costs:
        raise DataError("there is no candidate to race")
    finite(list(costs.values()), "a candidate's cost")
    return dict(costs)


def _bounded(margin: float) -> float:
    if not -1 < margin < 1:
        raise BudgetError(f"margin is {margin}", fix="give one in (-1, 1), such as 0.01")
    return margin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """What all heats of a race share."""

    measure: Measure
    baseline: np.ndarray
    order: np.ndarray
    costs: Mapping[str, float]
    margin: float
    alpha: float

    @property
    def rows(self) -> int:
        return len(self.baseline)

    def tiers(self) -> list[list[str]]:
        """Candidates of equal cost together, the cheapest first."""
        by_cost = sorted(self.costs, key=self.costs.__getitem__)
        return [list(tier) for _, tier in groupby(by_cost, key=self.costs.__getitem__)]

    def limit(self, among: int) -> float:
        """The log capital that shows a hypothesis wrong, one of so many that may be true."""
        ways = 2 if len(set(self.costs.values())) == len(self.costs) else 3
        return float(np.log(ways * max(among, 1) / self.alpha))

    def asked(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A candidate's metric on some rows, checked."""
        metric = _metric(self.measure(name, rows), f"the metric of '{name}'")
        if len(metric) != len(rows):
            raise DataError(f"{len(metric)} values for {len(rows)} rows", where=name)
        return metric

    def raced(
        self, name: str, *, fate: Fate, rows: int = 0, gained: float = 0.0, by: str | None = None
    ) -> Raced:
        """How a candidate fared that gained so much in sum over its rows."""
        gain = gained / rows if rows else None
        return Raced(candidate=name, cost=self.costs[name], rows=rows, gain=gain, fate=fate, by=by)


class _Heat:
    """Candidates of equal cost, batch by batch until one is left that qualifies, or none.

    Arrays have one entry a candidate still in the race, in the order of `names`.
    """

    def __init__(self, split: _Split, names: Sequence[str]) -> None:
        self.split, self.names, self.order = split, list(names), split.order
        self.out: dict[str, Raced] = {}
        self.seen, count, rows = 0, len(names), split.rows
        self.gained = np.zeros(count)
        self.over = _Capital(count, split.margin, rows)
        self.within = _Capital(count, -split.margin, rows)
        self.pairs = np.argwhere(~np.eye(count, dtype=bool))
        self.above = _Capital(len(self.pairs), 0.0, rows)
        self.limits = [split.limit(among) for among in (1, len(split.costs), count - 1)]

    def run(self) -> tuple[str | None, dict[str, Raced]]:
        """The winner, and how every candidate of this heat fared."""
        while self.names and not self._decided():
            self._look()
            self._drop_over()
            self._drop_dominated()
        if not self.names:
            return None, self.out
        gains = dict(zip(self.names, self.gained / max(self.seen, 1), strict=True))
        costs = {name: self.split.costs[name] for name in self.names}
        winner = rightful_winner(gains, costs, margin=1.0)
        for name in self.names:
            won = name == winner
            self._leave(name, "won" if won else "dominated", by=None if won else winner)
        return winner, self.out

    def _decided(self) -> bool:
        """Whether who is left qualifies and nobody else is; after the last row all are known."""
        if self.seen == self.split.rows:
            return True
        lost = self.split.baseline[self.order[self.seen :]].sum()
        sure = (self.gained - lost) / self.split.rows >= -self.split.margin - _CLOSE
        return len(self.names) == 1 and bool(sure[0] or self.within.peak[0] >= self.limits[1])

    def _look(self) -> None:
        rows = self.order[self.seen : self.seen + BATCH]
        metric = np.stack([self.split.asked(name, rows) for name in self.names])
        gains = metric - self.split.baseline[rows]
        self.over.see(-gains)
        self.within.see(gains)
        self.above.see(metric[self.pairs[:, 0]] - metric[self.pairs[:, 1]])
        self.gained += gains.sum(axis=1)
        self.seen += len(rows)

    def _drop_over(self) -> None:
        """Those shown, or by now bound, to lie below the margin."""
        won = (1 - self.split.baseline[self.order[self.seen :]]).sum()
        lost = (self.gained + won) / self.split.rows < -self.split.margin - _CLOSE
        shown = self.over.peak >= self.limits[0]
        bound = self.seen == self.split.rows
        self._keep(~(lost if bound else lost | shown), "over the margin")

    def _drop_dominated(self) -> None:
        """Those shown to gain less than another, which is then itself still in the race."""
        keep = np.ones(len(self.names), dtype=bool)
        by: dict[str, str] = {}
        if self.seen < self.split.rows:
            for better, worse in self.pairs[self.above.peak >= self.limits[2]]:
                if keep[better] and keep[worse]:
                    keep[worse] = False
                    by[self.names[worse]] = self.names[better]
        self._keep(keep, "dominated", by)

    def _keep(self, keep: np.ndarray, fate: Fate, by: Mapping[str, str] | None = None) -> None:
        if keep.all():
            return
        for name in np.array(self.names, dtype=object)[~keep]:
            self._leave(name, fate, by=(by or {}).get(name))
        both = np.asarray(keep[self.pairs].all(axis=1))
        self.pairs = (np.cumsum(keep) - 1)[self.pairs[both]]
        self.names = [name for name, stays in zip(self.names, keep, strict=True) if stays]
        self.gained = self.gained[keep]
        self.over.keep(keep)
        self.within.keep(keep)
        self.above.keep(both)

    def _leave(self, name: str, fate: Fate, *, by: str | None) -> None:
        gained = float(self.gained[self.names.index(name)])
        self.out[name] = self.split.raced(name, fate=fate, rows=self.seen, gained=gained, by=by)


class _Capital:
    """What staking on "their mean over all rows is above this" has made, for many at once."""

    def __init__(self, count: int, mean: float, rows: int) -> None:
        self.mean, self.rows, self.seen = mean, rows, 0
        self.total = np.zeros(count)
        self.log = np.zeros((count, len(_STAKES)))
        self.peak = np.zeros(count)
        """The log of the most that was held at any look."""

    def see(self, values: np.ndarray) -> None:
        """(count, rows) more values, in [-1, 1]."""
        share = (self.seen + np.arange(values.shape[1])) / self.rows
        past = (self.total[:, None] + np.cumsum(values, axis=1) - values) / self.rows
        centre = np.maximum((self.mean - past) / (1 - share), -1)[..., None]
        boldest = _BOLDEST / np.maximum(1 + centre, 1e-12)
        stakes = np.minimum(_STAKES / (1 - share)[:, None], boldest)
        self.log += np.log1p(stakes * (values[..., None] - centre)).sum(axis=1)
        held = np.logaddexp.reduce(self.log, axis=1) - np.log(len(_STAKES))
        self.peak, self.total = np.maximum(self.peak, held), self.total + values.sum(axis=1)
        self.seen += values.shape[1]

    def keep(self, which: np.ndarray) -> None:
        """Forget the others."""
        self.total, self.log, self.peak = self.total[which], self.log[which], self.peak[which]
