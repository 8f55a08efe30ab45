"""Verdicts and latencies then and now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.budget import TIMED
from surefoot.core.diff import BudgetMove, LatencyMove, Move, VerdictMove
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Finding, Verdict
from surefoot.evaluate.machine import NOISIEST
from surefoot.gate import limit_kind
from surefoot.gate.verdict import RANK

LEVEL = 0.95

Verdicts = Mapping[str, Verdict]
Told = Mapping[str, Any]
"""A verdict.json."""


def verdict_moves(
    then: Told, now: Told, before: Verdicts, after: Verdicts
) -> tuple[VerdictMove, ...]:
    """Every candidate of either, the baseline first: its model, and what it was judged.

    Args:
        then: The older verdict.json.
        now: The newer.
        before: The older verdicts by candidate.
        after: The newer.
    """
    old, new = ({c["name"]: c for c in told["candidates"]} for told in (then, now))
    return tuple(
        VerdictMove(
            candidate=name,
            then=before[name].outcome if name in before else None,
            now=after[name].outcome if name in after else None,
            model_then=old.get(name, {}).get("fingerprint"),
            model_now=new.get(name, {}).get("fingerprint"),
            bytes_then=old.get(name, {}).get("size_bytes"),
            bytes_now=new.get(name, {}).get("size_bytes"),
            runtime_then=old.get(name, {}).get("runtime"),
            runtime_now=new.get(name, {}).get("runtime"),
        )
        for name in dict.fromkeys([*new, *old])
    )


def budget_moves(before: Verdicts, after: Verdicts, *, machine: str) -> tuple[BudgetMove, ...]:
    """Every budget of every candidate of both.

    Args:
        before: The older verdicts by candidate.
        after: The newer.
        machine: Why latencies cannot be held against each other; empty where they can.
    """
    moves = []
    for name in after:
        if name in before:
            old, new = (dict(_named(side[name].findings)) for side in (before, after))
            moves += [
                _budget_move(name, key[0], old.get(key), new.get(key), machine)
                for key in dict.fromkeys([*new, *old])
            ]
    return tuple(moves)


def latency_moves(then: Told, now: Told, *, machine: str) -> tuple[LatencyMove, ...]:
    """The median latency of every candidate of both, at every batch size of both.

    What else a machine does differs from day to day. So a candidate is held against the baseline of
    its run, which took turns with it: it is shown to be slower where the baseline, if it is the
    same model, did not get slower with it.

    Args:
        then: The older verdict.json.
        now: The newer.
        machine: Why they cannot be compared; empty where they can.
    """
    old, new = ({(e["candidate"], e["batch"]): e for e in t["latencies"]} for t in (then, now))
    first, known = now["candidates"][0]["name"], {c["name"] for c in now["candidates"]}
    same_baseline = _entry(then) == _entry(now)
    moves = []
    for key in (k for k in new if k in old and k[0] in known):
        base = (first, key[1])
        if machine:
            moves.append(_no_latency(key, machine))
            continue
        beside = [old[base], new[base]] if base in old and base in new else []
        terms = [(1.0, new[key]), (-1.0, old[key])]
        around = [(1.0, beside[0]), (-1.0, beside[1])] if beside and same_baseline else []
        moves.append(
            _latency_move(key, _ratio(terms), _ratio(terms + around), first, alone=not around)
        )
    return tuple(moves)


def timed(finding: Finding | None) -> bool:
    """Whether a budget is about the time that calls take."""
    return finding is not None and finding.budget.quantity in TIMED


def _named(findings: Sequence[Finding]) -> Iterator[tuple[tuple[str, str, int], Finding]]:
    """Findings by what they are about; the second of two such by its number too."""
    seen: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = (finding.subject, limit_kind(finding.budget))
        seen[key] = seen.get(key, 0) + 1
        yield (*key, seen[key]), finding


def _budget_move(
    name: str, subject: str, then: Finding | None, now: Finding | None, machine: str
) -> BudgetMove:
    if then is None or now is None:
        note = "a new budget" if then is None else "no such budget now"
        status: Move = "not compared"
    elif machine and timed(now):
        note, status = machine, "not compared"
    elif then.limit != now.limit or then.budget.level != now.budget.level:
        note, status = "the limit is another", "moved" if then.outcome != now.outcome else "same"
    else:
        note, status = "", _outcome_moved(then, now)
    return BudgetMove(candidate=name, subject=subject, status=status, then=then, now=now, note=note)


def _outcome_moved(then: Finding, now: Finding) -> Move:
    if then.outcome == now.outcome:
        return "same"
    if now.outcome == "FAIL":
        return "worse"
    if now.outcome == "PASS":
        return "better"
    return "undecided" if RANK[then.outcome] < RANK[now.outcome] else "moved"


def _entry(told: Told) -> tuple[str, str]:
    first = told["candidates"][0]
    return first["fingerprint"], first["runtime"]


def _no_latency(key: tuple[str, int], note: str) -> LatencyMove:
    return LatencyMove(candidate=key[0], batch=key[1], status="not compared", note=note)


def _ratio(terms: Sequence[tuple[float, Told]]) -> Estimate | None:
    """A product of medians and their reciprocals; None where calls were too few for an interval."""
    ends = [
        (weight, [entry["p50_ms"][key] for key in ("value", "low", "high")])
        for weight, entry in terms
    ]
    if any(end is None or not 0 < end < math.inf for _, found in ends for end in found):
        return None
    logs = [
        (w, stats.Interval(**dict(zip(("value", "low", "high"), np.log(found), strict=True))))
        for w, found in ends
    ]
    found = stats.independent_sum(logs)
    return Estimate(
        value=float(np.exp(found.value)),
        low=float(np.exp(found.low)),
        high=float(np.exp(found.high)),
        level=LEVEL,
        method="order statistics, combined",
        n=min(int(entry["p50_ms"]["n"]) for _, entry in terms),
    )


def _latency_move(
    key: tuple[str, int],
    ratio: Estimate | None,
    beside: Estimate | None,
    baseline: str,
    *,
    alone: bool,
) -> LatencyMove:
    """The status of a latency: shown to be another only beyond what equal models differ by."""
    if ratio is None or beside is None:
        return _no_latency(key, "too few calls for an interval")
    of_machine = key[0] == baseline
    judged = ratio if alone or of_machine else beside
    alike = judged.low >= 1 / NOISIEST and judged.high <= NOISIEST
    status: Move = "same" if alike else "open"
    note = ""
    if of_machine:
        note = "the machine's day"
    elif alone:
        note = "another baseline: the machine's day is not told apart"
    elif judged.low > NOISIEST:
        status = "worse"
    elif judged.high < 1 / NOISIEST:
        status = "better"
    return LatencyMove(
        candidate=key[0],
        batch=key[1],
        status=status,
        ratio=ratio,
        beside_baseline=None if alone or of_machine else beside,
        note=note,
    )
