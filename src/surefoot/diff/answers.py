"""Answers then and now, row by row where the rows have the same ids."""

from __future__ import annotations

import filecmp
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.bundle import read_cell
from surefoot.core.diff import AnswersMove, Move
from surefoot.core.errors import BundleError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import place
from surefoot.evaluate import span_of
from surefoot.gate.samples import Counted, Rows

LEVEL = 0.95
ALPHA = 0.05
"""How often one place or more may be said to be better or worse where nothing is."""
ROUNDING = 1e-4
"""Sums of floats in another order move the metric of a row by less: it counts as not moved."""
HALVINGS = 40
NEEDED = {
    "T": ("dataset", "shift", "id", "label", "predicted"),
    "iuf": ("severity",),
    "b": ("correct",),
}
"""What a cell must hold, by the kinds of array."""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is needed of one of the two bundles."""

    folder: Path
    """The bundle."""
    told: Mapping[str, Any]
    """Its verdict.json."""

    def margins(self) -> dict[tuple[str, str, str], float]:
        """By candidate, place and metric the smallest drop that a budget allows there."""
        found: dict[tuple[str, str, str], float] = {}
        for verdict in self.told["verdicts"]:
            for one in verdict["findings"]:
                rows, allowed = one["paired"], one["budget"]["max_drop"]
                if rows is None or allowed is None:
                    continue
                where = place(*(rows[k] for k in ("dataset", "shift", "severity", "slice")))
                key = (verdict["candidate"], where, one["budget"]["quantity"])
                found[key] = min(allowed, found.get(key, math.inf))
        return found

    def metrics(self) -> dict[str, bool]:
        """The metrics that were compared, and whether more of each is better."""
        return {c["metric"]: bool(c["higher_is_better"]) for c in self.told["comparisons"]}


def answers_moves(then: Evidence, now: Evidence) -> tuple[AnswersMove, ...]:
    """Every candidate of both, on every test set and under every shift of both, in every slice.

    Args:
        then: The older evidence.
        now: The newer.

    Raises:
        BundleError: A cell is not as surefoot writes it.
    """
    moves: list[AnswersMove] = []
    known = then.metrics()
    shared = [metric for metric in now.metrics() if metric in known]
    for entry in now.told["candidates"]:
        old, new = (_folder(e.folder, entry["name"]) for e in (then, now))
        for file in sorted(new.glob("*.parquet")):
            if (old / file.name).is_file():
                moves += _moves((old / file.name, file), shared, then, now)
    return _settled(moves, now)


def _folder(bundle: Path, name: str) -> Path:
    """Where the cells of a candidate lie; a bundle of others may call one `../..`."""
    if Path(name).name != name:
        raise BundleError(f"a candidate called '{name}'", where=str(bundle))
    return bundle / "cells" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The rows of one place, then and now; in the same order where they are pairs."""

    then: Columns
    now: Columns
    paired: bool
    groups: np.ndarray | None
    differ: np.ndarray
    """(n,) bool, of pairs: which answers are others."""
    note: str = ""

    def at(self, mask: np.ndarray, before: np.ndarray) -> _Rows:
        """The rows of a slice; of pairs, those that lie in it both times."""
        keep = (before & mask, before & mask) if self.paired else (before, mask)
        then, now = (
            {k: v[rows] for k, v in side.items() if not k.startswith("slice_")}
            for side, rows in zip((self.then, self.now), keep, strict=True)
        )
        note = self.note
        if self.paired and (other := int((before != mask).sum())):
            note = _joined(note, f"{other:,} rows lie in this slice in one version alone")
        groups = None if self.groups is None else self.groups[keep[1]]
        differ = self.differ[keep[1]] if self.paired else self.differ
        return replace(self, then=then, now=now, groups=groups, differ=differ, note=note)


def _moves(
    files: tuple[Path, Path], shared: Sequence[str], then: Evidence, now: Evidence
) -> Iterator[AnswersMove]:
    """One candidate in one cell: all rows, then every slice of both, by every metric of both."""
    old, new = files
    before = read_cell(old, NEEDED)
    after = before if filecmp.cmp(old, new, shallow=False) else read_cell(new, NEEDED)
    name, dataset = new.parent.name, str(after["dataset"][0])
    where = (dataset, str(after["shift"][0]), float(after["severity"][0]))
    rows = _matched(before, after, shared, _other_rows(dataset, then, now))
    slices = [k for k in after if k.startswith("slice_") and k in before]
    for column in (None, *slices):
        here = rows if column is None else rows.at(rows.now[column], rows.then[column])
        part = place(*where, None if column is None else column.removeprefix("slice_"))
        if not len(here.now["correct"]) or not len(here.then["correct"]):
            yield _nothing(name, part, here.note)
            continue
        for metric in dict.fromkeys(("accuracy", *shared)):
            if metric == "accuracy" or (metric in before and metric in after):
                yield _move(name, part, metric, here)


