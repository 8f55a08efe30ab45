"""How often each interval of `surefoot.stats` holds the truth, at a nominal 95 %.

`python benchmarks/coverage.py [RUNS]`: one table in Markdown, seeded; about two minutes at 4,000.
Proportions are summed exactly over every table; for the others one standard error is 0.35 points.
Left and right are how often the truth lies below and above the interval: 2.5 each would be ideal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from false_release import tables
from scipy.signal import lfilter
from scipy.special import ndtri
from scipy.stats import binom

from surefoot import stats

Sides = tuple[float, float]


def main(runs: int = 4_000) -> None:
    """Print a row a case, and below the table the range of each method."""
    print("| interval | case | left | right | covered |\n|---|---|---|---|---|")
    found: dict[str, list[float]] = {}
    for method, case, (left, right) in cases(runs):
        covered = 100 * (1 - left - right)
        found.setdefault(method, []).append(covered)
        print(f"| {method} | {case} | {100 * left:.1f} | {100 * right:.1f} | {covered:.1f} |")
    print("\n| interval | lowest | median | highest |\n|---|---|---|---|")
    for method, covers in found.items():
        low, middle, high = min(covers), float(np.median(covers)), max(covers)
        print(f"| {method} | {low:.1f} | {middle:.1f} | {high:.1f} |")


def cases(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Every method on its grid."""
    yield from paired()
    yield from shares()
    yield from means(runs)
    yield from clusters(runs)
    yield from seeds(runs)
    yield from latencies(runs)
    yield from areas(runs // 2)
    yield from resampled(runs // 4)
    yield from betting(runs // 4)


def sides(interval: stats.Interval, truth: float | np.ndarray) -> Sides:
    """How often the truth lies to the left and to the right of the interval."""
    close = 1e-9
    left, right = interval.low > truth + close, interval.high < truth - close
    return float(left.mean()), float(right.mean())


def paired() -> Iterator[tuple[str, str, Sides]]:
    """Right and wrong answers: exact probabilities of every table."""
    for n in (100, 200, 500, 1_000, 2_000, 10_000):
        for flips, drop in ((0.02, 0.0), (0.02, 0.01), (0.05, 0.01), (0.1, 0.02), (0.2, 0.0)):
            chance, lost, won = tables(n, (flips + drop) / 2, (flips - drop) / 2)
            right = np.minimum(n - lost - won, round(0.8 * n))
            for method, interval in (
                ("Tango, exact if few", stats.paired_proportions(lost, won, n)),
                ("Newcombe 10", stats.newcombe10(lost, won, n, right)),
            ):
                left = float(chance[interval.low > -drop + 1e-9].sum())
                above = float(chance[interval.high < -drop - 1e-9].sum())
                yield method, f"n {n:,}, flips {flips:.0%}, drop {drop:.0%}", (left, above)


def shares() -> Iterator[tuple[str, str, Sides]]:
    """Plain proportions, summed exactly."""
    for n in (50, 200, 1_000, 10_000):
        for share in (0.005, 0.02, 0.1, 0.5):
            count = np.arange(n + 1)
            chance, interval = binom.pmf(count, n, share), stats.proportion_interval(count, n)
            ends = chance[interval.low > share].sum(), chance[interval.high < share].sum()
            yield "Clopper-Pearson", f"n {n:,}, share {share:.1%}", (float(ends[0]), float(ends[1]))


def means(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Real-valued differences, from none to much of a tail."""
    rng = np.random.default_rng(1)
    for n in (20, 100, 500, 2_000):
        shape = (min(runs, 8_000_000 // n), n)
        large = np.where(rng.random(shape) < 0.05, -rng.beta(2, 2, shape), 0)
        for name, rows, truth in (
            ("normal", rng.normal(size=shape), 0.0),
            ("gamma", rng.gamma(1, 0.1, shape), 0.1),
            ("Brier, 5 % flipped", large + rng.normal(0, 0.02, shape), -0.025),
        ):
            yield "paired mean", f"n {n:,}, {name}", sides(stats.paired_mean(rows), truth)


def clusters(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Five rows a cluster, correlation 0.3: real values, and right or wrong."""
    rng = np.random.default_rng(2)
    for count in (20, 100, 400):
        shape, groups = (min(runs, 4_000), count, 5), np.repeat(np.arange(count), 5)
        shared, own = rng.normal(0, np.sqrt(0.3), (*shape[:2], 1)), rng.normal(size=shape)
        values = (shared + np.sqrt(0.7) * own).reshape(shape[0], -1)
        yield (
            "clustered mean",
            f"{count} clusters, normal",
            sides(stats.paired_mean(values, groups=groups), 0.0),
        )
        for lost, won in ((0.02, 0.02), (0.06, 0.04), (0.1, 0.1)):
            uniform = np.where(
                rng.random(shape) < np.sqrt(0.3), rng.random((*shape[:2], 1)), rng.random(shape)
            )
            rows = np.where(uniform < lost, -1, np.where(uniform < lost + won, 1, 0))
            interval = stats.clustered_proportions(rows.reshape(shape[0], -1), groups)
            case = f"{count} clusters, lost {lost:.0%}, won {won:.0%}"
            yield "clustered proportions", case, sides(interval, won - lost)


def seeds(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Seeds crossed with 200 rows."""
    rng = np.random.default_rng(3)
    for k in (3, 5, 10):
        for spread in (0.0, 0.02, 0.1):
            values = rng.normal(0, 0.2, (runs // 2, k, 200))
            values += rng.normal(0, 0.3, (runs // 2, 1, 200))
            values += rng.normal(0, spread, (runs // 2, k, 1))
            case = f"{k} seeds, spread {spread:g} between them"
            yield "crossed seeds and rows", case, sides(stats.crossed_mean(values), 0.0)


def latencies(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Log-normal latencies, independent and autoregressive."""
    rng = np.random.default_rng(4)
    for rho in (0.0, 0.5, 0.8, 0.9, 0.95):
        noise = rng.normal(size=(min(runs, 2_000), 2_000))
        noise[:, 0] /= np.sqrt(1 - rho**2)
        calls = np.exp(lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=1))
        for q in (0.5, 0.9, 0.99):
            truth, case = float(np.exp(ndtri(q))), f"p{100 * q:g}, autocorrelation {rho:g}"
            plain = "quantile" if rho == 0 else "quantile, neighbours ignored"
            yield plain, case, sides(stats.quantile_interval(calls, q), truth)
            blocks = stats.quantile_interval(calls, q, blocks=10)
            yield "quantile, 10 blocks", case, sides(blocks, truth)


def areas(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """Two scores that share most of their noise."""
    rng = np.random.default_rng(5)
    for n in (100, 400):
        labels = np.arange(n) < 0.3 * n
        common = 1.5 * labels + rng.normal(size=(runs, n))
        one, other = (common + rng.normal(0, 0.5, (runs, n)) for _ in range(2))
        interval = stats.auc_difference(labels, one, other)
        yield "DeLong difference", f"n {n}", sides(interval, 0.0)


def resampled(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """The bootstrap of a skewed mean."""
    rng = np.random.default_rng(6)
    for n in (50, 200):
        ends: dict[str, list[Sides]] = {"BCa": [], "percentile": []}
        for seed in range(runs):
            values = rng.gamma(1, 1, n)
            found = stats.resample(lambda w, v=values: w @ v / len(v), n, draws=1_000, seed=seed)
            ends["BCa"].append(sides(stats.bca_interval(found), 1.0))
            ends["percentile"].append(sides(stats.percentile_interval(found), 1.0))
        for name, pairs in ends.items():
            left, right = np.mean(pairs, axis=0)
            yield f"bootstrap, {name}", f"n {n}, gamma", (float(left), float(right))


def betting(runs: int) -> Iterator[tuple[str, str, Sides]]:
    """At all of 500 times together, so well above 95 % at any one of them."""
    rng = np.random.default_rng(7)
    for share in (0.05, 0.5):
        rows = (rng.random((runs, 500)) < share).astype(float)
        case = f"share {share:.0%}, every t to 500"
        yield "betting", case, sides(stats.betting_interval(rows), share)
        finite = stats.betting_interval(rows[:, :250], population=500)
        case = f"share {share:.0%}, every t to 250 of 500"
        yield "betting, no replacement", case, sides(finite, rows.mean(axis=1))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
