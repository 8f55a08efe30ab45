"""The place where a candidate lost most, with an interval that allows for having chosen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Cell, Evidence, Paired
from surefoot.evaluate import by_row
from surefoot.gate.questions import Question, Questions
from surefoot.gate.verdict import estimated, intervals

LEVEL = 0.95
"""Two-sided confidence of all intervals together."""
FEW_CLUSTERS = 10
"""With fewer changed groups than this, their correlations say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """Where a candidate lost most."""

    candidate: str
    """The candidate's name."""
    subject: str
    """The metric and the place, for example `accuracy on tweets [class=negative]`."""
    metric: str
    """The metric."""
    dataset: str
    """The test set."""
    slice: str | None
    """The slice; None for all rows."""
    shift: str
    """How the inputs were changed; empty where they were not."""
    severity: float
    """How far."""
    estimate: Estimate
    """Candidate minus baseline; its interval holds together with those of all other places."""
    slices: int
    """How many places there are, whole test sets among them."""
    joint: str
    """How the intervals were made to hold together: `max-T`, or `Bonferroni`."""


def worst_slices(
    evidence: Evidence, cells: Sequence[Cell], sets: Mapping[str, Dataset], metric: str
) -> tuple[Worst, ...]:
    """The place where each candidate lost most, over test sets, shifts and slices.

    It is the one whose interval ends lowest, the place that is shown to have lost most, and not the
    one with the lowest estimate: a slice of five rows of which one was lost shows nothing.

    Args:
        evidence: What a gate looks at.
        cells: Every candidate on every test set and under every shift; the first of equals counts.
        sets: The test sets by name, for their groups and slices.
        metric: The metric to look at.

    Returns:
        One place a candidate; none for a metric that can be computed nowhere.
    """
    rows = {(c.candidate, c.dataset, c.shift, c.severity): c for c in reversed(cells)}
    found = []
    for candidate in evidence.candidates:
        questions = Questions(evidence).drops(candidate, metric)
        if questions:
            here = _Here(rows=rows, sets=sets, baseline=evidence.baseline)
            found.append(_worst(candidate, questions, here))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """The rows that places share."""

    rows: Mapping[tuple[str, str, str, float], Cell]
    sets: Mapping[str, Dataset]
    baseline: str
    gains: dict[tuple[str, str, str, float], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=dict
    )

    def blocks(self, places: Sequence[Paired]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """For each test set its places and its groups; a shift keeps rows, or chooses some."""
        names = dict.fromkeys(place.dataset for place in places)
        return [
            (
                np.stack([self._difference(p) for p in places if p.dataset == name]),
                self.sets[name].groups if self._grouped(name) else None,
            )
            for name in names
        ]

    def _grouped(self, name: str) -> bool:
        """Whether groups tell anything: a single one does not, and nothing of its rows is used."""
        groups = self.sets[name].groups
        return groups is not None and len(np.unique(groups)) > 1

    def _gain(self, place: Paired) -> tuple[np.ndarray, np.ndarray]:
        """(n,) which rows were asked there, and what each gained; the same for all slices."""
        where, metric = (place.dataset, place.shift, place.severity), place.metric
        key = (place.candidate, *where)
        if key not in self.gains:
            new, old = (self.rows[name, *where] for name in (place.candidate, self.baseline))
            dataset = self.sets[place.dataset]
            mask, gain = dataset.among(new.ids), np.zeros(len(dataset), np.float32)
            gain[mask] = by_row(new, [metric])[metric] - by_row(old, [metric])[metric]
            self.gains[key] = mask, gain
        return self.gains[key]

    def _difference(self, place: Paired) -> np.ndarray:
        """(n,) what each row gained, NaN outside the place; all 0 where hardly any changed."""
        dataset, (mask, gain) = self.sets[place.dataset], self._gain(place)
        if place.slice is not None:
            mask = mask & dataset.slices[place.slice]
        groups = None if dataset.groups is None else dataset.groups[mask]
        return np.where(mask, gain * _many(gain[mask], groups), np.nan)


def _many(gain: np.ndarray, groups: np.ndarray | None) -> bool:
    """Whether so much changed that its correlation with other places can be told."""
    if groups is None:
        return int((gain != 0).sum()) >= stats.FEW
    return len(np.unique(groups[gain != 0])) >= FEW_CLUSTERS


def _worst(candidate: str, questions: Sequence[Question], here: _Here) -> Worst:
    places = [question.paired for question in questions if question.paired is not None]
    drawn = any(place.drawn is not None for place in places)
    if drawn:  # resamples of each place are its own: nothing tells how alike places are
        joint, level = "Bonferroni", 1 - (1 - LEVEL) / len(places)
    else:
        joint, level = "max-T", stats.simultaneous_level(here.blocks(places), level=LEVEL)
    ends = intervals(questions, np.full(len(questions), level))
    at = int(np.lexsort((ends[:, 0], ends[:, 2]))[0])
    place = places[at]
    return Worst(
        candidate=candidate,
        subject=questions[at].subject,
        metric=place.metric,
        dataset=place.dataset,
        slice=place.slice,
        shift=place.shift,
        severity=place.severity,
        estimate=replace(estimated(questions[at], ends[at].tolist(), level), level=LEVEL),
        slices=len(places),
        joint=joint,
    )
