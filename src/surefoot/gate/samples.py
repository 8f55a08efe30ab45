"""What was measured, reduced to what a test needs: p-values, intervals and rows needed.

Every sample answers one question, "does a mean gain stay above minus a margin?". All samples of a
kind are judged at once, because a search has thousands. Of the two p-values the first is that of
"the budget is broken", so that a small one passes, and the second that of "the budget is kept".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from surefoot import stats
from surefoot.evaluate.machine import time_blocks
from surefoot.stats import BLOCKS, FEWEST

FEWEST_UNITS = 10
"""With fewer rows or groups a bootstrap is wrong twice as often as it says, and more."""
POWER = 0.9
"""The chance of a decision that `needed` is about."""


class Sample(Protocol):
    """One kind of sample."""

    @property
    def n(self) -> int:
        """How many rows or calls it rests on."""

    @property
    def method(self) -> str:
        """How its interval is computed."""

    @classmethod
    def p_values(cls, samples: Sequence[Any]) -> np.ndarray:
        """(samples, 2): of "the budget is broken", and of "it is kept"."""

    @classmethod
    def intervals(cls, samples: Sequence[Any], level: np.ndarray) -> stats.Interval:
        """The gain, or for calls the quantile, at two-sided levels, one a sample."""

    @classmethod
    def needed(cls, samples: Sequence[Any], levels: np.ndarray) -> np.ndarray:
        """(samples,) rows or calls that would decide; `levels` (2, samples) of PASS and FAIL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Answers of independent rows that are right or wrong, before and after."""

    lost: int
    won: int
    n: int
    margin: float

    @property
    def method(self) -> str:
        """Tango 1998, or Clopper and Pearson 1934 where hardly any answer changed."""
        return "Tango score" if self.lost + self.won >= stats.FEW else "exact, few changes"

    @classmethod
    def p_values(cls, samples: Sequence[Counted]) -> np.ndarray:
        """The score test, corrected for skewness where it fails a candidate."""
        numbers = cls._arrays(samples)
        return np.stack([stats.noninferiority(*numbers), stats.inferiority(*numbers)], axis=1)

    @classmethod
    def intervals(cls, samples: Sequence[Counted], level: np.ndarray) -> stats.Interval:
        """Tango's interval of the gain."""
        lost, won, n, _ = cls._arrays(samples)
        return stats.paired_proportions(lost, won, n, level=level)

    @classmethod
    def needed(cls, samples: Sequence[Counted], levels: np.ndarray) -> np.ndarray:
        """At the observed flip rate and drop."""
        lost, won, n, margin = cls._arrays(samples)
        return _rows_needed((lost + won) / n, (lost - won) / n, margin, levels)

    @staticmethod
    def _arrays(samples: Sequence[Counted]) -> np.ndarray:
        return np.array([(s.lost, s.won, s.n, s.margin) for s in samples], dtype=np.float64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of n independent rows something is true of, against a limit on the share."""

    count: int
    n: int
    limit: float
    at_least: bool

    @property
    def method(self) -> str:
        """Clopper and Pearson 1934."""
        return "Clopper-Pearson"

    @classmethod
    def p_values(cls, samples: Sequence[Share]) -> np.ndarray:
        """The exact binomial test."""
        count, n, limit, at_least = cls._arrays(samples)
        p = np.stack(
            [stats.proportion_at_most(count, n, limit), stats.proportion_at_least(count, n, limit)]
        )
        return np.where(at_least > 0, p[::-1], p).T

    @classmethod
    def intervals(cls, samples: Sequence[Share], level: np.ndarray) -> stats.Interval:
        """Clopper and Pearson's interval of the share."""
        count, n, _, _ = cls._arrays(samples)
        return stats.proportion_interval(count, n, level=level)

    @classmethod
    def needed(cls, samples: Sequence[Share], levels: np.ndarray) -> np.ndarray:
        """At the observed share."""
        count, n, limit, at_least = cls._arrays(samples)
        bad = np.where(at_least > 0, 1 - count / n, count / n)
        return _rows_needed(bad, bad, np.where(at_least > 0, 1 - limit, limit), levels)

    @staticmethod
    def _arrays(samples: Sequence[Share]) -> np.ndarray:
        rows = [(s.count, s.n, s.limit, s.at_least) for s in samples]
        return np.array(rows, dtype=np.float64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A gain per row, of rows that may come in groups, and of one seed or several."""

    gain: np.ndarray
    """(n,) or (seeds, n)."""
    margin: float
    groups: np.ndarray | None = None
    span: float = 1.0
    """The most that a row can move."""
    answers: bool = False
    """Whether rows are answers, so that a gain is -1, 0 or 1."""

    @property
    def n(self) -> int:
        """Rows, each counted once however many seeds there are."""
        return int(self.gain.shape[-1])

    @property
    def method(self) -> str:
        """Depends on what the rows are."""
        if self.units() < 2:
            return "one row or group"
        if self.gain.ndim == 2:
            return f"crossed t, {len(self.gain)} seeds"
        if self.answers and self.groups is not None:
            return "clustered score"
        return "paired t" if self.groups is None else "cluster-robust t"

    @classmethod
    def p_values(cls, samples: Sequence[Rows]) -> np.ndarray:
        """Whatever `method` names."""
        return np.array([s.p() for s in samples]).reshape(len(samples), 2)

    @classmethod
    def intervals(cls, samples: Sequence[Rows], level: np.ndarray) -> stats.Interval:
        """Whatever `method` names."""
        return _stacked([s.interval(float(x)) for s, x in zip(samples, level, strict=True)])

    @classmethod
    def needed(cls, samples: Sequence[Rows], levels: np.ndarray) -> np.ndarray:
        """As for independent rows, times the design effect of the groups."""
        rows = [
            (np.square(s.gain).mean(), -s.gain.mean(), s.margin, design_effect(s.gain, s.groups))
            for s in samples
        ]
        squares, drop, margin, effect = np.array(rows).T
        found = _rows_needed(squares, drop, margin, levels) * effect
        return np.where([s.units() < 2 for s in samples], np.inf, found)

    def units(self) -> int:
        """What is independent of each other: rows, or groups of them."""
        return self.gain.shape[-1] if self.groups is None else len(np.unique(self.groups))

    def p(self) -> tuple[float, float]:
        """Its own two p-values."""
        if self.units() < 2:
            return 1.0, 1.0  # a single row or group says nothing about others
        if self.gain.ndim == 2:
            return self._crossed_p()
        gain, groups, margin = self.gain, self.groups, self.margin
        if self.answers and groups is not None:
            p_pass = stats.clustered_noninferiority(gain, groups, margin)
            p_fail = stats.clustered_inferiority(gain, groups, margin)
        else:
            p_pass = stats.mean_p_value(gain, margin=margin, groups=groups, span=self.span)
            p_fail = stats.mean_p_value(-gain, margin=-margin, groups=groups, span=self.span)
        return float(p_pass), float(p_fail)

    def interval(self, level: float) -> stats.Interval:
        """Its own interval."""
        if self.units() < 2:
            infinite = np.array(np.inf)
            return stats.Interval(value=self.gain.mean(), low=-infinite, high=infinite)
        if self.gain.ndim == 2:
            return self._crossed_interval(level)
        if self.answers and self.groups is not None:
            return stats.clustered_proportions(self.gain, self.groups, level=level)
        return stats.paired_mean(self.gain, groups=self.groups, level=level, span=self.span)

    def _crossed_p(self) -> tuple[float, float]:
        """Both sources of chance, and never surer than the seeds' mean taken as one model is."""
        found = [one.p() for one in self._ones()]
        if not self._few():
            rows = by_group(self.gain, self.groups)
            found.append(
                (
                    float(stats.crossed_p_value(rows, margin=self.margin)),
                    float(stats.crossed_p_value(-rows, margin=-self.margin)),
                )
            )
        p_pass, p_fail = np.max(found, axis=0).tolist()
        return p_pass, p_fail

    def _crossed_interval(self, level: float) -> stats.Interval:
        found = [one.interval(level) for one in self._ones()]
        if not self._few():
            found.append(stats.crossed_mean(by_group(self.gain, self.groups), level=level))
        low = np.min([i.low for i in found])
        high = np.max([i.high for i in found])
        return stats.Interval(value=self.gain.mean(), low=low, high=high)

    def _ones(self) -> list[Rows]:
        """Each seed as if it were the only one where few rows moved, else the mean of all."""
        gains = self.gain if self._few() else [self.gain.mean(axis=0)]
        answers = self.answers and self._few()
        return [replace(self, gain=gain, answers=answers) for gain in gains]

    def _few(self) -> bool:
        """Whether too few rows moved, in some seed, to show a variance at all."""
        usual = np.median(self.gain, axis=1, keepdims=True)
        return bool(((self.gain != usual).sum(axis=1) < stats.FEW).any())


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A metric of the whole set with its bootstrap replicates, as a gain."""

    drawn: stats.Resampled
    margin: float
    n: int
    changed: int | None = None
    """Answers that changed, where nothing else can move the metric."""
    units: int = FEWEST_UNITS
    """Independent rows, or groups of rows."""

    @property
    def unknown(self) -> str:
        """Why the replicates do not show how much the metric varies; empty where they do."""
        if self.changed is not None and self.changed < stats.FEW:
            return "too few answers changed to resample; put the budget on accuracy or flips"
        if self.units < FEWEST_UNITS:
            return f"{self.units} independent rows or groups are too few to resample"
        if not self.drawn.replicates.std() > 0:
            return "nothing changed that could be resampled; put the budget on accuracy or flips"
        return ""

    @property
    def method(self) -> str:
        """Efron 1987."""
        return "BCa bootstrap"

    @classmethod
    def p_values(cls, samples: Sequence[Drawn]) -> np.ndarray:
        """Where the interval ends at the margin."""
        found = [(s.p(), replace(s, drawn=negated(s.drawn), margin=-s.margin).p()) for s in samples]
        return np.array(found).reshape(len(samples), 2)

    @classmethod
    def intervals(cls, samples: Sequence[Drawn], level: np.ndarray) -> stats.Interval:
        """At each end the further of the BCa interval and the normal one."""
        return _stacked([s.interval(float(x)) for s, x in zip(samples, level, strict=True)])

    @classmethod
    def needed(cls, samples: Sequence[Drawn], levels: np.ndarray) -> np.ndarray:
        """As for a mean whose variance is that of the replicates."""
        rows = [(s.n * s.drawn.replicates.var(), -s.drawn.value, s.margin) for s in samples]
        variance, drop, margin = np.array(rows).T
        return _rows_needed(variance + drop**2, drop, margin, levels)

    def p(self) -> float:
        """Of "the metric fell by the margin or more".

        BCa alone is too sure where the metric falls on the side of its short tail (8.8 % of false
        FAILs at a nominal 5 %, macro F1 of 200 rows), so the normal tail has to agree.
        """
        from scipy.special import ndtr

        if self.unknown:
            return 1.0
        distance = float(self.drawn.value) + self.margin
        error = float(self.drawn.replicates.std())
        normal = float(ndtr(-distance / error)) if error > 0 else 1.0
        return max(float(stats.bca_p_value(self.drawn, self.margin)), normal)

    def interval(self, level: float) -> stats.Interval:
        """Its own interval; without ends where too little changed."""
        from scipy.special import ndtri

        value, error = self.drawn.value, float(self.drawn.replicates.std())
        if self.unknown:
            infinite = np.array(np.inf)
            return stats.Interval(value=value, low=-infinite, high=infinite)
        bca, half = stats.bca_interval(self.drawn, level), float(ndtri((1 + level) / 2)) * error
        return stats.Interval(
            value=value,
            low=np.minimum(bca.low, value - half),
            high=np.maximum(bca.high, value + half),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """A series of calls in the order they were made, and a limit on one of its quantiles."""

    values: np.ndarray
    q: float
    limit: float
    at_least: bool

    @property
    def n(self) -> int:
        """Calls."""
        return len(self.values)

    @property
    def method(self) -> str:
        """Scheffe and Tukey 1945; Woodruff 1952."""
        return "order statistics, blocks"

    @classmethod
    def p_values(cls, samples: Sequence[Calls]) -> np.ndarray:
        """Binomial tails of the calls within the limit, for as many calls as blocks are worth."""
        return np.array([s.p() for s in samples]).reshape(len(samples), 2)

    @classmethod
    def intervals(cls, samples: Sequence[Calls], level: np.ndarray) -> stats.Interval:
        """Order statistics."""
        found = [
            stats.quantile_interval(s.values, s.q, level=float(x), blocks=time_blocks(s.n))
            for s, x in zip(samples, level, strict=True)
        ]
        return _stacked(found)

    @classmethod
    def needed(cls, samples: Sequence[Calls], levels: np.ndarray) -> np.ndarray:
        """The exact need depends on the distance of the limit; the least of any limit is known."""
        least = [
            max(int(stats.calls_needed(s.q, x, blocks=BLOCKS)), 2 * s.n, FEWEST)
            for s, x in zip(samples, levels[0], strict=True)
        ]
        return np.array(least, dtype=np.float64)

    def p(self) -> tuple[float, float]:
        """Its own two p-values; 1 where too few calls show how alike neighbours are."""
        blocks = time_blocks(self.n)
        if blocks is None:
            return 1.0, 1.0
        below = float(stats.quantile_at_most(self.values, self.q, self.limit, blocks=blocks))
        above = float(stats.quantile_above(self.values, self.q, self.limit, blocks=blocks))
        return (above, below) if self.at_least else (below, above)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series of calls in the order they were made, whose mean must be at most a limit."""

    values: np.ndarray
    limit: float

    @property
    def n(self) -> int:
        """Calls."""
        return len(self.values)

    @property
    def method(self) -> str:
        """Conway 1963."""
        return "t of block means"

    @classmethod
    def p_values(cls, samples: Sequence[Series]) -> np.ndarray:
        """Student's t of the means of stretches of time."""
        found = [
            float(stats.block_mean_at_most(s.values, s.limit, blocks=BLOCKS))
            if time_blocks(s.n)
            else None
            for s in samples
        ]
        pairs = [(1.0, 1.0) if p is None else (p, 1 - p) for p in found]
        return np.array(pairs).reshape(len(samples), 2)

    @classmethod
    def intervals(cls, samples: Sequence[Series], level: np.ndarray) -> stats.Interval:
        """Student's t of the means of stretches of time."""
        return _stacked([s.interval(float(x)) for s, x in zip(samples, level, strict=True)])

    @classmethod
    def needed(cls, samples: Sequence[Series], levels: np.ndarray) -> np.ndarray:  # noqa: ARG003
        """Twice as many, as good a guess as any, and never too few for blocks."""
        return np.array([max(2.0 * s.n, FEWEST) for s in samples])

    def interval(self, level: float) -> stats.Interval:
        """Its own interval; without ends where there are too few calls."""
        if time_blocks(self.n) is None:
            infinite = np.array(np.inf)
            return stats.Interval(value=self.values.mean(), low=-infinite, high=infinite)
        return stats.block_mean(self.values, level, blocks=BLOCKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A quantity that is read off: nothing about it is estimated."""

    value: float
    limit: float
    n: int = 1

    @property
    def method(self) -> str:
        """No interval."""
        return "exact"

    @classmethod
    def p_values(cls, samples: Sequence[Exact]) -> np.ndarray:
        """0 or 1."""
        kept = np.array([s.value <= s.limit for s in samples])
        return np.stack([~kept, kept], axis=1).astype(np.float64)

    @classmethod
    def intervals(cls, samples: Sequence[Exact], level: np.ndarray) -> stats.Interval:  # noqa: ARG003
        """The value itself."""
        values = np.array([s.value for s in samples])
        return stats.Interval(value=values, low=values, high=values)

    @classmethod
    def needed(cls, samples: Sequence[Exact], levels: np.ndarray) -> np.ndarray:  # noqa: ARG003
        """Never."""
        return np.full(len(samples), np.inf)


def per_kind(
    samples: Sequence[Sample], judge: Callable[[type[Any], Sequence[Any], np.ndarray], np.ndarray]
) -> np.ndarray:
    """Judge the samples of each kind together, and put the results back into order.

    Args:
        samples: Samples of any kinds; at least one.
        judge: Given a kind, its samples and their positions, gives an array with a row a sample.
    """
    kinds: dict[type[Any], list[int]] = {}
    for position, sample in enumerate(samples):
        kinds.setdefault(type(sample), []).append(position)
    result: np.ndarray | None = None
    for kind, where in kinds.items():
        positions = np.array(where)
        found = judge(kind, [samples[i] for i in where], positions)
        if result is None:
            result = np.empty((len(samples), *found.shape[1:]))
        result[positions] = found
    assert result is not None
    return result


def negated(drawn: stats.Resampled) -> stats.Resampled:
    """The same metric with its sign changed."""
    return replace(
        drawn,
        value=-drawn.value,
        replicates=-drawn.replicates,
        acceleration=-drawn.acceleration,
    )


def by_group(gain: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Rows added up by group, (seeds, groups), scaled so that their mean is that of the rows."""
    if groups is None:
        return gain
    members, positions = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(positions, weights=seed) for seed in gain])
    return np.asarray(sums * len(members) / gain.shape[-1])


def design_effect(gain: np.ndarray, groups: np.ndarray | None) -> float:
    """How many rows in groups say as much as one independent row (Kish 1965, "Survey sampling")."""
    if groups is None:
        return 1.0
    gain = gain if gain.ndim == 1 else gain.mean(axis=0)
    members, positions = np.unique(groups, return_inverse=True)
    sums = np.bincount(positions, weights=gain - gain.mean())
    independent = float(np.square(gain - gain.mean()).sum())
    # Where all rows agree nothing tells how alike the rows of a group are: wholly, then.
    alike = len(gain) / len(members)
    return max(1.0, float(np.square(sums).sum()) / independent) if independent > 0 else alike


def _rows_needed(
    squares: np.ndarray, drop: np.ndarray, margin: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Rows that decide on whichever side of the margin the drop lies."""
    level = np.where(drop < margin, levels[0], levels[1])
    return stats.rows_needed(squares, drop, margin, level=level, power=POWER)


def _stacked(intervals: Sequence[stats.Interval]) -> stats.Interval:
    value, low, high = np.array(
        [(float(i.value), float(i.low), float(i.high)) for i in intervals]
    ).T
    return stats.Interval(value=value, low=low, high=high)
