"""How often a candidate whose drop is exactly the margin is released, at a nominal 5 %.

`python benchmarks/false_release.py [RUNS]`: tables in Markdown, seeded; some minutes at 20,000. The
first table is exact but for the bootstrap; in the others one standard error is 0.15 points at a
rate of 5 %, 0.35 at n = 10,000, and the largest of 50 rates is expected two of them too high.
Beside the tests of `surefoot.stats` stand the rules that are common: release when the point
estimate is within the margin, when the Wald bound is, when the percentile bootstrap's is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.special import gammaln, xlogy
from scipy.stats import ttest_1samp

from surefoot import stats
from surefoot.core.evidence import Budget, ConfirmationEvidence, Evidence, Paired, SelectionEvidence
from surefoot.gate import finalists, gate_evidence

ALPHA = 0.05
MARGINS = (0.005, 0.01, 0.02)
FLIPS = (0.02, 0.05, 0.1)
Rates = dict[str, float]


def main(runs: int = 20_000) -> None:
    """Print one table a question, and the worst of each column below it."""
    table("Right or wrong, independent rows", independent(runs))
    table("Right or wrong, clusters of 5 rows, ICC 0.3", clustered(runs))
    table("A real-valued metric", real_valued(runs))
    table("No change at all over 60 cells: any FAIL", unchanged(runs // 10))
    table("50 candidates, searched and confirmed: anything released", searched(runs // 20))


def table(title: str, rows: Iterator[tuple[str, Rates]]) -> None:
    """Print rates in percent and the largest of each column."""
    print(f"\n### {title}\n")
    worst: Rates = {}
    for case, rates in rows:
        if not worst:
            print("| case | " + " | ".join(rates) + " |")
            print("|---|" + "---|" * len(rates))
        print(f"| {case} | " + " | ".join(f"{100 * r:.1f}" for r in rates.values()) + " |")
        worst = {name: max(rate, worst.get(name, 0)) for name, rate in rates.items()}
    print("| **worst** | " + " | ".join(f"**{100 * r:.1f}**" for r in worst.values()) + " |")


def grid() -> Iterator[tuple[float, float, float, str]]:
    """The shares of lost and won rows whose difference is the margin."""
    for margin in MARGINS:
        for flips in FLIPS:
            case = f"margin {100 * margin:g} %, flips {100 * flips:g} %"
            yield (flips + margin) / 2, (flips - margin) / 2, margin, case


def independent(runs: int) -> Iterator[tuple[str, Rates]]:
    """Probabilities summed over every table; the bootstrap alone is simulated."""
    rng = np.random.default_rng(1)
    for n in (100, 200, 500, 1_000, 2_000, 10_000):
        for lost_share, won_share, margin, case in grid():
            chance, lost, won = tables(n, lost_share, won_share)
            difference = (won - lost) / n
            error = np.sqrt(np.maximum((lost + won) / n - difference**2, 0) / n)
            released = {
                "point": difference >= -margin - 1e-12,
                "Wald": difference - 1.644854 * error > -margin,
                "surefoot": stats.noninferiority(lost, won, n, margin) < ALPHA,
            }
            rates = {name: float(chance[yes].sum()) for name, yes in released.items()}
            shares = [lost_share, won_share, 1 - lost_share - won_share]
            drawn = rng.multinomial(n, shares, runs)[:, :2]
            pairs, often = np.unique(drawn, axis=0, return_counts=True)
            resampled = stats.resample_counts(*pairs.T, n, draws=1_000)
            low = stats.percentile_interval(resampled, 1 - 2 * ALPHA).low
            bootstrap = float(often[low > -margin + 1e-12].sum() / runs)
            yield f"n {n:,}, {case}", {**rates, "percentile bootstrap": bootstrap}


def tables(n: int, *shares: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(lost, won), lost and won, as far out as it matters."""
    ends = [int(min(n, n * p + 8 * np.sqrt(n * p) + 12)) + 1 for p in shares]
    lost, won = (index.ravel() for index in np.indices(ends))
    lost, won = lost[lost + won <= n], won[lost + won <= n]
    same = n - lost - won
    log = gammaln(n + 1) - gammaln(lost + 1) - gammaln(won + 1) - gammaln(same + 1)
    log += xlogy(lost, shares[0]) + xlogy(won, shares[1]) + same * np.log1p(-sum(shares))
    return np.exp(log), lost, won