def _other_rows(dataset: str, then: Evidence, now: Evidence) -> str:
    """What is to be said of a test set whose rows are not those of then."""
    old, new = (e.told.get("rows", {}).get(dataset) for e in (then, now))
    if old is None or new is None or old == new:
        return ""
    return "the test set is another"


def _matched(before: Columns, after: Columns, metrics: Sequence[str], note: str) -> _Rows:
    """Rows of the same id and label side by side, in the order of now; all where no id is shared.

    A row whose label was changed would tell of the label and not of the answer: it is left out.
    What no test needs is left out too: texts are slow to take slices of.
    """
    kept = [k for k in after if k.startswith("slice_") or k in ("correct", "group", *metrics)]
    kept = [k for k in kept if k in before]
    old, new = before["id"], after["id"]
    if len(old) == len(new) and np.array_equal(old, new):
        there = here = np.arange(len(new))
    else:
        _, there, here = np.intersect1d(old, new, return_indices=True)
        order = np.argsort(here)
        there, here = there[order], here[order]
    if not len(here):
        note = _joined(note, "no id is shared: not paired")
        then, now = ({k: side[k] for k in kept} for side in (before, after))
        nothing = np.zeros(0, dtype=bool)
        return _Rows(then=then, now=now, paired=False, groups=None, differ=nothing, note=note)
    same = before["label"][there] == after["label"][here]
    if left := len(new) - len(here):
        note = _joined(note, f"{left:,} rows of now are new")
    if gone := len(old) - len(there):
        note = _joined(note, f"{gone:,} rows of then are gone")
    if changed := int((~same).sum()):
        note = _joined(note, f"{changed:,} rows have another label and are left out")
    there, here = there[same], here[same]
    then, now = {k: before[k][there] for k in kept}, {k: after[k][here] for k in kept}
    differ = before["predicted"][there] != after["predicted"][here]
    groups = _groups(after)
    return _Rows(
        then=then,
        now=now,
        paired=True,
        groups=None if groups is None else groups[here],
        differ=differ,
        note=note,
    )


def _groups(columns: Columns) -> np.ndarray | None:
    return np.unique(columns["group"], return_inverse=True)[1] if "group" in columns else None


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _nothing(name: str, part: str, note: str) -> AnswersMove:
    note = _joined(note, "no row to compare")
    return AnswersMove(
        candidate=name, place=part, metric="accuracy", status="not compared", note=note
    )


def _move(name: str, part: str, metric: str, rows: _Rows) -> AnswersMove:
    column = "correct" if metric == "accuracy" else metric
    then, now = (side[column].astype(np.float64) for side in (rows.then, rows.now))
    move = AnswersMove(
        candidate=name,
        place=part,
        metric=metric,
        status="moved",
        paired=rows.paired,
        rows=len(now),
        then=float(then.mean()),
        now=float(now.mean()),
        note=rows.note,
    )
    if not np.isfinite(then).all() or not np.isfinite(now).all():
        note = _joined(rows.note, "not every row has a number")
        return replace(move, status="not compared", note=note)
    judge = _pairs if rows.paired else _apart
    return judge(move, then, now, rows)


def _pairs(move: AnswersMove, then: np.ndarray, now: np.ndarray, rows: _Rows) -> AnswersMove:
    """Row by row: what changed, by how much in the mean, and the chance of it by nothing."""
    answers, gain = move.metric == "accuracy", now - then
    right, still = rows.then["correct"], rows.now["correct"]
    move = replace(
        move,
        lost=int((right & ~still).sum()),
        won=int((~right & still).sum()),
        other=int((~right & ~still & rows.differ).sum()),
    )
    if not answers:
        gain = np.where(np.abs(gain) < ROUNDING, 0.0, gain)
    sample: Counted | Rows
    if answers and rows.groups is None:
        sample = Counted(lost=move.lost, won=move.won, n=move.rows, margin=0.01)
        interval = stats.paired_proportions(move.lost, move.won, move.rows, level=LEVEL)
    else:
        span = 1.0 if answers else span_of(move.metric)
        sample = Rows(gain=gain, margin=0.0, groups=rows.groups, span=span, answers=answers)
        interval = sample.interval(LEVEL)
    moved = bool(gain.any()) or bool(move.other)
    return replace(
        move,
        status="moved" if moved else "same",
        difference=_estimate(interval, sample.method, move.rows),
        p=_chance(gain, sample) if gain.any() else 1.0,
    )


