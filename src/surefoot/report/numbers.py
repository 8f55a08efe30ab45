"""The numbers of a bundle, each with its interval: what the cells, the calls and the gate tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.bundle import cell_file
from surefoot.bundle.encode import decode_estimate
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding, place
from surefoot.core.release import Figure
from surefoot.core.within import within
from surefoot.data.columns import read_parquet
from surefoot.evaluate import span_of
from surefoot.gate.samples import Rows

LEVEL = 0.95
"""Two-sided confidence of the intervals that are computed here."""
PLACE = ("dataset", "shift", "severity", "slice")
_TIMES = ("p50_ms", "p99_ms")


def read_figures(folder: Path, model: str, data: Mapping[str, Any]) -> tuple[Figure, ...]:
    """What was measured of one model: metrics by place, latencies, size, memory, checks.

    A metric of single rows is taken from the cells, so that it is the shipped model's own and has
    its own interval; one of whole sets from the calibration, where that has it.

    Args:
        folder: The bundle.
        model: The candidate's name, or the baseline's.
        data: The bundle's verdict.json.

    Raises:
        DataError: A cell cannot be read.
    """
    found = [*_of_rows(folder, model, data), *_of_calibration(model, data)]
    once: dict[tuple[str, str], Figure] = {}
    for figure in found:
        once.setdefault((figure.quantity, figure.where), figure)
    of_model = (*_of_calls(model, data), *_read_off(model, data), *_of_checks(model, data))
    return (*once.values(), *of_model)


def of_findings(findings: Iterable[Finding], known: Sequence[Figure]) -> Iterator[Figure]:
    """What only the gate gave an interval to: metrics of whole sets that have a fixed limit.

    Args:
        findings: A verdict's findings.
        known: The figures of that candidate that there are already.
    """
    there = {(f.quantity, f.where) for f in known}
    for finding in findings:
        rows, budget = finding.paired, finding.budget
        if rows is None or budget.max_drop is not None or rows.metric != budget.quantity:
            continue
        figure = Figure(
            model=rows.candidate,
            quantity=rows.metric,
            estimate=finding.estimate,
            lower_is_better=not rows.higher_is_better,
            dataset=rows.dataset,
            slice=rows.slice,
            shift=rows.shift,
            severity=rows.severity,
        )
        if (figure.quantity, figure.where) not in there:
            there.add((figure.quantity, figure.where))
            yield figure


def without_interval(data: Mapping[str, Any], known: Sequence[Figure]) -> tuple[str, ...]:
    """The metrics that were measured of a candidate and that no figure tells, each with its place.

    Args:
        data: The bundle's verdict.json.
        known: The candidate's figures.
    """
    there = {(f.quantity, f.where) for f in known}
    model = known[0].model if known else ""
    named = (
        (c["metric"], place(*(c[key] for key in PLACE)))
        for c in data["comparisons"]
        if c["candidate"] == model
    )
    return tuple(f"{metric} on {where}" for metric, where in named if (metric, where) not in there)


def _of_rows(folder: Path, model: str, data: Mapping[str, Any]) -> Iterator[Figure]:
    """Metrics of single rows, from the cells."""
    baseline = data["candidates"][0]["name"]
    read: dict[str, dict[str, np.ndarray]] = {}
    told = [c for c in data["comparisons"] if model in (baseline, c["candidate"])]
    for one in {(c["metric"], *(c[key] for key in PLACE)): c for c in told}.values():
        file = cell_file(one["dataset"], one["shift"], one["severity"])
        path = within(folder, "cells", model, file)
        if file not in read:
            read[file] = read_parquet(path) if path.is_file() else {}
        mask = f"slice_{one['slice']}"
        # Hashed evidence holds outcomes and no metric.
        column = "correct" if one["metric"] == "accuracy" else one["metric"]
        if column in read[file] and (one["slice"] is None or mask in read[file]):
            chosen = slice(None) if one["slice"] is None else read[file][mask].astype(bool)
            groups = read[file].get("group")
            yield Figure(
                model=model,
                quantity=one["metric"],
                estimate=_mean(
                    one["metric"],
                    read[file][column][chosen].astype(np.float64),
                    None if groups is None else _coded(groups[chosen]),
                ),
                lower_is_better=not one["higher_is_better"],
                **{key: one[key] for key in PLACE},
            )


def _coded(groups: np.ndarray) -> np.ndarray:
    """(n,) int64, the same for rows of one group, whatever groups are called."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _mean(metric: str, values: np.ndarray, groups: np.ndarray | None = None) -> Estimate:
    """The mean of a metric of rows, by the methods that budgets on it are judged by."""
    n, right, shown = len(values), metric == "accuracy", 0.0
    if right and groups is None:
        found = stats.proportion_interval(values.sum(), n, level=LEVEL)
        method = "Clopper-Pearson"
    else:
        # A share is taken from 1, as the gate takes one that has a lower limit.
        shown = 1.0 if right else 0.0
        rows = Rows(
            gain=values - shown, margin=0.0, groups=groups, span=span_of(metric), answers=right
        )
        found, method = rows.interval(LEVEL), rows.method.replace("paired t", "t")
    ends = (found.value, found.low, found.high)
    value, low, high = (float(np.ravel(end)[0]) + shown for end in ends)
    return Estimate(value=value, low=low, high=high, level=LEVEL, method=method, n=n)


def _of_calibration(model: str, data: Mapping[str, Any]) -> Iterator[Figure]:
    """What confidence is worth as it came, on every test set."""
    for here in (data["calibration"] or {}).get("places", ()):
        if here["candidate"] != model:
            continue
        for name, told in here["before"]["figures"].items():
            yield Figure(
                model=model,
                quantity=name,
                estimate=decode_estimate(told),
                lower_is_better=name != "out_of_scope_auc",
                **{key: here[key] for key in ("dataset", "shift", "severity")},
            )


def _of_calls(model: str, data: Mapping[str, Any]) -> Iterator[Figure]:
    """Latencies, call by call and under load; a run that proves nothing gives none."""
    calls = [{**entry, "load": None} for entry in data["latencies"]]
    served = [entry for entry in data.get("loads", ()) if not entry["invalid"]]
    for entry in (*calls, *served):
        if entry["candidate"] != model:
            continue
        for name in _TIMES:
            yield Figure(
                model=model,
                quantity=name,
                estimate=decode_estimate(entry[name]),
                lower_is_better=True,
                batch=entry["batch"],
                load=entry["load"],
            )


def _read_off(model: str, data: Mapping[str, Any]) -> Iterator[Figure]:
    """Size and memory, which nothing estimates."""
    sizes = {c["name"]: c["size_bytes"] for c in data["candidates"]}
    for name, known in (("size_mb", sizes), ("memory_mb", data["memory"])):
        if model in known:
            value = _exact(known[model] / 1e6)
            yield Figure(model=model, quantity=name, estimate=value, lower_is_better=True)


def _exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value, level=1.0, method="exact", n=1)


def _of_checks(model: str, data: Mapping[str, Any]) -> Iterator[Figure]:
    """The share of rows that fail each behaviour check."""
    for entry in data.get("checks", ()):
        if entry["candidate"] == model and entry["rate"] is not None:
            yield Figure(
                model=model,
                quantity=entry["check"],
                estimate=decode_estimate(entry["rate"]),
                lower_is_better=True,
            )
