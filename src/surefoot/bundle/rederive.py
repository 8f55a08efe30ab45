"""Judges a bundle's own cells and latencies again: what its verdict.json says has to come of them.

A manifest shows that no file was changed after it was written. Whoever edits a verdict can write a
new manifest too, but then the verdict no longer follows from the cells.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from surefoot.bundle.encode import decode_verdict, encode
from surefoot.bundle.evidence import Recorded, Where, as_written, read_evidence
from surefoot.bundle.read import read_plan_json
from surefoot.bundle.serving import SERVING, policy, read_policy, serve_plan
from surefoot.bundle.write import costs, winner_of
from surefoot.core.claims import Basis, Claim
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.evidence import Cell, ConfirmationEvidence, Finding, Verdict
from surefoot.core.load import LoadProfile
from surefoot.core.serving import Cascade
from surefoot.gate import check_summaries, gate_evidence, load_summaries, noise, summaries
from surefoot.ledger import LEDGER
from surefoot.plan.typed import typed
from surefoot.stats import spending

CLOSE = 1e-6
"""Relative: another version of numpy or scipy moves a number by less."""
NOTHING = 1e-12
"""Absolute."""


def rederived(
    folder: Path,
    said: Recorded,
    *,
    cells: Mapping[tuple[str, Where], Cell] | None = None,
    loads: Sequence[LoadProfile] = (),
    sizes: Mapping[str, int] | None = None,
) -> tuple[ConfirmationEvidence, tuple[Verdict, ...]]:
    """The evidence that a bundle holds, and the verdicts that follow from it.

    Args:
        folder: The bundle.
        said: What it says was asked.
        cells: Cells that were measured again, which take the place of its own.
        loads: Latencies that were, likewise.
        sizes: Bytes of the models that are at hand, likewise.

    Raises:
        SurefootError: The bundle does not hold what its verdict rests on.
    """
    evidence = read_evidence(folder, said, cells)
    again = {(load.candidate, load.batch) for load in loads}
    left = [one for one in evidence.loads if (one.candidate, one.batch) not in again]
    known = {**evidence.sizes, **(sizes or {})}
    evidence = ConfirmationEvidence(replace(evidence, loads=(*left, *loads), sizes=known))
    first = decode_verdict(said.data["verdicts"][0])
    return evidence, gate_evidence(evidence, said.budgets, use=first.use, tried=first.tried)


def claims_of_files(folder: Path, said: Recorded) -> list[Claim]:
    """Whether what a bundle concludes follows from its files.

    Args:
        folder: The bundle.
        said: What `recorded` gave.

    Raises:
        BundleError: verdict.json is not as surefoot writes it.
    """
    with as_written(folder):
        claims = [_plan(folder, said), *_ledger(folder, said)]
        told = tuple(decode_verdict(verdict) for verdict in said.data["verdicts"])
        try:
            evidence, found = rederived(folder, said)
        except SurefootError as error:
            return [*claims, *not_run("files", told, str(error))]
        claims += compared("files", told, found)
        claims += [_table(name, told, now) for name, told, now in _tables(said, evidence, found)]
        claims += _serving(folder, said)
        return claims


def not_run(basis: Basis, told: Sequence[Verdict], why: str) -> list[Claim]:
    """Every finding, as one that was not looked into.

    Args:
        basis: How it would have been.
        told: The verdicts.
        why: Why it was not.
    """
    return [
        Claim(
            basis=basis,
            candidate=verdict.candidate,
            subject=finding.subject,
            status="NOT RUN",
            there=shown(finding),
            why=why,
        )
        for verdict in told
        for finding in verdict.findings
    ]


def compared(basis: Basis, told: Sequence[Verdict], found: Sequence[Verdict]) -> Iterator[Claim]:
    """Each verdict and each finding as a bundle tells it, and as it was found.

    Args:
        basis: How it was found.
        told: The bundle's verdicts.
        found: Those that were found.
    """
    now = {verdict.candidate: verdict for verdict in found}
    for verdict in told:
        other = now.get(verdict.candidate)
        findings = [] if other is None else list(other.findings)
        same = other is not None and other.outcome == verdict.outcome
        complete = len(findings) == len(verdict.findings)
        yield Claim(
            basis=basis,
            candidate=verdict.candidate,
            subject="verdict",
            status="REPRODUCED" if same and complete else "DIFFERS",
            there=f"{verdict.outcome}, {len(verdict.findings)} findings",
            here=f"{other.outcome}, {len(findings)} findings" if other else "none",
        )
        for finding, again in zip(verdict.findings, findings, strict=False):
            wrong = first_difference(_numbers(finding), _numbers(again))
            yield Claim(
                basis=basis,
                candidate=verdict.candidate,
                subject=finding.subject,
                status="DIFFERS" if wrong else "REPRODUCED",
                there=shown(finding),
                here=shown(again),
                why=wrong,
            )


def shown(finding: Finding) -> str:
    """A finding in a few words: `PASS -0.0042 [-0.0081, -0.0003]`."""
    estimate = finding.estimate
    return f"{finding.outcome} {estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def first_difference(told: Any, found: Any, key: str = "") -> str:
    """Where two JSON values first differ by more than rounding; empty where they do not.

    Args:
        told: One.
        found: The other.
        key: The way to them.
    """
    if isinstance(told, Mapping) and isinstance(found, Mapping):
        for name in dict.fromkeys([*told, *found]):
            if name not in told or name not in found:
                return f"{key}{name} is {'missing' if name not in told else 'not derived'}"
            if wrong := first_difference(told[name], found[name], f"{key}{name}."):
                return wrong
        return ""
    if isinstance(told, list | tuple) and isinstance(found, list | tuple):
        if len(told) != len(found):
            return f"{key[:-1] or 'it'} has {len(told)} entries, not {len(found)}"
        pairs = enumerate(zip(told, found, strict=True))
        return next(filter(None, (first_difference(a, b, f"{key}{i}.") for i, (a, b) in pairs)), "")
    return "" if _close(told, found) else f"{key[:-1]} is {told}, not {found}"


def _close(told: Any, found: Any) -> bool:
    numbers = (int, float)
    if isinstance(told, bool) or isinstance(found, bool):
        return told is found
    if isinstance(told, numbers) and isinstance(found, numbers):
        return math.isclose(told, found, rel_tol=CLOSE, abs_tol=NOTHING)
    return bool(told == found)


def _numbers(finding: Finding) -> dict[str, Any]:
    """What of a finding has to come out again; its rows are compared with the cells elsewhere."""
    told: dict[str, Any] = encode(replace(finding, paired=None))
    # A power calculation by root finding is exact to a row or so.
    told["needed"] = None if finding.needed is None else f"{finding.needed:.3g}"
    return told


def _tables(
    said: Recorded, evidence: ConfirmationEvidence, found: Sequence[Verdict]
) -> Iterator[tuple[str, Any, Any]]:
    """Whatever else verdict.json says that its files tell."""
    data = said.data
    yield "comparisons", data["comparisons"], encode(evidence.paired)
    yield "latencies", data["latencies"], encode(summaries(evidence.loads))
    yield "noise", data["noise"], encode(noise(evidence.loads))
    if "checks" in data:
        yield "checks", data["checks"], encode(check_summaries(evidence.checks))
    if "loads" in data:
        yield "loads", data["loads"], encode(load_summaries(evidence.served, evidence.baseline))
    known = costs(evidence.sizes, evidence.loads)
    yield "costs", data["costs"], known
    yield "winner", data["winner"], winner_of(found, known)


def _table(name: str, told: Any, found: Any) -> Claim:
    # As JSON reads it: a tuple is a list there.
    wrong = first_difference(told, json.loads(json.dumps(found)), f"{name}.")
    return Claim(
        basis="files",
        candidate="",
        subject=f"{name} in verdict.json",
        status="DIFFERS" if wrong else "REPRODUCED",
        why=wrong,
    )


def _plan(folder: Path, said: Recorded) -> Claim:
    """Whether the budgets that were judged are those that the plan file names."""
    claim = Claim(basis="files", candidate="", subject="budgets of plan.toml", status="NOT RUN")
    text = (folder / "plan.toml").read_text(encoding="utf-8")
    if "\n# overridden: --set " in text:
        return replace(claim, why="the plan file was overridden with --set")
    try:
        file, _ = typed(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"not valid TOML: {error}", where=str(folder / "plan.toml")) from error
    judged = [asdict(budget) for budget in said.budgets]
    wrong = first_difference([asdict(budget) for budget in file.budget], judged, "budget.")
    return replace(claim, status="DIFFERS" if wrong else "REPRODUCED", why=wrong)


def _serving(folder: Path, said: Recorded) -> Iterator[Claim]:
    """Whether what is promised of a service follows from the calibration rows."""
    told = read_policy(folder)
    if told is None:
        return
    # It is about a candidate even where it cannot be looked into: what is not run is not shown.
    claim = Claim(basis="files", candidate=told.lean, subject=SERVING, status="NOT RUN")
    try:
        plan = serve_plan(read_plan_json(folder).get("serve", {}))
        found = policy(folder, plan, plan.candidate or said.data["winner"])
    except SurefootError as error:
        yield replace(claim, why=str(error))
        return
    wrong = first_difference(encode(told), encode(found))
    wrong = wrong or first_difference(_doubts(told), _doubts(found), "doubt.")
    yield replace(
        claim,
        status="DIFFERS" if wrong else "REPRODUCED",
        there=_promise(told),
        here=_promise(found),
        why=wrong,
    )


def _doubts(found: Cascade) -> list[list[float]]:
    """What is missing to 1 at each threshold: near 1 many of them are alike but for rounding."""
    every = [*found.curve, *([found.chosen] if found.chosen else [])]
    return [[1 - one for one in (each.threshold, *each.thresholds)] for each in every]


def _promise(found: Cascade) -> str:
    """What a policy deploys, in a few words."""
    if found.chosen is None:
        return "nothing is deployed"
    share = f"{100 * found.chosen.answered:.1f} % are answered before {found.fallback}"
    return f"from {found.chosen.threshold:.6g}, {share}"


def _ledger(folder: Path, said: Recorded) -> Iterator[Claim]:
    """Whether the verdict spent what its line in the ledger allows."""
    use, file = said.data["verdicts"][0]["use"], folder / "ledger.jsonl"
    if use is None or not file.exists():
        return
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    counts = [line["use"] for line in lines if line["key"] == said.data["key"]]
    share, left = spending(counts[0]) if counts else (math.nan, math.nan)
    wrong = (
        first_difference(use, {"count": counts[0], "share": share, "left": left})
        if counts
        else f"no line of {LEDGER} is about this run"
    )
    yield Claim(
        basis="files",
        candidate="",
        subject="use of the test sets",
        status="DIFFERS" if wrong else "REPRODUCED",
        why=wrong,
    )
