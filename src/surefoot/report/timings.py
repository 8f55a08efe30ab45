"""The calls and requests of a bundle as quantiles: one query, however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.bundle.encode import decode_estimate
from surefoot.core.evidence import Budget, Verdict
from surefoot.data.tables import scan
from surefoot.report.svg.spread import Spread

SHARES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The latencies of all candidates at one batch size, or under one load."""

    title: str
    """Which."""
    spreads: tuple[Spread, ...]
    """The baseline first, then the candidates."""
    limits: Mapping[str, float]
    """What budgets allow, in milliseconds, by quantity."""


def timings(
    folder: Path, data: Mapping[str, Any], verdicts: Sequence[Verdict], order: Sequence[str]
) -> tuple[Timing, ...]:
    """Latencies at each batch size, then under each load.

    Args:
        folder: The bundle's.
        data: As `verdict.json` holds it.
        verdicts: For the limits of their budgets.
        order: The baseline and the candidates.
    """
    budgets = [f.budget for verdict in verdicts[:1] for f in verdict.findings]
    at = _quantiles(folder / "latency.parquet", "batch")
    found = []
    for batch in dict.fromkeys(entry["batch"] for entry in data["latencies"]):
        entries = {e["candidate"]: e for e in data["latencies"] if e["batch"] == batch}
        threads = next(iter(entries.values()))["threads"]
        rows = "1 row" if batch == 1 else f"{batch} rows"
        title = f"{rows} a call, {threads} thread{'s' * (threads != 1)}"
        spreads = [_spread(entries[n], at.get((n, batch), {})) for n in order if n in entries]
        limits = _limits(b for b in budgets if b.load is None and b.batch == batch)
        found.append(Timing(title=title, spreads=tuple(spreads), limits=limits))
    under = _quantiles(folder / "load.parquet", "load")
    for load in dict.fromkeys(entry["load"] for entry in data.get("loads", ())):
        entries = {e["candidate"]: e for e in data["loads"] if e["load"] == load}
        spreads = [_spread(entries[n], under.get((n, load), {})) for n in order if n in entries]
        limits = _limits(b for b in budgets if b.load == load)
        found.append(Timing(title=f"under load {load}", spreads=tuple(spreads), limits=limits))
    return tuple(found)


def _limits(budgets: Any) -> dict[str, float]:
    named: list[Budget] = [b for b in budgets if b.quantity.endswith("_ms")]
    return {b.quantity.replace("_ms", ""): float(b.at_most or 0) for b in named}


def _spread(entry: Mapping[str, Any], quantiles: Mapping[float, float]) -> Spread:
    return Spread(
        name=entry["candidate"],
        n=entry["p50_ms"]["n"],
        p50=_ends(entry["p50_ms"]),
        p99=_ends(entry["p99_ms"]),
        quantiles=quantiles,
    )


def _ends(estimate: Mapping[str, Any]) -> tuple[float, float, float]:
    found = decode_estimate(estimate)
    return found.value, max(found.low, 0.0), found.high


def _quantiles(path: Path, by: str) -> dict[tuple[str, Any], dict[float, float]]:
    """Quantiles of the answered calls, by candidate and batch size or load."""
    if not path.is_file():
        return {}
    import duckdb

    try:
        with duckdb.connect() as connection:
            rows = connection.execute(
                f"SELECT candidate, {by}, quantile_disc(wall_ms, {list(SHARES)})"
                f" FROM {scan('parquet', path)}"
                " WHERE isfinite(wall_ms) GROUP BY ALL"
            ).fetchall()
    except duckdb.Error:  # a file of another layout: the figures of verdict.json remain
        return {}
    return {(who, where): dict(zip(SHARES, values, strict=True)) for who, where, values in rows}
