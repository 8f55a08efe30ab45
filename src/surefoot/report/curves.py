"""What to draw along axes of hardship: envelopes, and shifts of several severities."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.report.envelope import UNITS
from surefoot.report.places import PlaceLine, shown_change
from surefoot.report.svg.curve import SERIES, Curve, curve_plot
from surefoot.report.tables import Table, as_table
from surefoot.report.terminal import PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Plotted:
    """A plot with its words and its table."""

    name: str
    """What it is of."""
    caption: str
    """What to see in it."""
    plot: str
    """The SVG."""
    table: Table
    """Its numbers."""


def envelope_plots(envelopes: Sequence[Mapping[str, Any]], candidate: str) -> Iterator[Plotted]:
    """One plot for each axis and test set that was followed until models fail.

    Args:
        envelopes: As `verdict.json` has them, the baseline first along each axis.
        candidate: The candidate that is drawn first.
    """
    for axis, dataset in dict.fromkeys((e["axis"], e["dataset"]) for e in envelopes):
        here = [e for e in envelopes if (e["axis"], e["dataset"]) == (axis, dataset)]
        drawn = sorted(here[1:], key=lambda e: e["candidate"] != candidate)[: SERIES - 1]
        shift = axis not in UNITS
        share = shift or axis == "deadline"
        scale = 100 if share else 1
        y_name = "drop of accuracy, pp" if shift else "late answers, %" if share else "p99, ms"
        curves = [_curve(e, scale) for e in (here[0], *drawn)]
        rows = [
            [
                e["candidate"],
                f"{p['at']:.3g}",
                f"{scale * p['value']:.3g}",
                f"{p['n']:,}",
                p["side"],
            ]
            for e in here
            for p in e["probes"]
            if p["value"] is not None
        ]
        name = f"{axis} on {dataset}" if shift else axis
        yield Plotted(
            name=name,
            caption=f"{name}. Each line is a model; dashed is what is allowed. Below, each model is"
            " shown to hold along the thin line, and leaves the limit inside the box"
            f" (all boxes together at {100 * here[0]['level']:g} %).",
            plot=curve_plot(
                curves,
                x_name=axis if shift else f"{axis}, {UNITS[axis]}",
                y_name=y_name,
                limit=scale * here[0]["limit"],
                log=not shift,
            ),
            table=as_table(name, ("candidate", "at", y_name, "n", "shown"), rows),
        )


def shift_plots(places: Sequence[PlaceLine], candidate: str) -> Iterator[Plotted]:
    """One plot for each shift that was measured at several severities; a line a test set.

    Args:
        places: All places.
        candidate: The candidate.
    """
    metric = places[0].metric
    mine = [p for p in places if (p.candidate, p.metric, p.slice) == (candidate, metric, None)]
    scale, unit = (100, "pp") if metric in PERCENT else (1, "")
    for shift in dict.fromkeys(p.shift for p in mine if p.shift):
        if len({p.severity for p in mine if p.shift == shift}) < 2:
            continue
        sets = list(dict.fromkeys(p.dataset for p in mine if p.shift == shift))
        of = {name: _along(mine, name, shift) for name in sets}
        y_name = f"{metric}, {candidate} minus baseline, {unit}".removesuffix(", ")
        drawn = sorted(sets, key=lambda name: -max(p.may_lose for p in of[name]))[:SERIES]
        rows = [[n, f"{p.severity:g}", shown_change(p), f"{p.n:,}"] for n in sets for p in of[n]]
        more = f" Drawn are the {SERIES} that may have lost most." if len(sets) > SERIES else ""
        yield Plotted(
            name=f"{shift} by severity",
            caption=f"{shift} by severity, with the interval of each difference; 0 is the rows as"
            f" they came.{more}",
            plot=curve_plot(
                [_series(name, of[name], scale) for name in drawn],
                x_name=f"severity of {shift}",
                y_name=y_name,
                limit=None,
            ),
            table=as_table(
                shift, ("test set", "severity", f"difference, {unit}".removesuffix(", "), "n"), rows
            ),
        )


def _along(places: Sequence[PlaceLine], dataset: str, shift: str) -> list[PlaceLine]:
    here = [p for p in places if p.dataset == dataset and p.shift in ("", shift)]
    return sorted(here, key=lambda p: p.severity)


def _series(name: str, places: Sequence[PlaceLine], scale: float) -> Curve:
    points = [
        (p.severity, scale * e.value, scale * e.low, scale * e.high)
        for p in places
        if (e := p.delta) is not None
    ]
    return Curve(name=name, points=tuple(points))


def _curve(one: Mapping[str, Any], scale: float) -> Curve:
    known = [p for p in one["probes"] if p["value"] is not None]
    found = [(p["at"], scale * p["value"]) for p in known]
    points = [(at, value, value, value) for at, value in found]
    more = one["harder_is"] == "more"
    easy, hard = (0.0, math.inf) if more else (math.inf, 0.0)
    held = easy if one["holds_to"] is None else one["holds_to"]
    fails = hard if one["fails_at"] is None else one["fails_at"]
    return Curve(name=one["candidate"], points=tuple(points), bracket=(held, fails))
