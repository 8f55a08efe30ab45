"""Pairs the cells of candidates with those of the baseline: what a gate looks at."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot import plugins, stats
from surefoot.core.dataset import ConfirmationSet, Examples, SelectionSet
from surefoot.core.errors import DataError
from surefoot.core.evidence import Cell, ConfirmationEvidence, Evidence, Paired, SelectionEvidence
from surefoot.evaluate.shifted import Shifted

Cells = Mapping[str, Sequence[Cell]]
"""By candidate, the baseline first; the cells of each in the order of the data sets."""
Repeats = Mapping[str, Sequence[Sequence[Cell]]]
"""By candidate, the cells of each further seed."""


def confirmation_evidence(
    cells: Cells,
    sets: Mapping[str, ConfirmationSet | Shifted],
    metrics: Sequence[str],
    *,
    repeats: Repeats | None = None,
) -> ConfirmationEvidence:
    """What a gate looks at, as far as it comes from cells.

    Args:
        cells: The cells of all candidates, the baseline first.
        sets: The confirmation sets by name; they give slices and groups.
        metrics: The metrics to compare, the task's own first.
        repeats: The cells of further seeds.

    Raises:
        DataError: Two cells do not hold the same ids in the same order.
    """
    return ConfirmationEvidence(_evidence(cells, sets, metrics, repeats or {}))


def selection_evidence(
    cells: Cells, selection: SelectionSet, metrics: Sequence[str]
) -> SelectionEvidence:
    """What a search may choose on.

    Args:
        cells: One cell of each candidate, the baseline first.
        selection: The selection set.
        metrics: The metrics to compare.
    """
    return SelectionEvidence(_evidence(cells, {selection.name: selection}, metrics, {}))


def _evidence(
    cells: Cells,
    sets: Mapping[str, Examples],
    metrics: Sequence[str],
    repeats: Repeats,
) -> Evidence:
    baseline, *others = cells
    paired = [
        pair
        for name in others
        for i, dataset in enumerate(sets.values())
        for pair in pairs(
            cells[baseline][i],
            [cells[name][i], *(seed[i] for seed in repeats.get(name, ()))],
            dataset,
            metrics,
        )
    ]
    return Evidence(baseline=baseline, candidates=tuple(others), paired=tuple(paired))


def pairs(
    baseline: Cell,
    seeds: Sequence[Cell],
    dataset: Examples,
    metrics: Sequence[str],
    known: Mapping[str, np.ndarray] | None = None,
) -> Iterator[Paired]:
    """Reduce cells of the same rows to what paired tests need: all rows, then every slice.

    Args:
        baseline: The baseline's cell.
        seeds: The candidate's cell, and those of its further seeds.
        dataset: Its slices and groups.
        metrics: The metrics, each in every place.
        known: (1 + seeds, n) the values of metrics that are known already, the baseline's first;
            they are not computed from the scores again.

    Raises:
        DataError: The cells do not hold the same ids in the same order.
    """
    for cell in seeds:
        if not np.array_equal(baseline.ids, cell.ids):
            raise DataError(
                f"the rows of '{baseline.candidate}' and '{cell.candidate}' do not pair by id",
                where=dataset.name,
            )
    groups = dataset.groups
    if groups is not None:
        groups = np.unique(groups, return_inverse=True)[1]
    both = _Both(baseline=baseline, seeds=seeds, changes=_changes(baseline, seeds), groups=groups)
    places: dict[str | None, np.ndarray] = {None: np.ones(len(dataset), dtype=bool)}
    places.update(dataset.slices)
    for metric in metrics:
        measure = plugins.find("metric", metric)
        values = None if of_sets(measure) else _values(metric, measure, both, known or {})
        for name, mask in places.items():
            if values is None:
                yield both.of_set(metric, measure, name, mask)
            else:
                yield both.by_row(metric, values, name, mask)


def _values(metric: str, measure: Any, both: _Both, known: Mapping[str, np.ndarray]) -> np.ndarray:
    return known[metric] if metric in known else both.values(measure)


def by_row(cell: Cell, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """The values of a cell's rows, of every metric that a single row has."""
    found = {name: plugins.find("metric", name) for name in metrics}
    rows = {name: measure for name, measure in found.items() if not of_sets(measure)}
    return {name: measure(cell.scores, cell.labels) for name, measure in rows.items()}


def of_sets(measure: Any) -> bool:
    """Whether a metric is one of a whole set of rows."""
    return "weights" in inspect.signature(measure).parameters


