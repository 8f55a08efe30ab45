"""Does safe mode cry wolf, and how soon does it see a wolf? Simulated streams of shadow samples.

    python benchmarks/safe_mode.py             200 and 2,000 streams
    python benchmarks/safe_mode.py --mapie     and the bound of MAPIE's monitor on 40 of them
    python benchmarks/safe_mode.py --guard     200 services, from calibration to a second opening
    python benchmarks/safe_mode.py BUNDLE CANDIDATE SET OTHER...   real answers of a bundle's cells

Without drift the two models disagree in 5 % of 5,000 shadow samples. With drift they do so in 5 %
of the first 500 and in 10 % from then on; the delay is counted in shadow samples from there, of
streams that had not alarmed before. Beside the bet on disagreement stands what is usually done: a
binomial test of each chunk of 100 samples at p < .05 against the true rate; and what a bettor needs
who knows beforehand when the drift begins and how large it is.

A service has a lean model that differs from the fallback as often as it is unsure, a threshold of
Learn-then-Test on its calibration rows (alpha 2 %, delta 10 %) and the guard of `surefoot serve`.
5,000 pairs come from where the calibration rows came from; then the lean model differs three times
as often, until an alarm, an opening, and 5,000 pairs more. The risk of a threshold that opens again
is known from a million rows.

Real answers: of each of 200 random splits of SET half of the rows calibrate, the others are what
comes without drift; or the rows of OTHER come, in random order. Told beside: what is then lost.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.stats import binom

from surefoot import stats
from surefoot.bundle import cell_file
from surefoot.data.columns import read_parquet
from surefoot.serve.cascade import GRID
from surefoot.serve.safety import Guard, Terms, pair_record

RATE, WORSE, BEGINS, FALSE = 0.05, 0.10, 500, 0.05
QUIET, LOUD, CHUNK = 5_000, 2_500, 100
ALPHA, DELTA, SERVICES, WORLD = 0.02, 0.1, 200, 3.0


def streams(rng: np.random.Generator, n: int, length: int, begins: int) -> np.ndarray:
    """(n, length) disagreements; drift begins at a row, or nowhere."""
    rate = np.where(np.arange(length) < begins, RATE, WORSE)
    return (rng.random((n, length)) < rate).astype(float)


def first(alarmed: np.ndarray) -> np.ndarray:
    """Where each stream alarms first; its length where it never does."""
    return np.where(alarmed.any(axis=1), alarmed.argmax(axis=1), alarmed.shape[1])


def bet(rows: np.ndarray, rng: np.random.Generator, reference: int | None) -> np.ndarray:
    """Alarms of the bet, the rate known or taken from a reference of so many rows."""
    rate, alpha = np.full(len(rows), RATE), FALSE
    if reference:
        alpha = FALSE / 2
        rate = stats.highest_rate(rng.binomial(reference, RATE, len(rows)), reference, alpha)
    capital = stats.excess_capital(rows, rate=rate, alpha=alpha)
    return first(capital >= (1 - 1e-6) / alpha)


def foreseen(rows: np.ndarray) -> np.ndarray:
    """Alarms of who knows beforehand from which sample on the rate is which: nobody is quicker."""
    ratios = np.where(rows == 1, WORSE / RATE, (1 - WORSE) / (1 - RATE))
    ratios[:, :BEGINS] = 1
    return first(np.cumprod(ratios, axis=1) >= 1 / FALSE)


def chunks(rows: np.ndarray) -> np.ndarray:
    """Alarms of a test of each chunk."""
    counted = rows.reshape(len(rows), -1, CHUNK).sum(axis=2)
    at = first(binom.sf(counted - 1, CHUNK, RATE) < 0.05)
    return np.minimum((at + 1) * CHUNK - 1, rows.shape[1])


def mapie(rows: np.ndarray) -> np.ndarray:
    """Alarms of the bound that MAPIE's monitor of a risk uses, against the true rate."""
    from mapie.exchangeability_testing.risk_monitoring import (
        conjugate_mixture_empirical_bernstein_bound as bound,
    )

    variance = RATE * (1 - RATE) * 1_000
    low = [bound(row, v_opt=variance, alpha=2 * FALSE, bound_side="lower") for row in rows]
    return first(np.array(low) > RATE)


