"""How long the gate takes for 50 candidates in 300 cells of 10,000 rows each, on one core.

`taskset -c 0 python benchmarks/gate_cost.py`: seconds for counting the changed answers of 150
million rows (right or wrong, a byte each), seconds for judging them, and the peak memory.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from surefoot.core.evidence import Budget, ConfirmationEvidence, Evidence, Paired
from surefoot.gate import gate_evidence

CANDIDATES, CELLS, ROWS = 50, 300, 10_000


def main() -> None:
    """Count, judge, and print both times."""
    rng = np.random.default_rng(0)
    base = rng.random((CELLS, ROWS), np.float32) < 0.9
    budgets = [Budget(quantity="accuracy", max_drop=0.01, slice=s) for s in (None, "*")]
    gate_evidence(evidence({"warm up": [(1, 1)] * CELLS}), budgets)
    counting, counts = 0.0, {}
    for number in range(CANDIDATES):
        flipped = rng.random((CELLS, ROWS), np.float32) < rng.uniform(0.01, 0.08)
        lean = base ^ flipped
        started = time.perf_counter()
        lost = (base & ~lean).sum(axis=1)
        won = (lean & ~base).sum(axis=1)
        counts[f"c{number}"] = list(zip(lost.tolist(), won.tolist(), strict=True))
        counting += time.perf_counter() - started
    gathered = evidence(counts)
    started = time.perf_counter()
    verdicts = gate_evidence(gathered, budgets)
    judging = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    findings = sum(len(verdict.findings) for verdict in verdicts)
    print(f"counted {CANDIDATES * CELLS * ROWS:,} rows in {counting:.2f} s")
    print(f"judged {findings:,} findings in {judging:.2f} s")
    print(f"peak {peak:.0f} MB")


def evidence(counts: dict[str, list[tuple[int, int]]]) -> ConfirmationEvidence:
    """Ten data sets of 29 slices each."""
    pairs = tuple(
        Paired(
            candidate=name, dataset=f"d{i % 10}", slice=None if i < 10 else f"s{i // 10}",
            metric="accuracy", n=ROWS, lost=lost, won=won, other=0, baseline=0.9,
            value=0.9 + (won - lost) / ROWS,
        )
        for name, cells in counts.items()
        for i, (lost, won) in enumerate(cells)
    )  # fmt: skip
    return ConfirmationEvidence(
        Evidence(baseline="baseline", candidates=tuple(counts), paired=pairs)
    )


if __name__ == "__main__":
    main()
