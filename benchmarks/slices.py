"""How often a search for slices is right, and how often the worst slice's interval holds.

`python benchmarks/slices.py [RUNS]`: seeded; two minutes at 500 on an idle machine. One standard
error is 1 point at a rate of 5 % and 500 runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from surefoot import stats
from surefoot.core.dataset import ConfirmationSet, Dataset
from surefoot.core.plan import SliceSearchPlan
from surefoot.evaluate import confirmation_evidence, find_slices
from surefoot.evaluate.cells import cell
from surefoot.gate import worst_slices

Where = Callable[[Dataset], np.ndarray]
ROWS = 2000


def main(runs: int = 500) -> None:
    """Print one line a question."""
    print(f"{runs} runs, {ROWS:,} rows, 3 % of the answers lost and 2 % won")
    for title, where, more in (
        ("nothing to be found", nowhere, 0.0),
        ("10 points more in the lowest fifth of a column", fifth, 0.1),
        ("10 points more where two conditions meet, a fifth of the rows", both, 0.1),
        ("5 points more there", both, 0.05),
    ):
        rng = np.random.default_rng(0)
        hits = sum(confirmed(rng, where, more) for _ in range(runs))
        print(f"find_slices, {title}: confirmed in {hits / runs:.1%} of runs")
    worst(runs)


def nowhere(data: Dataset) -> np.ndarray:
    """No rows."""
    return np.zeros(len(data), bool)


def fifth(data: Dataset) -> np.ndarray:
    """A slice that quarters of the column do not hit exactly."""
    return np.asarray(data.inputs[:, 0] < np.quantile(data.inputs[:, 0], 0.2))


def both(data: Dataset) -> np.ndarray:
    """Two declared slices at once."""
    return np.asarray(data.slices["left"] & data.slices["upper"])


def measured(rng: np.random.Generator, where: Where, more: float, slices: int = 2) -> tuple:
    """A test set, and the cells of a baseline and of a candidate that loses more in a slice."""
    masks = rng.random((slices, ROWS)) < 0.45
    data = Dataset(
        name="main",
        ids=np.array([str(value) for value in rng.integers(2**60, size=ROWS)], "T"),
        inputs=rng.standard_normal((ROWS, 6)).astype(np.float32),
        labels=rng.integers(0, 2, ROWS),
        classes=("a", "b"),
        slices=dict(zip(("left", "upper", *map(str, range(slices))), masks, strict=False)),
    )
    right = rng.random(ROWS) < 0.9
    turned = rng.random(ROWS) < np.where(right, (0.03 + more * where(data)) / 0.9, 0.02 / 0.1)
    before = np.where(right, data.labels, 1 - data.labels)
    answers = (before, np.where(turned, 1 - before, before))
    names = ("base", "lean")
    cells = [
        cell(name, data, np.eye(2, dtype=np.float32)[a])
        for name, a in zip(names, answers, strict=True)
    ]
    return ConfirmationSet(data), cells


def confirmed(rng: np.random.Generator, where: Where, more: float) -> bool:
    """Whether a slice is confirmed; of a planted one, one that holds mostly its rows."""
    data, cells = measured(rng, where, more)
    found = find_slices(cells, {"main": data}, SliceSearchPlan())
    about = {nowhere: "", fifth: "column 1", both: "left and upper"}[where]
    return any(one.confirmed and about in one.slice for one in found.slices)


def worst(runs: int) -> None:
    """20 slices whose true drop is 1 point each: does the interval of the worst hold it?"""
    rng, held, width = np.random.default_rng(1), np.zeros(3), np.zeros(3)
    for _ in range(runs):
        data, cells = measured(rng, nowhere, 0.0, slices=20)
        evidence = confirmation_evidence(
            {"base": cells[:1], "lean": cells[1:]}, {"main": data}, ["accuracy"]
        )
        (one,) = worst_slices(evidence, cells, {"main": data}, "accuracy")
        (same,) = (p for p in evidence.paired if p.slice == one.slice)
        plain, divided = (
            stats.paired_proportions(same.lost, same.won, same.n, level=level)
            for level in (0.95, 1 - 0.05 / 21)
        )
        ends = [(float(plain.low), float(plain.high)), (one.estimate.low, one.estimate.high)]
        ends += [(float(divided.low), float(divided.high))]
        held += [low <= -0.01 <= high for low, high in ends]
        width += [high - low for low, high in ends]
    for name, share, size in zip(("plain 95 %", "max-T", "Bonferroni"), held, width, strict=True):
        print(f"worst of 21, {name}: holds in {share / runs:.1%}, {100 * size / runs:.2f} pp wide")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
