"""Does a cascade keep what it promises? Simulated deployments, and splits of real answers.

    python benchmarks/cascade_promise.py                       simulated
    python benchmarks/cascade_promise.py BUNDLE CANDIDATE SET  50 random splits of a test set's rows

Simulated: 400 deployments for each number of calibration rows; the lean model's answer is right as
often as it is confident, the fallback's in 95 %, and the risk of every threshold is known from two
million rows. A deployment is broken if its risk is above alpha. Beside Learn-then-Test stands the
threshold that merely looks best on the calibration rows, and the share that an oracle would let the
lean model answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.bundle import cell_file
from surefoot.data.columns import read_parquet
from surefoot.serve.cascade import GRID, Answers, choose

ALPHA, DELTA, RUNS, SPLITS = 0.02, 0.1, 400, 50


def drawn(rng: np.random.Generator, n: int) -> Answers:
    """A lean model that is right as often as it is confident, and a fallback right in 95 %."""
    confidence = 0.5 + 0.5 * rng.beta(2, 0.7, n)
    right, behind = rng.random(n) < confidence, rng.random(n) < 0.95
    return answers(confidence, right, behind)


def answers(confidence: np.ndarray, right: np.ndarray, behind: np.ndarray) -> Answers:
    """What two models say of the same rows."""
    return Answers(
        confidence=confidence,
        right=right,
        fallback_right=behind,
        lost=~right & behind,
        slices={},
    )


def counted(found: Answers) -> tuple[np.ndarray, np.ndarray]:
    """The share of answers that stand and the risk, at each threshold of the grid."""
    order = np.argsort(-found.confidence)
    at = np.searchsorted(-found.confidence[order], -GRID, side="right")
    lost = np.append(0, np.cumsum(found.lost[order]))
    return at / len(order), lost[at] / len(order)


def best_looking(found: Answers) -> int:
    """How many thresholds pass if the risk on the calibration rows is believed."""
    return int((counted(found)[1] <= ALPHA).sum())


def simulated() -> None:
    """A line for each number of calibration rows."""
    rng = np.random.default_rng(0)
    share, risk = counted(drawn(rng, 2_000_000))
    oracle = share[risk <= ALPHA].max()
    print(f"oracle: the lean model answers {oracle:.1%}; alpha {ALPHA:.0%}, delta {DELTA:.0%}")
    for n in (300, 1_000, 5_000):
        draws = [drawn(rng, n) for _ in range(RUNS)]
        for name, places in {
            "Learn-then-Test": [choose(d, max_error=ALPHA, delta=DELTA)[0] for d in draws],
            "best looking": [best_looking(d) for d in draws],
        }.items():
            _tell(f"n {n:>5} {name:<16}", places, share, risk)


def _tell(name: str, places: list[int], share: np.ndarray, risk: np.ndarray) -> None:
    broken = sum(place > 0 and risk[place - 1] > ALPHA for place in places)
    answered = np.mean([share[place - 1] if place else 0.0 for place in places])
    ends = stats.proportion_interval(broken, len(places))
    print(
        f"{name} broken {broken / len(places):.1%} [{float(ends.low):.1%}, {float(ends.high):.1%}],"
        f" answered by the lean model {answered:.1%}"
    )


def real(path: Path, candidate: str, dataset: str) -> None:
    """Half of a test set's rows calibrate, the other half say what came of it."""
    lean, big = (
        read_parquet(path / "cells" / name / cell_file(dataset, "", 0.0))
        for name in (candidate, "baseline")
    )
    right, behind, confidence = lean["correct"], big["correct"], lean["confidence"]
    times = read_parquet(path / "latency.parquet")
    one = times["batch"] == times["batch"].min()
    small, large = (
        float(np.median(times["cpu_ms"][one & (times["candidate"] == name)]))
        for name in (candidate, "baseline")
    )
    rng = np.random.default_rng(0)
    for alpha in (0.01, 0.02):
        broken, shares = 0, []
        for _ in range(SPLITS):
            half = rng.permutation(len(right)) < len(right) // 2
            own = answers(confidence[half], right[half], behind[half])
            share, risk = counted(answers(confidence[~half], right[~half], behind[~half]))
            place, _ = choose(own, max_error=alpha, delta=DELTA)
            broken += place > 0 and risk[place - 1] > alpha
            shares.append(share[place - 1] if place else 0.0)
        mean = float(np.mean(shares))
        cost = small + (1 - mean) * large
        print(
            f"{dataset}, alpha {alpha:.0%}, {len(right) // 2} rows: above alpha on the other half"
            f" in {broken} of {SPLITS}, answered by {candidate} {mean:.1%}, CPU {cost:.2f} ms"
            f" a request against {large:.2f}: {large / cost:.2f} times less"
        )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        real(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 1:
        simulated()
    else:
        sys.exit(__doc__)