def of_probabilities(metric: str) -> bool:
    """Whether a metric is one of a whole set of rows, and takes more than their answers."""
    found = plugins.module("metric", metric)
    return of_sets(plugins.find("metric", metric)) and not getattr(found, "OF_ANSWERS", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Both:
    """The baseline and the candidate on the same rows."""

    baseline: Cell
    seeds: Sequence[Cell]
    changes: np.ndarray
    """(seeds, n) as `_changes` counts them."""
    groups: np.ndarray | None

    def values(self, measure: Any) -> np.ndarray:
        """(1 + seeds, n) the metric per row, the baseline's first."""
        cells = (self.baseline, *self.seeds)
        return np.stack([measure(cell.scores, cell.labels) for cell in cells])

    def by_row(self, metric: str, values: np.ndarray, name: str | None, mask: np.ndarray) -> Paired:
        """A metric that every row has."""
        before, after = values[0, mask], values[1:, mask]
        several = len(after) > 1
        counted = not several and self.groups is None and metric == "accuracy"
        difference = after - before
        return self._paired(
            metric,
            name,
            mask,
            baseline=float(before.mean()),
            value=float(after.mean()),
            difference=None if counted else difference if several else difference[0],
            values=None if counted else after if several else after[0],
            seeds=_variances(difference) if several else {},
        )

    def of_set(self, metric: str, measure: Any, name: str | None, mask: np.ndarray) -> Paired:
        """A metric that only the whole set has; further seeds are not looked at."""
        old, new = (cell.scores[mask] for cell in (self.baseline, self.seeds[0]))
        labels, rows = self.baseline.labels[mask], int(mask.sum())

        def statistic(weights: np.ndarray) -> np.ndarray:
            own = measure(new, labels, weights)
            return np.stack([own, own - measure(old, labels, weights)], axis=1)

        # Exponential weights never lose a rare class, as drawing rows does.
        groups = None if self.groups is None else self.groups[mask]
        try:
            both = stats.resample(statistic, rows, groups=groups, weights="exponential")
        except DataError as error:
            nothing = float("nan")
            return self._paired(
                metric, name, mask, baseline=nothing, value=nothing, note=str(error)
            )
        drawn = tuple(
            stats.Resampled(
                value=both.value[i],
                replicates=both.replicates[:, i],
                acceleration=both.acceleration[i],
            )
            for i in range(2)
        )
        value, difference = both.value.tolist()
        return self._paired(
            metric,
            name,
            mask,
            baseline=value - difference,
            value=value,
            drawn=drawn,
            of_answers=getattr(plugins.module("metric", metric), "OF_ANSWERS", False),
        )

    def _paired(self, metric: str, name: str | None, mask: np.ndarray, **measured: Any) -> Paired:
        changes = self.changes[:, mask]
        several = len(changes) > 1
        by_row = several or self.groups is not None
        return Paired(
            candidate=self.seeds[0].candidate,
            dataset=self.baseline.dataset,
            slice=name,
            shift=self.baseline.shift,
            severity=self.baseline.severity,
            metric=metric,
            n=int(mask.sum()),
            lost=int((changes[0] == 1).sum()),
            won=int((changes[0] == 2).sum()),
            other=int((changes[0] == 3).sum()),
            higher_is_better=plugins.module("metric", metric).HIGHER_IS_BETTER,
            share=metric == "accuracy",
            span=span_of(metric),
            groups=None if self.groups is None else self.groups[mask],
            change=(changes if several else changes[0]) if by_row else None,
            **measured,
        )


def _changes(baseline: Cell, seeds: Sequence[Cell]) -> np.ndarray:
    """(seeds, n) what happened to each row: 0 same answer, 1 lost, 2 won, 3 other."""
    labels, old = baseline.labels, baseline.predicted
    new = np.stack([cell.predicted for cell in seeds])
    lost, won = (old == labels) & (new != labels), (old != labels) & (new == labels)
    other = (old != labels) & (new != labels) & (old != new)
    return np.asarray(lost + 2 * won + 3 * other, dtype=np.int8)


def _variances(difference: np.ndarray) -> dict[str, float]:
    if difference.shape[1] < 2:
        return {}
    found = stats.crossed_variances(difference)
    return {
        "between_seeds": float(found.seeds),
        "between_rows": float(found.rows),
        "rest": float(found.rest),
    }


def span_of(metric: str) -> float:
    """The most that two models can differ by on a row; without end where nobody says.

    Args:
        metric: Its name; that of a plugin may not be installed here.
    """
    if metric not in plugins.names("metric"):
        return math.inf
    return float(getattr(plugins.module("metric", metric), "SPAN", math.inf))
