"""The figures of a report, from its content to plots with their tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from surefoot.report.content import Content, Front
from surefoot.report.svg.bars import Bar, bars_plot
from surefoot.report.svg.front import front_plot
from surefoot.report.svg.reliability import Confidence, coverage_plot, reliability_plot
from surefoot.report.svg.spread import Spread, spread_plot
from surefoot.report.tables import Table, as_table
from surefoot.report.timings import SHARES

CONFIDENCE = (
    "Left: on the dashed diagonal confidence is true; bars are where 95 % of bins would lie if it"
    " were. Right: accuracy if the model abstains from the answers that it is least sure of, with"
    " 95 % intervals."
)
SETS = 4
"""Test sets whose confidence is drawn; the table has all."""


def front_figure(front: Front) -> str:
    """The front; empty where there is nothing to draw.

    Args:
        front: The candidates.
    """
    if len(front.points) < 2:
        return ""
    return front_plot(front.points, cost=front.cost, gain=front.gain, limit=front.limit)


def front_table(front: Front) -> Table:
    """The front's numbers; a candidate's number is that of the plot.

    Args:
        front: The candidates.
    """
    rows = []
    for i, p in enumerate(front.points):
        high = "none" if math.isinf(p.cost_high) else f"{p.cost_high:.3g}"
        ends = "" if p.cost_low == p.cost_high else f" [{p.cost_low:.3g}, {high}]"
        low, up = ("none" if math.isinf(v) else f"{v:+.3g}" for v in (p.low, p.high))
        change = f"{p.gain:+.3g} [{low}, {up}]" if p.outcome else ""
        ahead = "yes" if p.on_front else ""
        rows.append((str(i), p.name, f"{p.cost:.3g}{ends}", change, p.subject, ahead))
    header = ("no.", "candidate", front.cost, "difference", "of", "on the front")
    return as_table(front.gain, header, rows)


def speed_figures(content: Content) -> Iterator[dict[str, Any]]:
    """How latencies are spread, a figure for each batch size and load.

    Args:
        content: The report.
    """
    for one in content.timings:
        drawn = [s for s in one.spreads if math.isfinite(s.p50[0])]
        if not drawn:
            continue
        name = f"latency, {one.title}"
        rows = [(s.name, _ends(s.p50), _ends(s.p99), *_shares(s), f"{s.n:,}") for s in one.spreads]
        header = ("candidate", "p50 ms", "p99 ms", "p5", "p25", "p75", "p95", "calls")
        yield {
            "name": name,
            "caption": f"Latency, {one.title}. The dot is the median, the box the middle half, the"
            " thin line 5 to 95 %, the upright stroke the 99th percentile with its interval"
            + (", the dashed line the budget." if one.limits else "; no budget limits it."),
            "plot": spread_plot(drawn, one.limits, title=name),
            "tables": [as_table(name, header, rows)],
        }


def confidence_figures(content: Content) -> Iterator[dict[str, Any]]:
    """Reliability diagram and risk-coverage curve of the baseline and the candidate.

    Args:
        content: The report.
    """
    found = content.data["calibration"]
    if found is None:
        return
    places = {(p["candidate"], p["dataset"]): p for p in found["places"] if not p["shift"]}
    names = (content.baseline, content.candidate)
    sets = [d for d in dict.fromkeys(key[1] for key in places) if (names[1], d) in places]
    for dataset in sets[:SETS]:
        shown = [
            _confidence(n, places[n, dataset]["before"]) for n in names if (n, dataset) in places
        ]
        yield {
            "name": dataset,
            "caption": f"{dataset}, probabilities as they came. {CONFIDENCE}",
            "reliability": reliability_plot(shown, f"on {dataset}"),
            "coverage": coverage_plot(shown, f"on {dataset}"),
            "tables": [_bins(shown, dataset), _kept(shown, dataset)],
        }


def ablation_figure(found: Mapping[str, Any] | None) -> str:
    """What each change of the recommended candidate does; empty where nothing was varied.

    Args:
        found: `search` of verdict.json.
    """
    variants = [v for v in (found or {}).get("ablation", ()) if v["gain"] is not None]
    if not variants:
        return ""
    bars = [
        Bar(name=v["what"], **{key: 100 * v["gain"][key] for key in ("value", "low", "high")})
        for v in variants
    ]
    return bars_plot(bars, name="accuracy, pp", title="accuracy after one change, difference in pp")


def _confidence(name: str, found: Mapping[str, Any]) -> Confidence:
    bins = [(b["confidence"], b["accuracy"], b["low"], b["high"], b["n"]) for b in found["bins"]]
    curve = [
        (k["coverage"], *(k["accuracy"][key] for key in ("value", "low", "high")))
        for k in found["curve"]
    ]
    known = [
        (at, v, 0.0 if low is None else low, 1.0 if high is None else high)
        for at, v, low, high in curve
    ]
    return Confidence(name=name, bins=tuple(bins), curve=tuple(known))


def _bins(shown: list[Confidence], dataset: str) -> Table:
    rows = [
        (one.name, f"{b[0]:.3f}", f"{b[1]:.3f}", f"{b[2]:.3f} to {b[3]:.3f}", f"{b[4]:,}")
        for one in shown
        for b in one.bins
    ]
    header = ("candidate", "confidence", "share right", "if confidence is true", "n")
    return as_table(f"reliability on {dataset}", header, rows)


def _kept(shown: list[Confidence], dataset: str) -> Table:
    rows = [
        (one.name, f"{at:.1f}", f"{value:.3f} [{low:.3f}, {high:.3f}]")
        for one in shown
        for at, value, low, high in one.curve
    ]
    return as_table(f"accuracy by coverage on {dataset}", ("candidate", "answered", "right"), rows)


def _ends(found: tuple[float, float, float]) -> str:
    value, low, high = found
    if math.isinf(high):
        return f"at least {low:.3g}"
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _shares(spread: Spread) -> list[str]:
    return [f"{spread.quantiles[q]:.3g}" if spread.quantiles else "" for q in SHARES]
