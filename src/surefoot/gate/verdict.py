"""Findings to verdicts, with the error rates shared out over everything that was looked at.

PASS: an intersection-union test (Berger 1982, "Multiparameter hypothesis testing and acceptance
sampling"): every finding rejects "the budget is broken" at alpha, no correction needed. Several
candidates judged on the same rows share alpha by Holm (1979, "A simple sequentially rejective
multiple test procedure"). FAIL: a finding rejects "the budget is kept" after Holm over all
findings of all candidates. Else INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from surefoot import stats
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence, Finding, Outcome, Verdict
from surefoot.gate.judge import judge

RANK: Mapping[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
EXIT_CODES: Mapping[Outcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


def gate_evidence(evidence: Evidence, budgets: Sequence[Budget]) -> tuple[Verdict, ...]:
    """Judge every candidate against every budget.

    Args:
        evidence: What was measured, on confirmation data that no choice was made on.
        budgets: What has to hold.

    Returns:
        One verdict a candidate, in the order of `evidence.candidates`.

    Raises:
        BudgetError: No budget, or one that speaks of something that was not measured.
    """
    if not budgets:
        raise BudgetError("no budget, so there is nothing to judge")
    names = evidence.candidates
    first = {c: [f for b in budgets for f in judge(evidence, b, c)] for c in names}
    shares = _shares({c: max(f.p_pass / _alpha(f) for f in first[c]) for c in names})
    tests = sum(map(len, first.values()))
    findings = {
        c: [f for b in budgets for f in judge(evidence, b, c, share=shares[c], tests=tests)]
        for c in names
    }
    failed = _failed([f for c in names for f in findings[c]])
    verdicts, start = [], 0
    for name in names:
        stop = start + len(findings[name])
        verdicts.append(
            _verdict(name, findings[name], failed[start:stop], shares[name], len(names))
        )
        start = stop
    return tuple(verdicts)


def best(verdicts: Sequence[Verdict], leanest: Mapping[str, float]) -> Verdict:
    """The verdict to put first: the cheapest that passed, else the nearest to passing.

    Args:
        verdicts: All of them; at least one.
        leanest: What a candidate costs to run, by name; only the order matters.
    """
    return min(verdicts, key=lambda v: (RANK[v.outcome], leanest.get(v.candidate, np.inf)))


def exit_code(verdict: Verdict) -> int:
    """0 for PASS, 1 for FAIL, 3 for INCONCLUSIVE."""
    return EXIT_CODES[verdict.outcome]


def _shares(ratios: Mapping[str, float]) -> dict[str, int]:
    """Holm's steps: what each candidate's alpha is divided by, given its p-value over its alpha."""
    left, shares = len(ratios), {}
    for name in sorted(ratios, key=ratios.__getitem__):
        shares[name] = left
        if ratios[name] <= 1 / left:
            left = max(left - 1, 1)
    return shares


def _failed(findings: Sequence[Finding]) -> np.ndarray:
    """Which findings show a broken budget, family-wise over all of them."""
    certain = np.array([f.estimate.method == "exact" for f in findings], dtype=bool)
    alpha = np.array([_alpha(f) for f in findings])
    p = np.array([f.p_fail for f in findings])
    failed = certain & (p < 0.5)
    failed[~certain] = stats.holm(p[~certain]) <= alpha[~certain]
    return np.asarray(failed)


def _verdict(
    name: str, findings: Sequence[Finding], failed: np.ndarray, share: int, tried: int
) -> Verdict:
    judged = tuple(
        replace(f, outcome=_outcome(f, bool(bad), share))
        for f, bad in zip(findings, failed, strict=True)
    )
    return Verdict(
        candidate=name,
        outcome=max((f.outcome for f in judged), key=RANK.__getitem__),
        findings=judged,
        share=share,
        tried=tried,
    )


def _outcome(finding: Finding, failed: bool, share: int) -> Outcome:
    if failed:
        return "FAIL"
    return "PASS" if finding.p_pass <= _alpha(finding) / share else "INCONCLUSIVE"


def _alpha(finding: Finding) -> float:
    return 1 - finding.budget.level
