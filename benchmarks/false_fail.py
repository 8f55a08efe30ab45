"""How often an evaluation of 60 cells fails a candidate that did not change, and one that did.

`python benchmarks/false_fail.py [RUNS]`: two tables in Markdown, seeded; under two minutes of one
core at 2,000, a quarter of which are run for each row of the second. The cells are shifts of the
same 2,000 rows: an answer that one shift flips is likely to be flipped by the others too. Each rule
sees the same flips; after each rate stands its standard error, in points. The gate fails a cell
whose drop is shown to be above the margin; the last column puts `stats.max_t` in place of its Holm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from surefoot import stats

ALPHA, MARGIN, CELLS, ROWS, DRAWS = 0.05, 0.01, 60, 2_000, 250
FLIPS = 0.05
"""Share of rows of a cell that flip either way."""
SHARED = (0.0, 0.5, 0.9)
"""Probability that a row does in a cell what it does in all cells."""

Rule = Callable[[np.ndarray, int], np.ndarray]
"""(cells, rows) of -1 lost, 0, 1 won, and a seed -> (cells,) p-values."""


def counts(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lost and won rows of each cell."""
    return (rows < 0).sum(axis=1), (rows > 0).sum(axis=1)


RULES: Mapping[str, Rule] = {
    "any drop, uncorrected": lambda rows, _: stats.mcnemar(*counts(rows)),
    "any drop, Holm": lambda rows, _: stats.holm(stats.mcnemar(*counts(rows))),
    "any drop, max-T": lambda rows, seed: stats.max_t(rows, draws=DRAWS, seed=seed),
    "the gate: above the margin, Holm": lambda rows, _: stats.holm(
        stats.inferiority(*counts(rows), ROWS, MARGIN)
    ),
}
ON_THE_MARGIN: Mapping[str, Rule] = {
    "above the margin, max-T": lambda rows, seed: stats.max_t(
        rows, margin=MARGIN, draws=DRAWS, seed=seed
    )
}


def main(runs: int = 2_000) -> None:
    """Print the rates without a change, then with a drop in one cell."""
    print("### No change at all: any cell of 60 fails\n")
    heading("rows shared", RULES)
    for i, shared in enumerate(SHARED):
        failed = evaluations(runs, RULES, unchanged(np.random.default_rng([1, i]), shared))
        row(f"{100 * shared:.0f} %", failed.any(axis=-1))
    print("\n### One cell dropped, the others did not: it fails\n")
    heading("rows shared, drop", RULES | ON_THE_MARGIN)
    for i, shared in enumerate(SHARED):
        for drop in (0.02, 0.03):
            cells = dropped(np.random.default_rng([2, i]), shared, drop)
            failed = evaluations(runs // 4, RULES | ON_THE_MARGIN, cells)
            row(f"{100 * shared:.0f} %, {100 * drop:.0f} points", failed[..., 0])


def heading(case: str, rules: Mapping[str, Rule]) -> None:
    """The first two lines of a table in Markdown."""
    print(f"| {case} | " + " | ".join(rules) + " |\n|---|" + "---|" * len(rules))


def row(case: str, failed: np.ndarray) -> None:
    """The rate of each rule in percent with its standard error, which is never 0."""
    runs, rate = len(failed), failed.mean(axis=0)
    error = np.sqrt(np.maximum(rate * (1 - rate), 1 / runs) / runs)
    shown = (f"{100 * r:.1f} ± {100 * e:.1f}" for r, e in zip(rate, error, strict=True))
    print(f"| {case} | " + " | ".join(shown) + " |", flush=True)


def evaluations(runs: int, rules: Mapping[str, Rule], cells: Iterator[np.ndarray]) -> np.ndarray:
    """(runs, rules, cells) whether each rule fails each cell."""
    drawn = (next(cells) for _ in range(runs))
    return np.array(
        [[p(rows, seed) < ALPHA for p in rules.values()] for seed, rows in enumerate(drawn)]
    )


def unchanged(rng: np.random.Generator, shared: float) -> Iterator[np.ndarray]:
    """Cells whose rows are as often lost as won."""

    def draw(*shape: int) -> np.ndarray:
        uniform = rng.random(shape, np.float32)
        return (uniform < FLIPS / 2).astype(np.int8) - (uniform > 1 - FLIPS / 2)

    while True:
        together = rng.random((CELLS, ROWS), np.float32) < shared
        yield np.where(together, draw(ROWS), draw(CELLS, ROWS))


def dropped(rng: np.random.Generator, shared: float, drop: float) -> Iterator[np.ndarray]:
    """The same, but in the first cell more rows go down: won to same, same to lost."""
    for cells in unchanged(rng, shared):
        down = rng.random(ROWS) < drop / (1 - FLIPS / 2)
        cells[0] -= down & (cells[0] > -1)
        yield cells


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
