"""Does a race find the winner that measuring everything would, and at what share of the rows?

`python benchmarks/racing.py [SWEEPS]`: a table in Markdown, seeded; some minutes at 200 sweeps.
Each sweep races 50 candidates at a margin of 1 point on a selection split of 2,000 to 5,000 rows,
drawn uniformly; the baseline is right on 70 to 95 % of them. A candidate loses f / 2 + d of the
rows and wins f / 2 of them, where f is uniform on 2 to 10 % and d is its drop: its flips are f and
its drop together. A negative d adds to the rows won. Costs are uniform on [0, 1] and independent of
the drop. The cases differ from this mix as they say:

- mixed: d uniform on -1 to 20 points;
- many near-ties: d uniform on 0 to 2 points, so all lie within 1 point of the margin;
- cheaper is worse: as mixed, but the cost falls with d (rank correlation about -0.9);
- nobody qualifies: d uniform on 2 to 20 points;
- near-ties, few qualify: d uniform on 1 to 3 points, so that most have to be refused one by one;
- equal costs: as mixed, at one cost, so that the winner is the one that gains most;
- equal costs, near-ties: d uniform on 0 to 2 points, at one cost.

"Same" is how often the race names the winner of the exhaustive table, nobody included; rows are
shares of (rows x candidates); "20 %" is how many sweeps took no more than a fifth.

The second table is why the race stakes as it does: rows, in mean over 50 splits of 3,500, until one
candidate is shown to be over the margin at 2.5 %, looking every 64 rows.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np

from surefoot.search import race, rightful_winner
from surefoot.stats import betting_p_value

CANDIDATES, MARGIN = 50, 0.01
Sweep = tuple[np.ndarray, np.ndarray, dict[str, float]]
DROPS = {
    "mixed": (-0.01, 0.2),
    "many near-ties": (0.0, 0.02),
    "cheaper is worse": (-0.01, 0.2),
    "nobody qualifies": (0.02, 0.2),
    "near-ties, few qualify": (0.01, 0.03),
    "equal costs": (-0.01, 0.2),
    "equal costs, near-ties": (0.0, 0.02),
}


def main(sweeps: int = 200) -> None:
    """Print a row a case."""
    print(
        "### Sweeps\n\n| case | same | rows, mean | median | worst | 20 % | seconds, mean | worst |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for case in DROPS:
        same, share, seconds = (np.array(x) for x in zip(*raced(case, sweeps), strict=True))
        rows = f"{share.mean():.1%} | {np.median(share):.1%} | {share.max():.1%}"
        kept = f"{(share <= 0.2).mean():.1%} | {seconds.mean():.2f} | {seconds.max():.2f}"
        print(f"| {case} | {same.mean():.1%} | {rows} | {kept} |", flush=True)
    print("\n### Rows to show one drop\n\n| drop | flips | race | betting_p_value |")
    print("|---|---|---|---|")
    for drop in (0.015, 0.02, 0.03, 0.05, 0.1, 0.2):
        for churn in (0.02, 0.1):
            race_rows, plain = np.mean([shown(drop, churn, seed) for seed in range(50)], axis=0)
            print(f"| {drop:.1%} | {drop + churn:.1%} | {race_rows:.0f} | {plain:.0f} |")


def raced(case: str, sweeps: int) -> Iterator[tuple[bool, float, float]]:
    """Whether the winner is the same, the share of rows it took, and the seconds."""
    for seed in range(sweeps):
        baseline, table, costs = sweep(case, seed)
        metric = dict(zip(costs, table, strict=True))
        start = time.perf_counter()
        found = race(
            lambda name, rows, m=metric: m[name][rows], baseline, costs, margin=MARGIN, seed=seed
        )
        seconds = time.perf_counter() - start
        gains = {name: float((values - baseline).mean()) for name, values in metric.items()}
        same = found.winner == rightful_winner(gains, costs, margin=MARGIN)
        yield same, found.evaluations / found.exhaustive, seconds


def sweep(case: str, seed: int) -> Sweep:
    """The baseline right or wrong by row, each candidate likewise, and their costs."""
    rng = np.random.default_rng([seed, list(DROPS).index(case)])
    rows, right = rng.integers(2_000, 5_001), rng.uniform(0.7, 0.95)
    drops, flips = rng.uniform(*DROPS[case], CANDIDATES), rng.uniform(0.02, 0.1, CANDIDATES)
    baseline = rng.random(rows) < right
    lost = flips / 2 + np.maximum(drops, 0)
    won = np.minimum((flips / 2 + np.maximum(-drops, 0)) / (1 - right), 1)
    chance = np.where(baseline, (lost / right)[:, None], won[:, None])
    table = baseline ^ (rng.random((CANDIDATES, rows)) < chance)
    costs = dict(zip(map(str, range(CANDIDATES)), priced(case, drops, rng), strict=True))
    return baseline.astype(float), table.astype(float), costs


def shown(drop: float, churn: float, seed: int, rows: int = 3_500) -> tuple[int, int]:
    """After how many rows the race drops a candidate, and the plain betting p-value would."""
    rng = np.random.default_rng([seed, 99])
    baseline = (rng.random(rows) < 0.85).astype(float)
    chance = np.where(baseline == 1, (churn / 2 + drop) / 0.85, churn / 2 / 0.15)
    metric = np.abs(baseline - (rng.random(rows) < chance))
    found = race(lambda _, asked: metric[asked], baseline, {"": 1.0}, margin=MARGIN, seed=seed)
    order = np.random.default_rng(seed).permutation(rows)
    lost = ((baseline - metric)[order] + 1) / 2
    for looked in (*range(64, rows, 64), rows):
        p = betting_p_value(lost[:looked], (1 + MARGIN) / 2, population=rows)
        if p < 0.025:
            break
    return found.raced[0].rows, looked


def priced(case: str, drops: np.ndarray, rng: np.random.Generator) -> list[float]:
    """What each candidate costs."""
    noise = rng.random(CANDIDATES)
    if case.startswith("equal costs"):
        return [1.0] * CANDIDATES
    return list(0.1 * noise - drops if case == "cheaper is worse" else noise)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
