"""Loads and deadlines as tables of plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from surefoot.report.tables import Table, as_table, table_lines
from surefoot.report.terminal import interval

SCENARIO = {
    "single_stream": "one row after another",
    "multi_stream": "one request after another",
    "offline": "all rows at once",
}
"""Loads in words, where no rate says it all."""
HEADER = (
    "", "answered a second", "p50 ms", "p99 ms", "sent late, ms", "CPU ms", "no answer",
    "cold start, ms", "peak MB", "",
)  # fmt: skip


def load_lines(data: Mapping[str, Any]) -> list[str]:
    """A table a load: latency from the scheduled arrival, and what else was seen."""
    return table_lines(load_tables(data))


def load_tables(data: Mapping[str, Any]) -> list[Table]:
    """The same as tables.

    Args:
        data: As `verdict.json` holds it.
    """
    found = []
    for name in dict.fromkeys(entry["load"] for entry in data.get("loads", ())):
        entries = [entry for entry in data["loads"] if entry["load"] == name]
        found.append(as_table(_title(entries[0]), HEADER, map(_row, entries)))
    return found


def deadline_lines(data: Mapping[str, Any]) -> list[str]:
    """A table a load: accuracy by deadline, late answers wrong, or given by the baseline."""
    return table_lines(deadline_tables(data))


def deadline_tables(data: Mapping[str, Any]) -> list[Table]:
    """The same as tables.

    Args:
        data: As `verdict.json` holds it.
    """
    found = []
    entries: Sequence[Mapping[str, Any]] = data.get("deadlines", ())
    for name in dict.fromkeys(entry["load"] for entry in entries):
        rows = [
            [
                entry["candidate"],
                f"{entry['deadline_ms']:g}",
                *(_share(entry[key]) for key in ("in_time", "accuracy", "fallback")),
            ]
            for entry in entries
            if entry["load"] == name
        ]
        header = ("", "deadline ms", "in time", "right in time", "or else the baseline's answer")
        found.append(as_table(f"accuracy under load {name} by deadline", header, rows))
    return found


def load_remarks(data: Mapping[str, Any]) -> Iterator[str]:
    """What was wrong with runs, and the noise of the machine."""
    for entry in data.get("loads", ()):
        where = f"load {entry['load']}, {entry['candidate']}"
        for problem, count in entry["errors"].items():
            yield f"{where}: {count:,} of {entry['requests']:,} requests: {problem}"
        if entry["growing"]:
            yield f"{where}: {entry['growing']}"
        if entry["invalid"]:
            yield f"{where}: proves nothing: {entry['invalid']}"
    for name, ratio in {e["load"]: e["again"] for e in data.get("loads", ())}.items():
        if ratio and ratio["low"] is not None:
            yield f"noise floor: the baseline against itself under load {name}: {interval(ratio)} x"


def _title(entry: Mapping[str, Any]) -> str:
    words = SCENARIO.get(entry["scenario"], f"{entry['target_qps'] or 0:g} requests a second")
    threads = f"{entry['threads']} thread{'s' * (entry['threads'] != 1)}"
    place = f" at {entry['url']}" if entry["url"] else f", {threads}"
    rows = "1 row" if entry["batch"] == 1 else f"{entry['batch']} rows"
    return f"load {entry['load']} ({entry['scenario']}: {words}, {rows} a request{place})"


def _row(entry: Mapping[str, Any]) -> list[str]:
    failed, memory = sum(entry["errors"].values()), entry["memory_bytes"]
    offline = entry["scenario"] == "offline"  # all are late from the start on
    state = "proves nothing" if entry["invalid"] else "queue grows" if entry["growing"] else ""
    return [
        entry["candidate"],
        f"{entry['achieved_qps']:.3g}",
        *("" if offline else interval(entry[key]) for key in ("p50_ms", "p99_ms")),
        f"{entry['late_ms']:.2g}",
        _known(entry["cpu_ms"]),
        f"{failed:,}" if failed else "",
        _known(entry["cold_ms"]),
        "" if memory is None else f"{memory / 1e6:.0f}",
        state,
    ]


def _known(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _share(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
