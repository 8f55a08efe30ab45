"""Looks for slices that nobody declared, in which more answers were lost than elsewhere.

An exploration and no test of a budget: it looks at hundreds of slices, so it looks at one half of
the rows and has what it found confirmed by the other. No verdict depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from surefoot import stats
from surefoot.core.dataset import Dataset
from surefoot.core.evidence import Cell
from surefoot.core.parts import speaks_of
from surefoot.core.plan import SliceSearchPlan
from surefoot.data.fingerprint import row_hashes
from surefoot.evaluate.slices.traits import Trait, traits

LEVEL = 0.95
"""Confidence that nothing is confirmed where nothing is to be found, over all that was found."""
BEAM = 30
"""Slices that are refined further."""
MOST = 5
"""Slices of each candidate that are held against the other half."""
BLOCK = 64
"""Slices whose rows are counted at once."""
LEAST_SCORE = 2.0
"""Standard deviations above what chance gives, for a slice to be worth confirming."""
MORE = 1.0
"""Standard deviations by which a further condition must make a slice worse."""
ALIKE = 0.6
"""A slice that shares this share of its rows with a better one is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """Lost answers of one half of the rows."""

    rows: int
    """Rows in the slice."""
    lost: int
    """Answers lost in it."""
    won: int
    """Answers won in it."""
    elsewhere: float
    """The share of answers lost among the other rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSlice:
    """A slice that was found in one half, and what the other half says about it."""

    candidate: str
    """The candidate's name."""
    dataset: str
    """The test set, its inputs as they came."""
    slice: str
    """Its conditions."""
    found: Half
    """In the half that was searched: too good to be true, since it was chosen for it."""
    held: Half
    """In the other half."""
    p_adjusted: float
    """p-value of "no more is lost than elsewhere" in the other half, Holm over all found slices."""
    confirmed: bool
    """Whether the other half shows it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What a search for slices looked at and found."""

    looked_at: int
    """Slices that were looked at, of all candidates and test sets."""
    level: float
    """Confidence that no slice is confirmed where there is none."""
    slices: tuple[FoundSlice, ...]
    """What was held against the other half; the surest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lead:
    """A slice that looks bad in the half that was searched."""

    candidate: str
    dataset: Dataset
    name: str
    mask: np.ndarray
    score: float
    change: np.ndarray
    """(n,) -1 lost, 0 neither, 1 won."""
    searched: np.ndarray
    """(n,) which rows are in the half that was searched."""

    def half(self, rows: np.ndarray) -> Half:
        """What happened in one half."""
        inside, outside = rows & self.mask, rows & ~self.mask
        lost = self.change < 0
        return Half(
            rows=int(inside.sum()),
            lost=int((inside & lost).sum()),
            won=int((inside & (self.change > 0)).sum()),
            elsewhere=float(lost[outside].mean()) if outside.any() else 0.0,
        )

    def p_value(self) -> float:
        """Of the half that was not searched."""
        held, groups = ~self.searched, self.dataset.groups
        return float(
            stats.excess_p_value(
                self.change[held] < 0,
                self.mask[held],
                groups=None if groups is None else groups[held],
            )
        )


def find_slices(
    cells: Sequence[Cell],
    sets: Mapping[str, Dataset],
    settings: SliceSearchPlan,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Exploration:
    """Look for slices in which candidates lost more answers than elsewhere.

    Half of the rows (or groups), by a hash of the id, are searched with a beam for conjunctions of
    conditions in which more answers were lost than chance gives; the other half is asked about the
    few that look worst, by Fisher's exact test and Holm over all candidates. So what is confirmed
    was predicted from other rows, as in Athey and Imbens 2016, "Recursive partitioning for
    heterogeneous causal effects"; the conditions are those of Chung et al. 2019, "Slice Finder:
    automated data slicing for model validation". Inputs under shifts are not looked at.

    Args:
        cells: Every candidate on every test set; the first is the baseline's.
        sets: The test sets by name.
        settings: How many conditions a slice may join, and how many rows it must have.
        columns: The names of numeric columns by test set, where they are known.

    Returns:
        What was looked at and found.
    """
    plain = {(c.candidate, c.dataset): c for c in reversed(cells) if not c.shift}
    baseline = cells[0].candidate
    names = [name for name in dict.fromkeys(c.candidate for c in cells) if name != baseline]
    leads: dict[str, list[_Lead]] = {name: [] for name in names}
    looked_at = 0
    for dataset in sets.values():
        named = (c for name, c in (columns or {}).items() if speaks_of(name, dataset.name))
        found = traits(dataset, next(named, ()))
        searched = _half(dataset)
        for name in names:
            change = _change(plain[baseline, dataset.name], plain[name, dataset.name])
            one = _Search(traits=found, lost=change < 0, searched=searched, settings=settings)
            slices, count = one.run()
            looked_at += count
            leads[name] += (
                _Lead(
                    candidate=name,
                    dataset=dataset,
                    name=" and ".join(found[i].name for i in parts),
                    mask=mask,
                    score=score,
                    change=change,
                    searched=searched,
                )
                for parts, mask, score in slices
            )
    worst = [lead for one in leads.values() for lead in sorted(one, key=_worst_first)[:MOST]]
    return Exploration(looked_at=looked_at, level=LEVEL, slices=tuple(_confirmed(worst)))


def _worst_first(lead: _Lead) -> float:
    return -lead.score


def _half(dataset: Dataset) -> np.ndarray:
    """Half of the rows; rows of one group stay together."""
    keys = dataset.ids if dataset.groups is None else dataset.groups
    hashes: np.ndarray = row_hashes(keys, salt="find slices")
    return np.asarray(hashes < 2**63)


def _change(baseline: Cell, candidate: Cell) -> np.ndarray:
    """(n,) -1 for a lost answer, 1 for one that was won, else 0."""
    before, after = (cell.labels == cell.predicted for cell in (baseline, candidate))
    return np.asarray(after.astype(np.int8) - before.astype(np.int8))


def _confirmed(leads: Sequence[_Lead]) -> Iterator[FoundSlice]:
    adjusted = stats.holm([lead.p_value() for lead in leads]).tolist()
    for p, lead in sorted(zip(adjusted, leads, strict=True), key=lambda one: one[0]):
        yield FoundSlice(
            candidate=lead.candidate,
            dataset=lead.dataset.name,
            slice=lead.name,
            found=lead.half(lead.searched),
            held=lead.half(~lead.searched),
            p_adjusted=p,
            confirmed=p <= 1 - LEVEL,
        )


Parts = tuple[int, ...]
"""Positions of the joined conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A beam search over conjunctions, on the half that is searched."""

    traits: Sequence[Trait]
    lost: np.ndarray
    searched: np.ndarray
    settings: SliceSearchPlan

    def run(self) -> tuple[list[tuple[Parts, np.ndarray, float]], int]:
        """The worst slices that differ from each other, and how many were looked at."""
        kept: dict[Parts, float] = {}
        level: list[Parts] = [(i,) for i in range(len(self.traits))]
        looked_at = 0
        for _ in range(self.settings.depth):
            scores = {p: s for p, s in zip(level, self._scores(level), strict=True) if s > -np.inf}
            looked_at += len(scores)
            beam = sorted(scores, key=lambda parts: -scores[parts])[:BEAM]
            kept |= {parts: scores[parts] for parts in beam}
            level = list(self._refined(beam))
        return self._distinct(kept), looked_at

    def _mask(self, parts: Parts) -> np.ndarray:
        return np.asarray(np.logical_and.reduce([self.traits[i].mask for i in parts]))

    def _refined(self, beam: Sequence[Parts]) -> Iterator[Parts]:
        """Each slice joined with one more condition, about something else; each only once."""
        seen = set[Parts]()
        for parts in beam:
            about = {self.traits[i].about for i in parts}
            for i, trait in enumerate(self.traits):
                joined = tuple(sorted((*parts, i)))
                if trait.about not in about and joined not in seen:
                    seen.add(joined)
                    yield joined

    def _scores(self, level: Sequence[Parts]) -> list[float]:
        """Lost answers above what chance gives, in standard deviations; -inf with too few rows."""
        blocks = [level[start : start + BLOCK] for start in range(0, len(level), BLOCK)]
        return [score for block in blocks for score in self._block(block).tolist()]

    def _block(self, level: Sequence[Parts]) -> np.ndarray:
        inside, least = np.stack([self._mask(parts) for parts in level]), self.settings.least_rows
        n, total = int(self.searched.sum()), int(self.lost[self.searched].sum())
        rows, held = inside[:, self.searched].sum(axis=1), inside[:, ~self.searched].sum(axis=1)
        share = rows / max(n, 1)
        variance = total * share * (1 - share) * (n - total) / max(n - 1, 1)
        excess = inside[:, self.searched & self.lost].sum(axis=1) - total * share
        score = excess / np.sqrt(np.where(variance > 0, variance, np.inf))
        return np.where((rows >= least) & (held >= least), score, -np.inf)

    def _distinct(self, kept: Mapping[Parts, float]) -> list[tuple[Parts, np.ndarray, float]]:
        """The worst first, without those that mostly hold the rows of a worse one."""
        found: list[tuple[Parts, np.ndarray, float]] = []
        for parts, score in sorted(kept.items(), key=lambda item: (-item[1], len(item[0]))):
            mask = self._mask(parts)
            new = all((mask & old).sum() < ALIKE * (mask | old).sum() for _, old, _ in found)
            shorter = (kept.get(rest, -np.inf) for rest in _shorter(parts))
            if score >= max(LEAST_SCORE, MORE + max(shorter, default=-np.inf)) and new:
                found.append((parts, mask, score))
        return found[:MOST]


def _shorter(parts: Parts) -> Iterator[Parts]:
    """The slices of some of the conditions, at least one and not all."""
    return chain.from_iterable(combinations(parts, n) for n in range(1, len(parts)))
