"""How often an envelope has the true crossing between its ends, and what it costs.

`python benchmarks/envelope_coverage.py`: seeded; a minute on one core. One standard error is
1 point at a rate of 95 % and 500 data sets.
"""

from __future__ import annotations

import numpy as np

from surefoot import stats
from surefoot.evaluate.envelope.severity import SEVERITIES, Order, probe_severity

MARGIN, LAST = 0.05, len(SEVERITIES) - 1
CASES = ((0.02, 800, 500), (0.05, 400, 500), (0.012, 800, 500), (0.02, 3_400, 150))


def main() -> None:
    """Print one line a case."""
    print("slope, rows: data sets; crossing inside; rows asked, of 50 severities; gap, median")
    for slope, rows, sets in CASES:
        rng = np.random.default_rng(round(1000 * slope))
        found = [crossing(rng, slope, rows) for _ in range(sets)]
        truth = MARGIN / slope
        # Up to the margin itself a model holds: the crossing is the last severity that does.
        inside = np.mean([low <= truth < high for low, high, _ in found])
        asked = np.mean([cost for *_, cost in found]) / (LAST * rows)
        gap = np.median([min(high, 5.0) - max(low, 0.0) for low, high, _ in found])
        print(f"{slope}, {rows:,}: {sets}; {inside:.1%}; {asked:.1%}; {gap:.1f}")


def crossing(rng: np.random.Generator, slope: float, rows: int) -> tuple[float, float, int]:
    """The two ends of one data set's crossing, and the rows that were asked.

    Right on four fifths of all rows, `slope` fewer per unit of severity, and a tenth swapped.
    """
    skill, swapped, luck = rng.random(rows), rng.random(rows) < 0.1, rng.random(rows) < 0.8

    def right(severity: float, chosen: np.ndarray) -> np.ndarray:
        able = skill < 0.8 - slope * severity
        return np.where(swapped, luck & (skill < 1 - slope * severity / 0.8), able)[chosen]

    before = right(0.0, np.arange(rows))
    order = Order(rows=rng.permutation(rows), ends=np.arange(1, rows + 1))
    terms, asked = (MARGIN, 0.05 / stats.probes_needed(LAST)), 0

    def decide(point: int) -> int:
        nonlocal asked
        probe = probe_severity(right, float(SEVERITIES[point]), before, order, terms)
        asked += probe.n
        return probe.side

    found = stats.bracket(decide, LAST)
    low = -np.inf if found.holds_to is None else float(SEVERITIES[found.holds_to])
    high = np.inf if found.fails_at is None else float(SEVERITIES[found.fails_at])
    return low, high, asked


if __name__ == "__main__":
    main()
