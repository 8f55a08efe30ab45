"""The terminal form of a bundle: verdict first, then why, then the verdict again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surefoot.bundle import bundle_of, read_verdict_json
from surefoot.core.evidence import Bundle, Use, Verdict, place
from surefoot.core.printable import printable
from surefoot.core.waiver import Waived
from surefoot.gate import best, exit_code, released
from surefoot.ledger import LEDGER
from surefoot.report.calibration import calibration_lines
from surefoot.report.checks import check_lines
from surefoot.report.costs import cost_lines
from surefoot.report.diagnosis import diagnosis_lines
from surefoot.report.envelope import envelope_lines, fails_first
from surefoot.report.load import deadline_lines, load_lines, load_remarks
from surefoot.report.search import search_lines
from surefoot.report.slices import found_lines, worst_line
from surefoot.report.terminal import (
    decided,
    findings_table,
    interval,
    table,
    verdict_line,
)
from surefoot.report.waivers import waived_line, waived_of, waiver_lines


def bundle_lines(path: Path, data: Mapping[str, Any] | None = None) -> list[str]:
    """A bundle for the terminal; the first and the last line are the verdict.

    Args:
        path: The bundle.
        data: Its `verdict.json`, for who has read it: in a large run that takes a second.
    """
    data = read_verdict_json(path) if data is None else data
    bundle = bundle_of(path, data)
    first, waived, line = _first(bundle, data)
    order = [v.candidate for v in sorted(bundle.verdicts, key=lambda v: data["costs"][v.candidate])]
    parts = [
        [line, *_doubts(data), *fails_first(data.get("envelopes", ()))],
        table(
            ("outcome", "candidate", "MB", "made in s", "decided by"),
            list(_candidates(bundle.verdicts, data, order)),
        ),
        search_lines(data.get("search")),
        _matrix(data["comparisons"], order),
        _latencies(data),
        *_regimes(data),
        [
            f"{first.candidate}, budget by budget:",
            *findings_table(first),
            *worst_line(data.get("worst", ()), first.candidate),
        ],
        waiver_lines(waived),
        found_lines(data.get("found_slices")),
        cost_lines(data),
        list(remark_lines(bundle, data)),
        [line],
    ]
    return [printable(line) for line in _spaced(parts)]


def evaluation_lines(data: Mapping[str, Any], use: Use) -> list[str]:
    """What was measured for the terminal, without a verdict.

    Args:
        data: As `bundle.described` gives it.
        use: Which use of the test sets it was.
    """
    everyone = [c["name"] for c in data["candidates"]]
    order = sorted(everyone[1:], key=data["costs"].__getitem__)
    rows = [row[1:] for row in _candidates((), data, order)]
    parts = [
        list(_doubts(data)),
        table(("candidate", "MB", "made in s"), [row[:3] for row in rows]),
        _matrix(data["comparisons"], order),
        _latencies(data),
        *_regimes(data),
        found_lines(data["found_slices"]),
        cost_lines(data),
        [*_measured(data), *_spent(use), "nothing was judged: surefoot run does that"],
    ]
    return [printable(line) for line in _spaced(parts)]


def _spaced(parts: Iterable[Sequence[str]]) -> list[str]:
    """The lines of all parts that have any, an empty line between them."""
    return "\n\n".join("\n".join(part) for part in parts if part).split("\n")


def bundle_exit_code(path: Path, data: Mapping[str, Any] | None = None) -> int:
    """The exit code of a bundle's best verdict; 0 where all that is open is waived.

    Args:
        path: The bundle.
        data: Its `verdict.json`, for who has read it.
    """
    data = read_verdict_json(path) if data is None else data
    bundle = bundle_of(path, data)
    first, waived, _ = _first(bundle, data)
    return 0 if released(first, waived) else exit_code(first)


def bundle_line(path: Path, data: Mapping[str, Any]) -> str:
    """The first line of `bundle_lines`: the best verdict, and who answers for what is open.

    Args:
        path: The bundle.
        data: Its `verdict.json`.
    """
    return _first(bundle_of(path, data), data)[2]


def _first(bundle: Bundle, data: Mapping[str, Any]) -> tuple[Verdict, Waived, str]:
    """The best verdict, the waivers, and the line that tells of both."""
    first = best(bundle.verdicts, data["costs"])
    waived = waived_of(data, bundle.verdicts, bundle.path)
    return first, waived, verdict_line(first) + waived_line(first, waived)


def _candidates(
    judged: Sequence[Verdict], data: Mapping[str, Any], order: Sequence[str]
) -> Iterator[list[str]]:
    verdicts = {v.candidate: v for v in judged}
    listed = {c["name"]: c for c in data["candidates"]}
    for name in (data["candidates"][0]["name"], *order):
        made = listed[name]["made_in"]["wall_s"]
        size = listed[name]["size_bytes"] / 1e6
        row = [name, f"{size:.1f}", f"{made:.1f}" if made else ""]
        verdict = verdicts.get(name)
        yield [verdict.outcome, *row, decided(verdict)] if verdict else ["", *row, ""]


def _matrix(comparisons: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[str]:
    """Each metric of every candidate in every place; the first with answers lost/won."""
    lines: list[str] = []
    metrics = list(dict.fromkeys(c["metric"] for c in comparisons))
    for metric in metrics:
        here = [c for c in comparisons if c["metric"] == metric]
        counted = metric == metrics[0]
        title = f"{metric}, with answers lost/won:" if counted else f"{metric}:"
        rows = _matrix_rows(here, order, counted=counted)
        lines += [*([""] if lines else []), title, *table(("", "baseline", *order), rows)]
    return lines


def _matrix_rows(
    comparisons: Sequence[Mapping[str, Any]], order: Sequence[str], *, counted: bool
) -> list[list[str]]:
    keys = ("dataset", "shift", "severity", "slice")
    cells = {(*(c[key] for key in keys), c["candidate"]): c for c in comparisons}
    rows = []
    for where in dict.fromkeys(tuple(c[key] for key in keys) for c in comparisons):
        here = [cells[*where, name] for name in order]
        name = place(*where)
        row = [f"{name} (n={here[0]['n']:,})", _value(here[0]["baseline"])]
        changes = [f" ({c['lost']}/{c['won']})" if counted else "" for c in here]
        values = (f"{_value(c['value'])}{change}" for c, change in zip(here, changes, strict=True))
        rows.append([*row, *values])
    return rows


def _value(value: float | None) -> str:
    """Three decimals; nothing where a metric could not be computed."""
    return "" if value is None else f"{value:.3f}"


def _latencies(data: Mapping[str, Any]) -> list[str]:
    if not data["latencies"]:
        return []
    rows = [
        [
            entry["candidate"],
            str(entry["batch"]),
            *(interval(entry[key]) for key in ("p50_ms", "p99_ms", "p50_cpu_ms")),
            str(entry["p50_ms"]["n"]),
        ]
        for entry in data["latencies"]
    ]
    header = ("milliseconds a call", "batch", "p50", "p99", "p50 CPU", "calls")
    return table(header, rows)


def _regimes(data: Mapping[str, Any]) -> list[list[str]]:
    """Everything but the cells and the calls: a table each, of what the plan asked for."""
    return [
        diagnosis_lines(data.get("diagnoses", ())),
        load_lines(data),
        deadline_lines(data),
        calibration_lines(data["calibration"]),
        check_lines(data.get("checks", [])),
        envelope_lines(data.get("envelopes", ())),
    ]


def _doubts(data: Mapping[str, Any]) -> Iterator[str]:
    """Why the baseline may be broken, where nobody can miss it: a PASS beside it proves nothing."""
    return (printable(f"warning: {line}") for line in data.get("doubts", ()))


def _measured(data: Mapping[str, Any]) -> Iterator[str]:
    """What to know of the measurements."""
    if data["repeat"]:
        rows, flips = data["repeat"]["rows"], data["repeat"]["flips"]
        yield f"noise floor: asked again, the baseline gave {flips} of {rows:,} rows another answer"
    for entry in data["noise"]:
        ratio = interval(entry["ratio"])
        line = f"noise floor: the baseline against itself at batch {entry['batch']}: {ratio} x"
        known = entry["foreign"] is not None
        yield f"{line}; others used {entry['foreign']:.1%} of the processors" if known else line
    yield from load_remarks(data)
    yield f"answers were taken {data['batch']} rows a call; dynamic int8 can depend on that"
    for line in data["warnings"]:
        yield f"warning: {printable(line)}"
    for name, why in data["failed"].items():
        yield printable(f"not made: {name}: {why}")
    for comparison in data["comparisons"]:
        yield from _seeds(comparison)


def remark_lines(bundle: Bundle, data: Mapping[str, Any]) -> Iterator[str]:
    """What to know of the measurements, and how often these test sets were looked at.

    Args:
        bundle: The bundle.
        data: Its `verdict.json`.
    """
    yield from _measured(data)
    if len(bundle.verdicts) > 1:
        tried = len(bundle.verdicts)
        yield f"{tried} candidates were judged on the same rows and share their alpha (Holm)."
    if bundle.verdicts[0].tried > len(bundle.verdicts):
        yield f"{bundle.verdicts[0].tried} candidates were tried before these were chosen"
    yield from _spent(bundle.verdicts[0].use)
    yield f"evidence: {bundle.path}"


def _spent(use: Use | None) -> Iterator[str]:
    if use is not None:
        which = "first use" if use.count == 1 else f"use {use.count}"
        yield (
            f"this was the {which} of these test sets: it spent {100 * use.share:.2g} % of alpha,"
            f" and later uses have {100 * use.left:.2g} % left ({LEDGER})"
        )


def _seeds(comparison: Mapping[str, Any]) -> Iterator[str]:
    """How much of a difference is the seed's, where a candidate was made with several."""
    found = comparison["seeds"]
    if found and comparison["slice"] is None and not comparison["shift"]:
        sd = {name: math.sqrt(value) for name, value in found.items()}
        yield (
            f"{comparison['candidate']}: {comparison['metric']} on {comparison['dataset']} varies"
            f" by {sd['between_seeds']:.3g} (standard deviation) between seeds"
            f" and {sd['between_rows']:.3g} between rows"
        )
