"""How far the probabilities of one candidate can be relied on in one place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from surefoot import plugins, stats
from surefoot.core.confidence import Bin, Kept, Reliability
from surefoot.core.errors import DataError
from surefoot.core.estimate import Estimate

LEVEL = 0.95
"""Two-sided confidence of every interval."""
DRAWS = 500
"""Replicates of the figures that only a whole set has."""
BINS, LEAST = 15, 20
"""Bins of a reliability diagram, and the rows of each at least."""
NO_SPREAD = 1e-12
"""Replicates that differ by less differ by rounding."""
OF_ROWS = ("brier", "log_loss")
OF_SETS = ("ece", "aurc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is looked at."""

    scores: np.ndarray
    """(n, classes) probabilities."""
    labels: np.ndarray
    """(n,) class indices."""
    groups: np.ndarray | None = None
    """(n,) int64 cluster of each row; None when rows are independent."""
    strangers: np.ndarray | None = None
    """(m, classes) probabilities of rows that belong to no class, where there are any."""
    their_groups: np.ndarray | None = None
    """(m,) int64 cluster of each of them; None when they are independent."""

    def at(self, temperature: float) -> Rows:
        """The same rows with their logits divided by a temperature."""
        strangers = self.strangers
        if strangers is not None:
            strangers = stats.apply_temperature(strangers, temperature)
        scores = stats.apply_temperature(self.scores, temperature)
        return replace(self, scores=scores, strangers=strangers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found."""

    reliability: Reliability
    """For a reader."""
    error: stats.Resampled | None
    """`ece` with its replicates, for comparisons; None where the rows cannot be resampled."""


def look(rows: Rows) -> Seen:
    """Measure calibration and abstention on the rows of one place.

    Args:
        rows: Probabilities, labels and groups.

    Returns:
        The figures with their intervals, the reliability diagram and the risk-coverage curve. Of
        equally many rows the same draws are taken, so that replicates of two models pair.
    """
    figures = {name: _of_rows(name, rows) for name in OF_ROWS}
    found, error = _of_sets(rows)
    if rows.strangers is not None:
        found["out_of_scope_auc"] = _out_of_scope(rows, rows.strangers)
    bins, curve = tuple(_bins(rows)), tuple(_curve(rows))
    return Seen(
        reliability=Reliability(figures={**found, **figures}, bins=bins, curve=curve), error=error
    )


def _of_rows(name: str, rows: Rows) -> Estimate:
    """The mean of what every row has, never below 0."""
    values = plugins.find("metric", name)(rows.scores, rows.labels)
    span = plugins.module("metric", name).SPAN
    try:
        found = stats.paired_mean(values, groups=rows.groups, level=LEVEL, span=span)
    except DataError:
        return _open(float(values.mean()), len(values))
    return _estimate(found, "mean of rows", len(values), highest=np.inf)


def _of_sets(rows: Rows) -> tuple[dict[str, Estimate], stats.Resampled | None]:
    """What only the whole set has: at each end the further of the BCa and the normal interval.

    Draws that all give the same show no error, and say nothing of the next row: then `aurc` is held
    between what the share of wrong answers allows, and `ece` is left open.
    """
    from scipy.special import ndtri

    measures = [plugins.find("metric", name) for name in OF_SETS]
    n = len(rows.labels)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack([m(rows.scores, rows.labels, weights) for m in measures], axis=1)

    try:
        drawn = stats.resample(statistic, n, groups=rows.groups, draws=DRAWS, weights="exponential")
    except DataError:
        values = statistic(np.ones((1, n)))[0].tolist()
        return {k: _open(value, n) for k, value in zip(OF_SETS, values, strict=True)}, None
    bca = stats.bca_interval(drawn, LEVEL)
    half = ndtri((1 + LEVEL) / 2) * drawn.replicates.std(axis=0)
    low, high = np.minimum(bca.low, drawn.value - half), np.maximum(bca.high, drawn.value + half)
    found = {
        name: _estimate(
            stats.Interval(value=drawn.value[i], low=low[i], high=high[i]), "bootstrap", n
        )
        if half[i] > NO_SPREAD
        else _alike(name, float(drawn.value[i]), rows)
        for i, name in enumerate(OF_SETS)
    }
    error = stats.Resampled(
        value=drawn.value[0],
        replicates=drawn.replicates[:, 0],
        acceleration=drawn.acceleration[0],
    )
    return found, error


def _alike(name: str, value: float, rows: Rows) -> Estimate:
    """A figure that no reweighting of the rows changes.

    Of wrong answers there may be a share e of up to the exact limit. They raise `aurc` most if they
    are the most confident, to e + e ln(1 / e), and least if the least, e + (1 - e) ln(1 - e): the
    mean over all coverages c of min(1, e / c), and of max(0, 1 - (1 - e) / c).
    """
    from scipy.special import xlogy

    n = len(rows.labels)
    if name != "aurc":
        return _open(value, n)
    right = stats.share_interval(
        rows.scores.argmax(axis=1) == rows.labels, groups=rows.groups, level=LEVEL
    )
    least, most = 1 - right.high, 1 - right.low
    bounds = stats.Interval(
        value=np.array(value),
        low=np.minimum(least + xlogy(1 - least, 1 - least), value),
        high=np.maximum(most - xlogy(most, most), value),
    )
    return _estimate(bounds, "share of wrong answers", n)


def _out_of_scope(rows: Rows, strangers: np.ndarray) -> Estimate:
    """How well the highest probability tells rows of the task from rows of none of its classes.

    Hendrycks and Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution
    examples in neural networks".
    """
    known, groups = np.arange(len(rows.scores) + len(strangers)) < len(rows.scores), None
    if rows.groups is not None or rows.their_groups is not None:
        # The two sets share no group, and a row without one is a group of its own.
        own = np.arange(len(rows.scores)) if rows.groups is None else rows.groups
        other = np.arange(len(strangers)) if rows.their_groups is None else rows.their_groups
        groups = np.concatenate([own, other + own.max() + 1])
    sure = np.concatenate([rows.scores.max(axis=1), strangers.max(axis=1)])
    try:
        return _estimate(stats.auc_interval(known, sure, LEVEL, groups=groups), "DeLong", len(sure))
    except DataError:  # one row that belongs to no class
        return _open(float("nan"), len(sure))


def _bins(rows: Rows) -> Iterator[Bin]:
    n, right = len(rows.labels), rows.scores.argmax(axis=1) == rows.labels
    count = max(1, min(BINS, n // LEAST))
    found = stats.reliability_bins(rows.scores.max(axis=1), right, count, groups=rows.groups)
    columns = (found.n, found.confidence, found.accuracy, found.low, found.high)
    for size, confidence, accuracy, low, high in zip(*map(np.ndarray.tolist, columns), strict=True):
        yield Bin(n=size, confidence=confidence, accuracy=accuracy, low=low, high=high)


def _curve(rows: Rows) -> Iterator[Kept]:
    """Accuracy of the most confident tenth, two tenths, and so on; equal confidence goes along."""
    confidence, right = rows.scores.max(axis=1), rows.scores.argmax(axis=1) == rows.labels
    n, ranked = len(right), np.sort(confidence)[::-1]
    for tenths in range(1, 11):
        threshold = ranked[-(-n * tenths // 10) - 1]
        kept = confidence >= threshold
        groups = None if rows.groups is None else rows.groups[kept]
        try:
            found = stats.share_interval(right[kept], groups=groups, level=LEVEL)
            method = "Clopper-Pearson" if groups is None else "clustered"
            accuracy = _estimate(found, method, int(kept.sum()))
        except DataError:
            accuracy = _open(float(right[kept].mean()), int(kept.sum()))
        yield Kept(coverage=float(kept.mean()), threshold=float(threshold), accuracy=accuracy)


def _estimate(found: stats.Interval, method: str, n: int, *, highest: float = 1.0) -> Estimate:
    """An interval inside what is possible."""
    low, high = max(float(found.low), 0.0), min(float(found.high), highest)
    return Estimate(value=float(found.value), low=low, high=high, level=LEVEL, method=method, n=n)


def _open(value: float, n: int) -> Estimate:
    """A value of rows that are too few, too much alike or of one group, for an interval."""
    return Estimate(value=value, low=-np.inf, high=np.inf, level=LEVEL, method="none", n=n)
