"""Where accuracy says "equal" and changed answers or a shift say otherwise.

    python benchmarks/shift_matrix.py RUN ... [--all]

RUN is the folder of a finished run, or its bundle. Of every candidate that looks equal to the
baseline on the rows as they came (the 90 % interval of the difference lies within one point, or
the exact McNemar test is not significant at 5 %), it prints those places, as they came or under a
shift, where 2 % of the answers changed or more, or where accuracy fell significantly by Holm over
all places of the run. `--all` prints every place.

Rows in groups are not independent, and the tests here take them as if they were: the gate's own
findings know better.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from surefoot import stats
from surefoot.bundle import read_verdict_json
from surefoot.core.evidence import place
from surefoot.report.terminal import table

MARGIN, ALPHA, MANY = 0.01, 0.05, 0.02
HEADER = ("candidate", "place", "n", "baseline", "change [90 %]", "flips", "lost/won/other", "p")


def compared(folder: Path) -> list[dict[str, Any]]:
    """The comparisons of accuracy on whole test sets, each with its test."""
    data = read_verdict_json(folder / "bundle" if (folder / "bundle").is_dir() else folder)
    found = [c for c in data["comparisons"] if c["metric"] == "accuracy" and c["slice"] is None]
    if not found:
        return []
    lost, won, n = (np.array([c[key] for c in found]) for key in ("lost", "won", "n"))
    ends = stats.paired_proportions(lost, won, n, level=1 - 2 * ALPHA)
    # McNemar (1947), exact and two-sided: the words "not significantly different" mean this one.
    p = np.minimum(1, 2 * binom.cdf(np.minimum(lost, won), lost + won, 0.5))
    columns = zip(ends.low.tolist(), ends.high.tolist(), p.tolist(), stats.holm(p), strict=True)
    for one, (low, high, chance, adjusted) in zip(found, columns, strict=True):
        one |= {"low": low, "high": high, "p": chance, "adjusted": float(adjusted)}
        one["flips"] = one["lost"] + one["won"] + one["other"]
    return found


def equal(one: Mapping[str, Any]) -> bool:
    """Whether accuracy alone would call the two equal."""
    within = one["low"] >= -MARGIN and one["high"] <= MARGIN
    return within or one["p"] > ALPHA


def otherwise(one: Mapping[str, Any]) -> bool:
    """Whether many answers changed, or accuracy fell for certain."""
    fell = one["lost"] > one["won"] and one["adjusted"] <= ALPHA
    return fell or one["flips"] >= MANY * one["n"]


def points(one: Mapping[str, Any]) -> str:
    """The change of accuracy in points, with its interval."""
    change = (one["won"] - one["lost"]) / one["n"]
    low, high = one["low"], one["high"]
    return f"{100 * change:+.1f} pp [{100 * low:+.1f}, {100 * high:+.1f}]"


def told(found: Sequence[Mapping[str, Any]], *, every: bool) -> Iterator[list[str]]:
    """A line for each place that contradicts a clean "equal"."""
    clean = defaultdict(bool) | {
        (c["candidate"], c["dataset"]): equal(c) for c in found if not c["shift"]
    }
    for c in found:
        if every or (clean[c["candidate"], c["dataset"]] and otherwise(c)):
            yield [
                c["candidate"],
                place(c["dataset"], c["shift"], c["severity"], None),
                f"{c['n']:,}",
                f"{c['baseline']:.3f}",
                points(c),
                f"{c['flips']:,} ({c['flips'] / c['n']:.1%})",
                f"{c['lost']}/{c['won']}/{c['other']}",
                f"{c['p']:.2g}",
            ]


def main(*words: str) -> None:
    """Print a table for each run."""
    for run in (word for word in words if not word.startswith("--")):
        found = compared(Path(run))
        lines = list(told(found, every="--all" in words))
        alike = [c for c in found if not c["shift"] and equal(c)]
        print(f"{run}: {len(found)} cells of accuracy; {len(alike)} clean ones look equal")
        print(*(table(HEADER, lines) if lines else ["nothing says otherwise"]), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
