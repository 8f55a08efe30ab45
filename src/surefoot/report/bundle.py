"""The terminal form of a bundle: verdict first, then why, then the verdict again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.bundle import read_bundle, read_verdict_json
from surefoot.core.evidence import Bundle
from surefoot.gate import best, exit_code
from surefoot.report.terminal import findings_table, table, verdict_line


def bundle_lines(path: Path) -> list[str]:
    """A bundle for the terminal; the first and the last line are the verdict."""
    bundle, data = read_bundle(path), read_verdict_json(path)
    first = best(bundle.verdicts, data["costs"])
    order = [v.candidate for v in sorted(bundle.verdicts, key=lambda v: data["costs"][v.candidate])]
    parts = [
        [verdict_line(first)],
        table(("outcome", "candidate", "MB", "made in s"), list(_candidates(bundle, data, order))),
        _matrix(data["comparisons"], order),
        _latencies(data),
        [f"{first.candidate}, budget by budget:", *findings_table(first)],
        list(_remarks(bundle, data)),
        [verdict_line(first)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part).splitlines()


def bundle_exit_code(path: Path) -> int:
    """The exit code of a bundle's best verdict."""
    bundle, data = read_bundle(path), read_verdict_json(path)
    return exit_code(best(bundle.verdicts, data["costs"]))


def _candidates(
    bundle: Bundle, data: Mapping[str, Any], order: Sequence[str]
) -> Iterator[list[str]]:
    outcomes = {v.candidate: v.outcome for v in bundle.verdicts}
    listed = {c["name"]: c for c in data["candidates"]}
    for name in (data["candidates"][0]["name"], *order):
        made = listed[name]["made_in"]["wall_s"]
        size = listed[name]["size_bytes"] / 1e6
        yield [outcomes.get(name, ""), name, f"{size:.1f}", f"{made:.1f}" if made else ""]


def _matrix(comparisons: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[str]:
    """The mean metric of every candidate in every place, with answers lost/won."""
    cells = {(c["dataset"], c["slice"], c["candidate"]): c for c in comparisons}
    places = dict.fromkeys((c["dataset"], c["slice"]) for c in comparisons)
    rows = []
    for dataset, part in places:
        here = [cells[dataset, part, name] for name in order]
        name = f"{dataset} [{part}]" if part else dataset
        row = [f"{name} (n={here[0]['n']:,})", f"{here[0]['baseline']:.3f}"]
        rows.append(row + [f"{c['value']:.3f} ({c['lost']}/{c['won']})" for c in here])
    metric = comparisons[0]["metric"]
    return [f"{metric}, with answers lost/won:", *table(("", "baseline", *order), rows)]


def _latencies(data: Mapping[str, Any]) -> list[str]:
    if not data["latencies"]:
        return []
    rows = [
        [
            entry["candidate"],
            str(entry["batch"]),
            *(_interval(entry[key]) for key in ("p50_ms", "p99_ms", "p50_cpu_ms")),
            str(entry["p50_ms"]["n"]),
        ]
        for entry in data["latencies"]
    ]
    header = ("milliseconds a call", "batch", "p50", "p99", "p50 CPU", "calls")
    return table(header, rows)


def _interval(estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return "too few calls"
    if estimate["high"] is None:  # too few calls for an upper end, so no point estimate either
        return f"at least {estimate['low']:.3g}"
    return f"{estimate['value']:.3g} [{estimate['low']:.3g}, {estimate['high']:.3g}]"


def _remarks(bundle: Bundle, data: Mapping[str, Any]) -> Iterator[str]:
    for entry in data["noise"]:
        ratio = _interval(entry["ratio"])
        yield f"noise floor: the baseline against itself at batch {entry['batch']}: {ratio} x"
    for line in data["warnings"]:
        yield f"warning: {line}"
    for name, why in data["failed"].items():
        yield f"not made: {name}: {why}"
    if len(bundle.verdicts) > 1:
        tried = len(bundle.verdicts)
        yield f"{tried} candidates were judged on the same rows and share their alpha (Holm)."
    yield f"evidence: {bundle.path}"
