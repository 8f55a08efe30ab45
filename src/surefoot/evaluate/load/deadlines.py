"""Accuracy as a function of the deadline: what answers are worth that come when they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell
from surefoot.core.load import Deadline, ServedProfile
from surefoot.core.plan import LoadPlan
from surefoot.evaluate.latency import AGAIN

GRID_MS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""The deadlines of a load that names none."""
LEVEL = 0.95


def by_deadline(
    profiles: Sequence[ServedProfile],
    loads: Mapping[str, LoadPlan],
    dataset: Dataset,
    baseline: Cell,
) -> tuple[Deadline, ...]:
    """How often answers are right and in time, of every candidate under every load.

    The answers are those that were given under the load. A late one counts as wrong; or the
    baseline answers instead, taken to be there at the deadline. Requests that sent the same row, or
    rows of one group, are right or wrong together.

    Args:
        profiles: What was measured.
        loads: The plan's loads by name.
        dataset: The rows that were sent.
        baseline: The baseline's cell on them.
    """
    right = baseline.predicted == baseline.labels
    return tuple(
        one
        for profile in profiles
        if profile.scenario != "offline" and not profile.candidate.endswith(AGAIN)
        for one in _of(profile, loads[profile.load].deadlines_ms or GRID_MS, dataset, right)
    )


def _of(
    profile: ServedProfile, deadlines: Sequence[float], dataset: Dataset, baseline: np.ndarray
) -> Iterator[Deadline]:
    good = profile.answers == dataset.labels[profile.rows]
    instead, units = baseline[profile.rows], _units(dataset)[profile.rows]
    for deadline in deadlines:
        timely = profile.wall_ms <= deadline
        yield Deadline(
            load=profile.load,
            candidate=profile.candidate,
            deadline_ms=deadline,
            in_time=_share(timely.astype(np.float64)),
            accuracy=_of_rows(np.where(timely[:, None], good, False), units),
            fallback=_of_rows(np.where(timely[:, None], good, instead), units),
        )


def _units(dataset: Dataset) -> np.ndarray:
    """(rows,) which rows are independent: those of other groups, or each by itself."""
    if dataset.groups is None:
        return np.arange(len(dataset))
    return np.unique(dataset.groups, return_inverse=True)[1]


def _of_rows(right: np.ndarray, units: np.ndarray) -> Estimate:
    """A share of right answers, at each end the further of two intervals.

    One is that of stretches of time. The other is that of the rows sent, which are few where a load
    sends each of them often, and come in groups: its error is cluster-robust (Miller 2024, "Adding
    error bars to evals: a statistical approach to language model evaluations").

    Args:
        right: (requests, batch) whether an answer counts as right.
        units: (requests, batch) the row of each, or its group.
    """
    series = _share(right.mean(axis=1))
    low, high, method = series.low, series.high, f"{series.method}; clustered by row"
    try:
        rows = stats.share_interval(right.ravel(), groups=units.ravel(), level=LEVEL)
    except DataError:  # one row, or one group
        return replace(series, low=0.0, high=1.0, method=method)
    return replace(
        series, low=min(low, float(rows.low)), high=max(high, float(rows.high)), method=method
    )


def _share(values: np.ndarray) -> Estimate:
    """A mean of shares by request, with an interval that takes neighbours to be late together.

    Stretches of time are what varies (Conway 1963, "Some tactical problems in digital simulation").
    Where all of these agree the next one still may not, so the interval is never within that of as
    many independent requests (Clopper and Pearson 1934, "The use of confidence or fiducial limits
    illustrated in the case of the binomial").
    """
    n, mean = len(values), float(values.mean())
    alone = stats.proportion_interval(round(mean * n), n, LEVEL)
    low, high = float(alone.low), float(alone.high)
    if n >= stats.FEWEST:
        series = stats.block_mean(values, LEVEL, blocks=stats.BLOCKS)
        low, high = min(low, float(series.low)), max(high, float(series.high))
    else:
        low, high = 0.0, 1.0
    return Estimate(
        value=mean,
        low=max(low, 0.0),
        high=min(high, 1.0),
        level=LEVEL,
        method="t of block means, Clopper-Pearson at least",
        n=n,
    )
