"""What fails first: how far the baseline and the candidates hold along each axis of a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.envelope import Envelope, Probe, Side
from surefoot.core.errors import ModelError, PluginError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell
from surefoot.core.model import Candidate
from surefoot.core.plan import TIMED_AXES, EnvelopePlan, EvaluatePlan
from surefoot.core.progress import Progress
from surefoot.evaluate.envelope.severity import (
    SEVERITIES,
    Asked,
    can_decide,
    in_random_order,
    probe_severity,
)
from surefoot.evaluate.envelope.timed import (
    Timed,
    pooled_calls,
    probe_time,
    requests_needed,
    too_few,
    values,
)
from surefoot.store import Store

MOST_POINTS = 64
"""Of an axis, for what must be known before its points are."""
LEVEL = 0.95
"""Of all crossings together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One candidate on one axis."""

    wanted: EnvelopePlan
    candidate: Candidate
    dataset: Dataset
    alpha: float
    """The largest probability that its crossing lies outside."""
    threads: int
    """Threads that a runtime may use while it is timed."""


def measure_envelopes(
    plan: EvaluatePlan,
    candidates: Sequence[Candidate],
    sets: Mapping[str, Dataset],
    cells: Mapping[str, Sequence[Cell]],
    store: Store,
    progress: Progress,
) -> tuple[Envelope, ...]:
    """Find where each candidate leaves its limit, along every axis that the plan names.

    All crossings together lie between their two ends with a confidence of 95 %, if no candidate
    holds again further on than where it fails. What the store holds is not measured again.

    Args:
        plan: The axes.
        candidates: The baseline first.
        sets: The test sets as they came, by name.
        cells: What each candidate answered there.
        store: Where everything that is asked is kept.
        progress: Told of every value that is tried.

    Returns:
        The baseline and the candidates for each axis, in the order of the plan.
    """
    found: list[Envelope] = []
    alpha = (1 - LEVEL) / max(1, len(plan.envelope) * len(candidates))
    for line in _too_few(plan.envelope, sets, alpha):
        progress.note(line)
    for wanted in plan.envelope:
        dataset = sets[wanted.dataset or next(iter(sets))]
        right = {c.name: _right(cells[c.name], dataset) for c in candidates}
        first: Envelope | None = None
        for candidate in candidates:
            case = _Case(
                wanted=wanted,
                candidate=candidate,
                dataset=dataset,
                alpha=alpha,
                threads=plan.latency.threads,
            )
            known = (right[candidates[0].name], right[candidate.name])
            try:
                if wanted.axis in TIMED_AXES:
                    one = _along_time(case, store, progress)
                else:
                    one = _along_shift(case, known, store, plan.batch, progress)
            except (ModelError, PluginError) as error:  # elsewhere it may be sound
                one = _unmeasured(case, str(error))
            found.append(one if first is None else replace(one, ratio=ratio(one, first)))
            first = first or one
    return tuple(found)


def ratio(one: Envelope, first: Envelope) -> Estimate:
    """How far one candidate holds over how far the baseline does; below 1 where it fails first.

    Where less asks more of a model, as of threads, it is the other way round. An end is 0 or
    infinite where nothing is shown.

    Args:
        one: The candidate's.
        first: The baseline's, along the same axis.
    """
    more = one.harder_is == "more"
    over, under = (one, first) if more else (first, one)
    nothing, everything = (0.0, math.inf) if more else (math.inf, 0.0)
    ends = [_ends(e, nothing, everything) for e in (over, under)]
    if not more:
        ends = [(fails, holds) for holds, fails in ends]
    (low, high), (least, most) = ends
    return Estimate(
        value=_over(over.estimate, under.estimate),
        low=_over(low, most) if math.isfinite(most) else 0.0,
        high=_over(high, least) if least and math.isfinite(high) else math.inf,
        level=one.level,
        method="ends of both",
        n=one.asked + first.asked,
    )


def _ends(one: Envelope, nothing: float, everything: float) -> tuple[float, float]:
    holds = nothing if one.holds_to is None else one.holds_to
    return holds, everything if one.fails_at is None else one.fails_at


def _over(top: float | None, bottom: float | None) -> float:
    return top / bottom if top is not None and bottom else math.nan


def _right(cells: Sequence[Cell], dataset: Dataset) -> np.ndarray:
    """Whether each answer to a data set as it came is right."""
    here = next(c for c in cells if c.dataset == dataset.name and not c.shift)
    return np.asarray(here.predicted == here.labels)


def _unmeasured(case: _Case, reason: str) -> Envelope:
    """Nothing is shown of a candidate that does not run along the axis."""
    probe = Probe(at=0.0, side="undecided", value=math.nan, n=0, reason=reason)
    return _envelope(case, stats.Bracket(holds_to=None, fails_at=None), [probe], [0.0, math.inf])


def _along_shift(
    case: _Case,
    known: tuple[np.ndarray, np.ndarray],
    store: Store,
    batch: int,
    progress: Progress,
) -> Envelope:
    """Along a shift; `known` says where the baseline and it are right on the rows as they came."""
    wanted, order, last = case.wanted, in_random_order(case.dataset), len(SEVERITIES) - 1
    limits = _limits(wanted, case.alpha)
    with Asked(case.candidate, case.dataset, wanted.axis, known[1], store, batch) as asked:
        found, probes = _bracketed(
            case,
            lambda i: probe_severity(asked.right, float(SEVERITIES[i]), known[0], order, limits),
            last,
            progress,
        )
    one = _envelope(case, found, probes, [*map(float, SEVERITIES)])
    paid = sum(probe.n for probe in probes if probe.at)
    return replace(one, asked=paid, grid=last * len(case.dataset))


def _limits(wanted: EnvelopePlan, alpha: float) -> tuple[float, float]:
    """The drop that a shift's axis allows, and the largest probability of a false answer to it."""
    return float(wanted.max_drop or 0), alpha / stats.probes_needed(len(SEVERITIES) - 1)