def tell(name: str, quiet: np.ndarray, loud: np.ndarray, length: int = QUIET) -> None:
    """One line: false alarms and delay."""
    false = int((quiet < length).sum())
    ends = stats.proportion_interval(false, len(quiet))
    late = loud[loud >= BEGINS] - BEGINS + 1
    quarter, median, most = np.percentile(late, [25, 50, 75])
    print(
        f"{name:<34} false alarms {false / len(quiet):6.1%} [{float(ends.low):.1%},"
        f" {float(ends.high):.1%}] of {len(quiet):,}; delay {median:.0f}, half of them"
        f" {quarter:.0f} to {most:.0f}; before the drift {(loud < BEGINS).mean():.1%}",
        flush=True,
    )


def drawn(rng: np.random.Generator, n: int, worse: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and whether the fallback answers otherwise."""
    confidence = 0.5 + 0.5 * rng.beta(2, 0.5, n)
    return confidence, rng.random(n) < worse * (1 - confidence)


def terms(
    confidence: np.ndarray, differs: np.ndarray, wrong: np.ndarray | None = None
) -> Terms | None:
    """What a service starts from; None where its calibration rows show nothing."""
    loss = differs if wrong is None else wrong
    lost = ((confidence[:, None] >= GRID) & loss[:, None]).sum(axis=0)
    place = stats.last_threshold(lost, len(loss), alpha=ALPHA, delta=DELTA)
    if place is None:
        return None
    stands = confidence >= GRID[place]
    accepted, disagreed = int(stands.sum()), int((stands & differs).sum())
    return Terms(
        key="", threshold=float(GRID[place]), strict=None, max_error=ALPHA, delta=DELTA,
        false_alarm=FALSE, accepted=accepted, disagreed=disagreed, shadow=0.02, stuck="",
        limit=float(stats.highest_rate(disagreed, accepted, FALSE / 2)),
        grid=tuple(GRID[: place + 1].tolist()),
    )  # fmt: skip


def fed(guard: Guard, rng: np.random.Generator, worse: float, most: int) -> tuple[int, int]:
    """Pairs, and those of accepted answers, until the guard turns or there have been so many."""
    return shown(guard, *drawn(rng, most, worse))


def shown(guard: Guard, confidence: np.ndarray, differs: np.ndarray) -> tuple[int, int]:
    """The same of rows that are there."""
    epoch, accepted = guard.state.epoch, 0
    threshold = guard.state.threshold or guard.terms.threshold
    for i, (sure, other) in enumerate(zip(confidence, differs, strict=True), 1):
        stands = bool(sure >= threshold)
        accepted += stands
        guard.pair(pair_record(confidence=sure, agreed=not other, accepted=stands, epoch=epoch))
        if guard.state.epoch != epoch:
            return i, accepted
    return len(confidence), accepted


def services(n: int) -> None:
    """One line for a number of calibration rows."""
    rng = np.random.default_rng(n)
    sure, differs = drawn(rng, 1_000_000, WORLD)
    false, missed, again, broken, delays, waits, shares = 0, 0, 0, 0, [], [], []
    guards = [
        Guard(one, None) for one in (terms(*drawn(rng, n, 1.0)) for _ in range(SERVICES)) if one
    ]
    for guard in guards:
        fed(guard, rng, 1.0, QUIET)
        if guard.state.mode == "alarm":
            false += 1
            continue
        delay = fed(guard, rng, WORLD, 20_000)[1]
        if guard.state.mode == "normal":
            missed += 1
            continue
        delays.append(delay)
        waited = 0
        while guard.state.mode == "alarm" and waited < 20_000:
            waited += fed(guard, rng, WORLD, 20_000)[0]
        if guard.state.mode == "normal":
            waits.append(waited)
            stands = sure >= guard.state.threshold
            broken += (stands & differs).mean() > ALPHA
            shares.append(stands.mean())
            fed(guard, rng, WORLD, QUIET)
            again += guard.state.mode == "alarm"
    print(
        f"{n:>5} calibration rows: false alarms {false} of {len(guards)}; drift missed"
        f" {missed}, delay {np.median(delays):.0f} accepted pairs; opened again"
        f" {len(waits)} of {len(delays)} after {np.median(waits):.0f} pairs,"
        f" {broken} of them above {ALPHA:.0%}, the lean model answering"
        f" {np.mean(shares):.1%}; false alarms after that {again}",
        flush=True,
    )


def real(path: Path, candidate: str, dataset: str, others: list[str]) -> None:
    """One line for no drift, and one for each other set that comes instead."""

    def answers(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lean, big = (
            read_parquet(path / "cells" / who / cell_file(name, "", 0.0))
            for who in (candidate, "baseline")
        )
        wrong = ~lean["correct"] & big["correct"]
        return lean["confidence"].astype(float), lean["predicted"] != big["predicted"], wrong

    rng = np.random.default_rng(0)
    cells = {name: answers(name) for name in (dataset, *others)}
    confidence, differs, wrong = cells[dataset]
    found: dict[str, list[int]] = {name: [] for name in (dataset, *others)}
    risks: dict[str, list[float]] = {name: [] for name in found}
    started = 0
    for _ in range(SERVICES):
        order = rng.permutation(len(wrong))
        own, rest = order[: len(order) // 2], order[len(order) // 2 :]
        start = terms(confidence[own], differs[own], wrong[own])
        if start is None:
            continue
        started += 1
        for name in found:
            sure, other, lost = cells[name]
            rows = rest if name == dataset else rng.permutation(len(sure))
            guard = Guard(start, None)
            _, seen = shown(guard, sure[rows], other[rows])
            found[name] += [seen] * (guard.state.mode == "alarm")
            risks[name].append(float((lost[rows] & (sure[rows] >= start.threshold)).mean()))
    for name, seen in found.items():
        median = f", after {np.median(seen):.0f} answers that stood in the median" if seen else ""
        print(
            f"{dataset}, then {name}: {len(seen)} of {started} alarmed{median};"
            f" lost {np.mean(risks[name]):.2%} of all, promised {ALPHA:.0%}",
            flush=True,
        )


def main() -> None:
    """A line for each method and number of streams."""
    if len(sys.argv) > 4:
        real(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
        return
    if "--guard" in sys.argv:
        for n in (300, 1_000, 5_000):
            services(n)
        return
    for n in (200, 2_000):
        rng = np.random.default_rng(n)
        quiet, loud = streams(rng, n, QUIET, QUIET), streams(rng, n, LOUD, BEGINS)
        for reference in (None, 5_000, 1_000):
            name = f"bet, reference of {reference:,}" if reference else "bet, rate known"
            tell(name, bet(quiet, rng, reference), bet(loud, rng, reference))
        tell("foreseen, rate known", foreseen(quiet), foreseen(loud))
        tell(f"test of each {CHUNK}, rate known", chunks(quiet), chunks(loud))
    if "--mapie" in sys.argv:
        rng = np.random.default_rng(40)
        quiet, loud = streams(rng, 40, 1_500, 1_500), streams(rng, 40, 1_500, BEGINS)
        tell("MAPIE, rate known, 1,500 samples", mapie(quiet), mapie(loud), 1_500)
        tell("bet, the same samples", bet(quiet, rng, None), bet(loud, rng, None), 1_500)


if __name__ == "__main__":
    main()