def _chance(gain: np.ndarray, sample: Counted | Rows) -> float:
    """p-value of "neither is better", whichever way the metric goes: the test has two sides."""
    if isinstance(sample, Rows) and sample.units() < 2:
        return 1.0
    if isinstance(sample, Counted) or sample.answers:
        groups = None if isinstance(sample, Counted) else sample.groups
        net = gain if groups is None else np.bincount(groups, weights=gain)
        return float(stats.exact_mcnemar((net < 0).sum(), (net > 0).sum()))
    ends = [
        float(stats.mean_p_value(side, margin=0.0, groups=sample.groups, span=sample.span))
        for side in (gain, -gain)
    ]
    return min(2 * min(ends), 1.0)


def _apart(move: AnswersMove, then: np.ndarray, now: np.ndarray, rows: _Rows) -> AnswersMove:
    """Without pairs: from an interval of each side, which is wider."""
    answers = move.metric == "accuracy"
    sides = [(then, _groups(rows.then)), (now, _groups(rows.now))]
    if any(_units(values, groups) < 2 for values, groups in sides):
        note = _joined(move.note, "one row or group says nothing of others")
        return replace(move, status="not compared", note=note)
    interval = _between(sides, LEVEL, move.metric)
    if answers and all(groups is None for _, groups in sides):
        p = _fisher(then, now)
        method = "Newcombe hybrid score, not paired"
    else:
        p, method = _by_halving(sides, move.metric), "two intervals, not paired"
    return replace(move, difference=_estimate(interval, method, move.rows), p=p)


def _units(values: np.ndarray, groups: np.ndarray | None) -> int:
    return len(values) if groups is None else len(np.unique(groups))


def _between(
    sides: Sequence[tuple[np.ndarray, np.ndarray | None]], level: float, metric: str
) -> stats.Interval:
    """Now minus then from an interval of each."""
    then, now = (_own(values, groups, level, metric) for values, groups in sides)
    return stats.independent_sum([(1.0, now), (-1.0, then)])


def _own(
    values: np.ndarray, groups: np.ndarray | None, level: float, metric: str
) -> stats.Interval:
    if metric != "accuracy":
        return stats.paired_mean(values, groups=groups, level=level, span=span_of(metric))
    if groups is None:
        return stats.wilson_interval(values.sum(), len(values), level)
    return stats.share_interval(values, groups=groups, level=level)


def _fisher(then: np.ndarray, now: np.ndarray) -> float:
    """Fisher's exact test of two shares."""
    from scipy.stats import fisher_exact

    right = [int(side.sum()) for side in (then, now)]
    table = [[k, len(side) - k] for k, side in zip(right, (then, now), strict=True)]
    return float(fisher_exact(table).pvalue)


def _by_halving(sides: Sequence[tuple[np.ndarray, np.ndarray | None]], metric: str) -> float:
    """The smallest chance of error at which the interval leaves out 0."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = _between(sides, 1 - middle, metric)
        if float(found.low) > 0 or float(found.high) < 0:
            high = middle
        else:
            low = middle
    return high


def _estimate(interval: stats.Interval, method: str, n: int) -> Estimate:
    return interval.estimate(level=LEVEL, method=method, n=n)


def _settled(moves: Sequence[AnswersMove], now: Evidence) -> tuple[AnswersMove, ...]:
    """The moves with what is shown, at one error rate for all of them together (Holm).

    Where no row moved there is nothing to test: such places are no part of the family.
    """
    higher, margins = now.metrics(), now.margins()
    tested = [i for i, one in enumerate(moves) if one.status == "moved"]
    adjusted = stats.holm([moves[i].p for i in tested]) if tested else ()
    p = dict(zip(tested, map(float, adjusted), strict=True))
    return tuple(
        one
        if i not in p
        else _shown(
            replace(one, p=p[i]),
            up=higher.get(one.metric, True),
            allowed=margins.get((one.candidate, one.place, one.metric)),
        )
        for i, one in enumerate(moves)
    )


def _shown(move: AnswersMove, *, up: bool, allowed: float | None) -> AnswersMove:
    """The status of a place that moved."""
    difference = move.difference
    assert difference is not None
    if move.p <= ALPHA:
        status: Move = "better" if (difference.value > 0) == up else "worse"
        return replace(move, status=status)
    drop = -difference.low if up else difference.high
    if allowed is None or drop < allowed:
        return move
    words = f"{100 * allowed:.3g} pp" if move.metric == "accuracy" else f"{allowed:g}"
    note = f"may be worse by more than the {words} that the plan allows"
    return replace(move, status="undecided", note=_joined(move.note, note))