def _too_few(
    axes: Sequence[EnvelopePlan], sets: Mapping[str, Dataset], alpha: float
) -> Iterator[str]:
    """A warning for each shift under which the rows cannot show that anything holds."""
    for wanted in axes:
        dataset = sets[wanted.dataset or next(iter(sets))]
        order = in_random_order(dataset)
        if wanted.axis not in TIMED_AXES and not can_decide(order, _limits(wanted, alpha)):
            yield (
                f"{len(order.ends):,} rows or groups of {dataset.name} are too few to show that"
                f" anything holds under '{wanted.axis}' within {wanted.max_drop:g}"
            )


def _along_time(case: _Case, store: Store, progress: Progress) -> Envelope:
    timed = Timed(
        wanted=case.wanted,
        candidate=case.candidate,
        dataset=case.dataset,
        store=store,
        threads=case.threads,
    )
    if case.wanted.axis == "deadline":
        return _deadline(case, timed, progress)
    # How many points there are depends on alpha, and alpha on how many there are.
    tried = values(timed, case.alpha / stats.probes_needed(MOST_POINTS))
    last = len(tried) - 1
    alpha = case.alpha / stats.probes_needed(last)
    needed, most = requests_needed(alpha), tried[-1] * case.wanted.seconds
    if case.wanted.axis == "arrival_rate" and most < needed:
        progress.note(
            f"{case.wanted.seconds:g} seconds at {tried[-1]} requests a second are too few to show"
            f" that anything holds: it takes {needed:,} requests"
        )
    found, probes = _bracketed(case, lambda i: probe_time(timed, tried[i], alpha), last, progress)
    return _envelope(case, found, probes, [*map(float, tried)])


def _deadline(case: _Case, timed: Timed, progress: Progress) -> Envelope:
    """The shortest deadline that few enough answers miss: a quantile of the times of calls."""
    progress.start(f"{case.candidate.name} along deadline", 1)
    share = float(case.wanted.at_most or 0)
    times = pooled_calls(timed, 1, case.threads)
    value = float(np.quantile(times.slow, 1 - share, method="inverted_cdf"))
    n, noise, holds, fails = len(times.slow), times.noise, None, None
    if n >= stats.FEWEST:
        level = 1 - case.alpha
        where = stats.quantile_interval(times.slow, 1 - share, level, blocks=stats.BLOCKS)
        holds, fails = (float(end) if np.isfinite(end) else None for end in (where.high, where.low))
    reason = noise if holds is not None else too_few(timed, n)
    probe = Probe(at=value, side="undecided", value=share, n=n, reason=reason)
    one = _envelope(case, stats.Bracket(holds_to=None, fails_at=None), [probe], [math.inf, 0.0])
    progress.advance()
    return replace(one, holds_to=holds, fails_at=None if noise else fails, estimate=value)


def _bracketed(
    case: _Case, probe: Callable[[int], Probe], last: int, progress: Progress
) -> tuple[stats.Bracket, list[Probe]]:
    """The crossing, and every point that was tried, the easiest first."""
    title = f"{case.candidate.name} along {case.wanted.axis}"
    progress.start(title, stats.probes_needed(last))
    probes: dict[int, Probe] = {}

    def decide(point: int) -> Side:
        probes[point] = probe(point)
        progress.advance()
        return probes[point].side

    found = stats.bracket(decide, last)
    return found, [probes[point] for point in sorted(probes)]


def _envelope(
    case: _Case, found: stats.Bracket, probes: Sequence[Probe], values: Sequence[float]
) -> Envelope:
    wanted = case.wanted
    holds = None if found.holds_to is None else values[found.holds_to]
    fails = None if found.fails_at is None else values[found.fails_at]
    limit = float((wanted.max_drop if wanted.max_drop is not None else wanted.at_most) or 0)
    return Envelope(
        axis=wanted.axis,
        candidate=case.candidate.name,
        dataset=case.dataset.name,
        limit=limit,
        holds_to=holds,
        fails_at=fails,
        estimate=_crossing(probes, limit),
        hardest=values[-1],
        harder_is="more" if values[0] < values[-1] else "less",
        level=LEVEL,
        asked=sum(probe.n for probe in probes),
        grid=0,
        probes=tuple(probes),
    )


def _crossing(probes: Sequence[Probe], limit: float) -> float | None:
    """Where the line through the measured values first crosses the limit, between two of them."""
    for one, two in pairwise(probes):
        if one.value <= limit < two.value:
            share = (limit - one.value) / (two.value - one.value)
            return one.at + share * (two.at - one.at)
    return None
