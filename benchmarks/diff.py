"""How often `surefoot diff` says worse where nothing is, what it sees, and how long it takes.

python benchmarks/diff.py
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.data.columns import write_parquet
from surefoot.diff.answers import ALPHA, Evidence, answers_moves

PLACES, ROWS, FLIPPED, TIMES = 20, 1000, 0.06, 4000
CANDIDATES, CELLS, LARGE = 3, 5, 10_000


def shown(drop: float, rng: np.random.Generator) -> np.ndarray:
    """(times,) whether one place or more is said to be worse.

    Args:
        drop: By how much one place of many really got worse; the others did not.
        rng: Draws the rows.
    """
    lost = np.full(PLACES, FLIPPED / 2)
    lost[0] += drop / 2
    won = FLIPPED - lost
    p = np.stack([lost, won, np.full(PLACES, 1 - FLIPPED)], axis=-1)
    counts = rng.multinomial(ROWS, p, size=(TIMES, PLACES))
    raw = stats.exact_mcnemar(counts[..., 0], counts[..., 1])
    worse = (stats.holm(raw) <= ALPHA) & (counts[..., 0] > counts[..., 1])
    return worse.any(axis=1)


def bundle(folder: Path, seed: int) -> Evidence:
    """A folder with the cells of a run, and as much of its verdict.json as they need."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(CANDIDATES)]
    ids = np.array([f"row-{i}" for i in range(LARGE)], np.dtypes.StringDType())
    text = np.dtypes.StringDType()
    for name in names:
        (folder / "cells" / name).mkdir(parents=True)
        for cell in range(CELLS):
            correct = rng.uniform(size=LARGE) < 0.9
            write_parquet(
                folder / "cells" / name / f"set{cell}.parquet",
                {
                    "dataset": np.full(LARGE, f"set{cell}", dtype=object),
                    "shift": np.full(LARGE, "", dtype=object),
                    "severity": np.zeros(LARGE),
                    "id": ids,
                    "label": np.full(LARGE, "yes", dtype=object).astype(text),
                    "predicted": np.where(correct, "yes", "no").astype(text),
                    "correct": correct,
                    **{f"slice_s{i}": np.arange(LARGE) % 5 == i for i in range(5)},
                },
            )
    told = {"candidates": [{"name": n} for n in names], "verdicts": [], "comparisons": []}
    return Evidence(folder=folder, told=json.loads(json.dumps(told)))


def main() -> None:
    """Print all of it."""
    rng = np.random.default_rng(0)
    for drop in (0.0, 0.02, 0.03, 0.04):
        share = shown(drop, rng).mean()
        where = f"one of {PLACES} places lost {100 * drop:g} points" if drop else "nothing is worse"
        print(f"{where}: worse is said in {share:.1%} of {TIMES:,} comparisons of {ROWS:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        then, now = (bundle(Path(folder) / str(seed), seed) for seed in (1, 2))
        start = time.process_time()
        moves = answers_moves(then, now)
        seconds = time.process_time() - start
        start = time.process_time()
        answers_moves(then, then)
        again = time.process_time() - start
    print(
        f"{CANDIDATES * CELLS} cells of {LARGE:,} rows, {len(moves)} places:"
        f" {seconds:.1f} CPU s if all moved, {again:.1f} CPU s if none did"
    )


main()