def clustered(runs: int) -> Iterator[tuple[str, Rates]]:
    """Rows of a cluster share their answer with probability sqrt(0.3): correlation 0.3."""
    rng = np.random.default_rng(2)
    for n in (100, 200, 500, 1_000, 2_000, 10_000):
        groups = np.repeat(np.arange(n // 5), 5)
        for lost_share, won_share, margin, case in grid():
            yield (
                f"n {n:,}, {case}",
                in_batches(
                    max(runs * min(n, 2_000) // n, 1_000),
                    n,
                    lambda size, a=lost_share, b=won_share, g=groups, m=margin: _clusters(
                        rng, size, g, (a, b, m)
                    ),
                ),
            )


def _clusters(
    rng: np.random.Generator, size: int, groups: np.ndarray, shares: tuple[float, float, float]
) -> dict[str, np.ndarray]:
    lost, won, margin = shares

    def draw(*shape: int) -> np.ndarray:
        uniform = rng.random(shape, np.float32)
        return (uniform >= lost).astype(np.int8) - (uniform < lost) - (uniform >= lost + won)

    clusters = len(groups) // 5
    shared = rng.random((size, clusters, 5), np.float32) < np.sqrt(0.3)
    cubes = np.where(shared, draw(size, clusters, 1), draw(size, clusters, 5))
    rows = cubes.reshape(size, -1)
    plain = ttest_1samp(cubes.mean(axis=2), -margin, axis=1, alternative="greater").pvalue
    counts = (rows < 0).sum(axis=1), (rows > 0).sum(axis=1), rows.shape[1]
    return {
        "point": rows.mean(axis=1) >= -margin - 1e-12,
        "rows as if independent": stats.noninferiority(*counts, margin) < ALPHA,
        # A sample without any change has no t; a rule that divides by 0 releases it.
        "cluster t": (plain < ALPHA) | ((rows == 0).all(axis=1)),
        "surefoot": stats.clustered_noninferiority(rows, groups, margin) < ALPHA,
    }


def real_valued(runs: int) -> Iterator[tuple[str, Rates]]:
    """Differences of a Brier score: all rows move a little, the flipped ones a lot."""
    rng = np.random.default_rng(3)
    for n in (100, 200, 500, 1_000, 2_000, 10_000):
        for name, draw, mean in metrics(rng):
            yield (
                f"n {n:,}, {name}",
                in_batches(
                    runs if n < 10_000 else runs // 4,
                    n,
                    lambda size, d=draw, m=mean, columns=n: _real(d(size, columns), m),
                ),
            )


def metrics(
    rng: np.random.Generator,
) -> Iterator[tuple[str, Callable[[int, int], np.ndarray], float]]:
    """A name, how to draw differences, and their mean, which is the margin."""
    for flips in (0.03, 0.1):

        def brier(*shape: int, flips: float = flips) -> np.ndarray:
            flipped = rng.random(shape, np.float32) < flips
            return np.where(flipped, -rng.beta(2, 2, shape), rng.normal(0, 0.02, shape))

        yield f"Brier score, {100 * flips:g} % flipped", brier, -flips / 2
    yield "log loss, gamma", lambda *shape: -rng.gamma(0.5, 0.1, shape), -0.05
    yield "no tail, normal", lambda *shape: rng.normal(-0.01, 0.2, shape), -0.01


def _real(rows: np.ndarray, mean: float) -> dict[str, np.ndarray]:
    margin = -mean
    plain = ttest_1samp(rows, mean, axis=1, alternative="greater").pvalue
    return {
        "point": rows.mean(axis=1) >= mean,
        "t": plain < ALPHA,
        "surefoot": stats.mean_p_value(rows, margin=margin) < ALPHA,
    }


def unchanged(runs: int) -> Iterator[tuple[str, Rates]]:
    """60 cells of the same 10,000 rows, 5 % of which flip either way; margin 0.5 points."""
    rng = np.random.default_rng(4)
    for n in (200, 1_000, 5_000):
        lost, won = rng.multinomial(n, [0.025, 0.025, 0.95], (runs, 60))[..., :2].transpose(2, 0, 1)
        p = stats.mcnemar(lost, won)
        within = stats.inferiority(lost, won, n, 0.005)
        yield (
            f"60 cells of {n:,} rows",
            {
                "point above the margin": float(((lost - won) / n > 0.005).any(axis=1).mean()),
                "any change, uncorrected": float((p.min(axis=1) < ALPHA).mean()),
                "any change, Holm": float((stats.holm(p).min(axis=1) < ALPHA).mean()),
                "surefoot": float((stats.holm(within).min(axis=1) < ALPHA).mean()),
            },
        )


def searched(runs: int) -> Iterator[tuple[str, Rates]]:
    """Three finalists of a selection split are confirmed on another, all by the gate itself."""
    rng = np.random.default_rng(5)
    n, flips, margin = 5_000, 0.03, 0.01
    names = [f"c{i}" for i in range(50)]
    budgets = [Budget(quantity="accuracy", max_drop=margin)]
    for case, good in (("all 50 at the margin", 0), ("1 without a drop, 49 at the margin", 1)):
        drops = np.where(np.arange(50) < good, 0.0, margin)
        shares = np.stack([(flips + drops) / 2, (flips - drops) / 2, np.full(50, 1 - flips)], 1)
        selection, confirmation = (
            rng.multinomial(n, shares, (runs, 50))[..., :2].transpose(2, 0, 1) for _ in range(2)
        )
        released = []
        for run in range(runs):
            chosen = finalists(
                SelectionEvidence(evidence(names, selection[:, run], n)), budgets, {}
            )
            drawn = confirmation[:, run, [names.index(name) for name in chosen]]
            proof = ConfirmationEvidence(evidence(chosen, drawn, n))
            verdicts = gate_evidence(proof, budgets, tried=50)
            released.append({v.candidate for v in verdicts if v.outcome == "PASS"})
        careless = stats.noninferiority(*selection, n, margin) < ALPHA
        yield (
            case,
            {
                "selected and released on one split": float(careless.any(axis=1).mean()),
                "surefoot: a bad one": float(
                    np.mean([bool(r - {*names[:good]}) for r in released])
                ),
                "surefoot: a good one": float(
                    np.mean([bool(r & {*names[:good]}) for r in released])
                ),
            },
        )


def evidence(names: Sequence[str], counts: np.ndarray, n: int) -> Evidence:
    """What lost and won rows of candidates are to a gate."""
    pairs = tuple(
        Paired(
            candidate=name, dataset="main", slice=None, metric="accuracy", n=n, lost=int(lost),
            won=int(won), other=0, baseline=0.9, value=0.9 + (won - lost) / n,
        )
        for name, lost, won in zip(names, *counts, strict=True)
    )  # fmt: skip
    return Evidence(baseline="baseline", candidates=tuple(names), paired=pairs)


def in_batches(runs: int, n: int, decide: Callable[[int], dict[str, np.ndarray]]) -> Rates:
    """Rates over many runs, a few million numbers at a time."""
    size = max(1, min(runs, 2_000_000 // n))
    batches = [decide(min(size, runs - start)) for start in range(0, runs, size)]
    return {
        name: float(np.concatenate([batch[name] for batch in batches]).mean())
        for name in batches[0]
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
