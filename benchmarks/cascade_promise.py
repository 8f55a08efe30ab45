"""Does a cascade keep what it promises? Simulated deployments, and splits of real answers.

    python benchmarks/cascade_promise.py                              simulated
    python benchmarks/cascade_promise.py BUNDLE SET STAGES FALLBACK   50 splits of a test set's rows

Simulated: 400 deployments for each number of calibration rows; the lean model's answer is right as
often as it is confident, the fallback's in 95 %, and the risk of every threshold is known from two
million rows. A deployment is broken if its risk is above alpha. Beside Learn-then-Test stands the
threshold that merely looks best on the calibration rows, and the share that an oracle would let the
lean model answer.

On real answers STAGES are candidates of the bundle, asked in turn, with commas between them:

    python benchmarks/cascade_promise.py FOLDER/surefoot-run/bundle banking77 static,int8 fp32-onnx

`cascade_banking77.toml` and `cascade_sentiment.toml` beside this file are plans for such bundles,
to lie in the folders that `refinery_banking77.py` and `surefoot demo` make.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.bundle import cell_file
from surefoot.data.columns import read_parquet
from surefoot.gate.cascade import GRID, Answers, choose, planned_apart, shared_path, stands

ALPHA, DELTA, RUNS, SPLITS = 0.02, 0.1, 400, 50


def drawn(rng: np.random.Generator, n: int) -> Answers:
    """A lean model that is right as often as it is confident, and a fallback right in 95 %."""
    confidence = 0.5 + 0.5 * rng.beta(2, 0.7, n)
    right, behind = rng.random(n) < confidence, rng.random(n) < 0.95
    return answers(confidence, right, behind)


def answers(confidence: np.ndarray, right: np.ndarray, behind: np.ndarray) -> Answers:
    """What two models say of the same rows."""
    return Answers(
        confidence=np.atleast_2d(confidence),
        right=np.atleast_2d(right),
        fallback_right=behind,
        slices={},
    )


def counted(found: Answers) -> tuple[np.ndarray, np.ndarray]:
    """The share of answers that stand and the risk, at each threshold of the grid."""
    confidence, losses = found.confidence[0], found.lost[0]
    order = np.argsort(-confidence)
    at = np.searchsorted(-confidence[order], -GRID, side="right")
    lost = np.append(0, np.cumsum(losses[order]))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What came of one deployment on the rows that did not calibrate it."""

    shares: np.ndarray
    """Of requests, by stage; the fallback's last."""
    lost: int
    """Rows."""


def deployed(own: Answers, rest: Answers, costs: Sequence[float], alpha: float) -> Split:
    """Choose thresholds on some rows, as `surefoot cascade` does, and count on others."""
    path, stages = GRID[:, None], len(own.right)
    if stages > 1:
        apart, own = planned_apart(own)
        path = shared_path(apart, costs[1:])
    shown, _ = choose(own, path, max_error=alpha, delta=DELTA)
    n = len(rest.fallback_right)
    who = stands(rest.confidence, path[shown - 1]) if shown else np.full(n, stages)
    lost = np.concatenate([rest.lost, np.zeros((1, n), bool)])[who, np.arange(n)]
    return Split(shares=np.bincount(who, minlength=stages + 1) / n, lost=int(lost.sum()))


def real(path: Path, dataset: str, stages: Sequence[str], fallback: str) -> None:
    """Half of a test set's rows calibrate, the other half say what came of it."""
    cells = [
        read_parquet(path / "cells" / name / cell_file(dataset, "", 0.0))
        for name in (*stages, fallback)
    ]
    whole = answers(
        np.stack([cell["confidence"] for cell in cells[:-1]]),
        np.stack([cell["correct"] for cell in cells[:-1]]),
        cells[-1]["correct"],
    )
    times = read_parquet(path / "latency.parquet")
    one = times["batch"] == times["batch"].min()
    costs = [
        float(np.median(times["cpu_ms"][one & (times["candidate"] == name)]))
        for name in (*stages, fallback)
    ]
    told = (f"{name} {ms:.3g} ms" for name, ms in zip((*stages, fallback), costs, strict=True))
    print(f"{dataset}: CPU time of an answer: {', '.join(told)}")
    for alpha in (0.01, 0.02):
        rng, n = np.random.default_rng(0), len(whole.fallback_right)
        splits = []
        for _ in range(SPLITS):
            half = rng.permutation(n) < n // 2
            splits.append(deployed(_rows(whole, half), _rows(whole, ~half), costs, alpha))
        _tell_splits(splits, (stages, fallback), costs, alpha, n - n // 2)


def _rows(whole: Answers, chosen: np.ndarray) -> Answers:
    return answers(
        whole.confidence[:, chosen], whole.right[:, chosen], whole.fallback_right[chosen]
    )


def _tell_splits(
    splits: Sequence[Split],
    names: tuple[Sequence[str], str],
    costs: Sequence[float],
    alpha: float,
    n: int,
) -> None:
    stages, fallback = names
    above = sum(split.lost > alpha * n for split in splits)
    lost = np.array([split.lost for split in splits])
    sure = int((stats.proportion_at_least(lost, n, alpha) < 0.05).sum())
    shares = np.mean([split.shares for split in splits], axis=0)
    asked = 1 - np.append(0, np.cumsum(shares)[:-1])
    cost = float(asked @ np.array(costs))
    parts = ", ".join(
        f"{name} {share:.1%}" for name, share in zip((*stages, fallback), shares, strict=True)
    )
    print(
        f"  alpha {alpha:.0%}, {n} rows: lost {lost.mean() / n:.2%} in the mean, above alpha in"
        f" {above} of {len(splits)}, beyond chance in {sure}; answered by {parts}; CPU"
        f" {cost:.3f} ms a request, {costs[-1] / cost:.2f} times less than {fallback} alone"
    )


if __name__ == "__main__":
    if len(sys.argv) == 5:
        real(Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4])
    elif len(sys.argv) == 1:
        simulated()
    else:
        sys.exit(__doc__)
