"""How often the intervals of the calibration table hold the truth, at a nominal 95 %.

`python benchmarks/calibration_coverage.py [RUNS]`: one table in Markdown, seeded; three minutes at
300 on an idle core, where one standard error is 1.3 points. Left and right are how often the truth
lies below and above the interval.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain

import numpy as np
from scipy.special import softmax

from surefoot import plugins, stats
from surefoot.evaluate.calibration.reliability import Rows, look

FIGURES = ("ece", "aurc", "log_loss", "brier")


def main(runs: int = 300) -> None:
    """Print a row a case."""
    print("| figure | case | left | right | covered |\n|---|---|---|---|---|")
    for figure, case, hits in chain(temperatures(runs), figures(runs), bars(runs)):
        left, right = np.mean(hits, axis=0) * 100
        print(f"| {figure} | {case} | {left:.1f} | {right:.1f} | {100 - left - right:.1f} |")


def temperatures(runs: int) -> Iterator[tuple[str, str, list[tuple[bool, bool]]]]:
    """Logits whose probabilities are true at a temperature."""
    rng = np.random.default_rng(0)
    for n, classes, truth, scale in (
        (50, 2, 1.0, 2.0),
        (50, 5, 2.0, 3.0),
        (200, 2, 1.5, 4.0),
        (600, 2, 1.0, 1.0),
        (600, 10, 2.0, 5.0),
    ):
        hits = []
        for _ in range(runs):
            logits = rng.normal(size=(n, classes)) * scale
            labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
            found = stats.temperature_interval(softmax(logits * truth, axis=1), labels)
            hits.append((bool(found.low > truth), bool(found.high < truth)))
        yield "temperature", f"{n} rows, {classes} classes, {truth}", hits


def figures(runs: int) -> Iterator[tuple[str, str, list[tuple[bool, bool]]]]:
    """Confidence that exceeds the chance of being right by as much everywhere."""
    for off in (0.0, 0.03, 0.1):
        truths = _values(*_drawn(np.random.default_rng(1), 1_000_000, off))
        truths["ece"] = off
        for n in (200, 500, 2_000):
            rng, hits = np.random.default_rng(2), {name: [] for name in FIGURES}
            for _ in range(runs):
                scores, labels = _drawn(rng, n, off)
                found = look(Rows(scores=scores, labels=labels)).reliability.figures
                for name, truth in truths.items():
                    close = 1e-9
                    one = found[name]
                    hits[name].append((one.low > truth + close, one.high < truth - close))
            for name in FIGURES:
                yield name, f"{n} rows, off by {off}", hits[name]


def bars(runs: int) -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
    """Shares of bins of a calibrated model below and above their bars."""
    rng = np.random.default_rng(3)
    for n in (200, 2_000):
        hits = []
        for _ in range(runs):
            scores, labels = _drawn(rng, n, 0.0)
            found = look(Rows(scores=scores, labels=labels)).reliability.bins
            low = np.mean([b.accuracy < b.low for b in found])
            hits.append((float(low), float(np.mean([b.accuracy > b.high for b in found]))))
        yield "consistency bars", f"{n} rows, calibrated", hits


def _drawn(rng: np.random.Generator, n: int, off: float) -> tuple[np.ndarray, np.ndarray]:
    sure = 1 - 0.3 * rng.beta(1, 2, n)
    right = rng.random(n) < sure - off
    return np.stack([sure, 1 - sure], axis=1), np.where(right, 0, 1)


def _values(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    once, found = np.ones((1, len(labels))), {}
    for name in FIGURES:
        weights = (once,) if name in ("ece", "aurc") else ()
        found[name] = float(plugins.find("metric", name)(scores, labels, *weights).mean())
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
