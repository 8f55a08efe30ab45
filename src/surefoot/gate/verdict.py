"""Questions to verdicts, with the error rates shared out over everything that was looked at.

PASS: an intersection-union test (Berger 1982, "Multiparameter hypothesis testing and acceptance
sampling"): every finding rejects "the budget is broken" at alpha, no correction needed. Several
candidates judged on the same rows share alpha by Holm (1979, "A simple sequentially rejective
multiple test procedure"). FAIL: a finding rejects "the budget is kept" after Holm over all
findings of all candidates. Else INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.budget import problems
from surefoot.core.errors import BudgetError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget, ConfirmationEvidence, Finding, Outcome, Use, Verdict
from surefoot.gate.questions import Question, Questions
from surefoot.gate.samples import Counted, Drawn, Exact, Rows, per_kind

RANK: Mapping[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
EXIT_CODES: Mapping[Outcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


def gate_evidence(
    evidence: ConfirmationEvidence,
    budgets: Sequence[Budget],
    *,
    use: Use | None = None,
    tried: int | None = None,
) -> tuple[Verdict, ...]:
    """Judge every candidate against every budget.

    Args:
        evidence: What was measured, on confirmation data that no choice was made on.
        budgets: What has to hold.
        use: Which use of the confirmation data this is; None where nobody counts.
        tried: How many candidates a search tried before it chose these; as many as there are by
            default.

    Returns:
        One verdict a candidate, in the order of `evidence.candidates`.

    Raises:
        BudgetError: No budget, or one that speaks of something that was not measured.
    """
    if not budgets:
        raise BudgetError("no budget, so there is nothing to judge")
    known = list(dict.fromkeys(paired.metric for paired in evidence.paired))
    checks = list(dict.fromkeys(found.check for found in evidence.checks))
    wrong = [problem for budget in budgets for problem in problems(budget, known, checks)]
    if wrong:
        raise BudgetError("; ".join(dict.fromkeys(wrong)), where="budgets")
    names, askable = evidence.candidates, Questions(evidence)
    asked = [askable.about(name, budgets) for name in names]
    questions = [question for one in asked for question in one]
    if not questions:
        return ()
    starts = np.cumsum([0, *map(len, asked)])
    alpha = np.array([1 - q.budget.level for q in questions]) * (use.share if use else 1)
    p = p_values(questions)
    worst = np.maximum.reduceat(p[:, 0] / alpha, starts[:-1])
    shares = _shares(dict(zip(names, worst.tolist(), strict=True)))
    divisors = np.repeat([shares[name] for name in names], np.diff(starts))
    failed = _failed(questions, p[:, 1], alpha)
    outcomes: list[Outcome] = [
        "FAIL" if bad else "PASS" if good else "INCONCLUSIVE"
        for bad, good in zip(failed, p[:, 0] <= alpha / divisors, strict=True)
    ]
    findings = _findings(questions, p, outcomes, np.stack([alpha / divisors, alpha / len(p)]))
    return tuple(
        Verdict(
            candidate=name,
            outcome=max(outcomes[start:stop], key=RANK.__getitem__),
            findings=tuple(findings[start:stop]),
            share=shares[name],
            tried=max(tried or 0, len(names)),
            use=use,
        )
        for name, start, stop in zip(names, starts, starts[1:], strict=False)
    )


def best(verdicts: Sequence[Verdict], leanest: Mapping[str, float]) -> Verdict:
    """The verdict to put first: the best outcome, and the cheapest candidate that has it.

    Args:
        verdicts: All of them; at least one.
        leanest: What a candidate costs to run, by name; only the order matters.
    """
    return min(verdicts, key=lambda v: (RANK[v.outcome], leanest.get(v.candidate, np.inf)))


def exit_code(verdict: Verdict) -> int:
    """0 for PASS, 1 for FAIL, 3 for INCONCLUSIVE."""
    return EXIT_CODES[verdict.outcome]


def p_values(questions: Sequence[Question]) -> np.ndarray:
    """(questions, 2); 1 for what this machine cannot answer, and nobody can decide then."""

    def judge(kind: type[Any], samples: Sequence[Any], _: np.ndarray) -> np.ndarray:
        return np.asarray(kind.p_values(samples))

    p = per_kind([q.sample for q in questions], judge)
    p[[bool(q.noise) for q in questions]] = 1.0
    p[[bool(q.no_pass) for q in questions], 0] = 1.0
    return p


def intervals(questions: Sequence[Question], levels: np.ndarray) -> np.ndarray:
    """(questions, 3) the value and both ends of each sample's interval.

    Args:
        questions: At least one.
        levels: (questions,) two-sided confidence of each.
    """

    def judge(kind: type[Any], samples: Sequence[Any], at: np.ndarray) -> np.ndarray:
        found = kind.intervals(samples, levels[at])
        return np.stack([found.value, found.low, found.high], axis=1)

    return per_kind([q.sample for q in questions], judge)


def _shares(ratios: Mapping[str, float]) -> dict[str, int]:
    """Holm's steps: what each candidate's alpha is divided by, given its p-value over its alpha."""
    left, shares = len(ratios), {}
    for name in sorted(ratios, key=ratios.__getitem__):
        shares[name] = left
        if ratios[name] <= 1 / left:
            left = max(left - 1, 1)
    return shares


def _failed(questions: Sequence[Question], p: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Which findings show a broken budget, family-wise over all of them."""
    certain = np.array([isinstance(q.sample, Exact) for q in questions], dtype=bool)
    failed = certain & (p < 0.5)
    failed[~certain] = stats.holm(p[~certain]) <= alpha[~certain]
    return np.asarray(failed)


def _findings(
    questions: Sequence[Question], p: np.ndarray, outcomes: Sequence[Outcome], alphas: np.ndarray
) -> list[Finding]:
    """Questions with their answers.

    Args:
        questions: The questions.
        p: (questions, 2) p-values.
        outcomes: What they led to.
        alphas: (2, questions) of a PASS, and of a FAIL where it needs most.
    """
    levels = 1 - 2 * alphas[0]

    def needs(kind: type[Any], samples: Sequence[Any], at: np.ndarray) -> np.ndarray:
        return np.asarray(kind.needed(samples, 1 - alphas[:, open_[at]]))

    samples = [q.sample for q in questions]
    ends = intervals(questions, levels).tolist()
    open_ = np.flatnonzero([outcome == "INCONCLUSIVE" for outcome in outcomes])
    needed = np.full(len(questions), np.inf)
    if len(open_):
        needed[open_] = per_kind([samples[i] for i in open_], needs)
    return [
        Finding(
            budget=question.budget,
            subject=question.subject,
            estimate=estimated(question, values, level),
            limit=question.limit,
            outcome=outcome,
            p_pass=p_pass,
            p_fail=p_fail,
            needed=_needed(question, values, need, alpha),
            reason=_reason(question, outcome, alpha),
            paired=question.paired,
        )
        for question, values, level, outcome, (p_pass, p_fail), need, alpha in zip(
            questions,
            ends,
            levels.tolist(),
            outcomes,
            p.tolist(),
            needed.tolist(),
            alphas[0].tolist(),
            strict=True,
        )
    ]


def _needed(question: Question, ends: Sequence[float], need: float, alpha: float) -> int | None:
    """Rows or calls that would decide; None where no number would."""
    if not np.isfinite(need) or _hopeless(question, alpha):
        return None
    n, (value, low, high) = question.sample.n, ends
    if isinstance(question.sample, Rows | Drawn):
        # The formula takes a normal mean; where the interval is wider than that, it knows better.
        distance = abs(value + question.sample.margin)
        half = min(max(high - value, value - low), 1e6 * distance)
        need = max(need, n * (half / distance) ** 2 if distance > 0 else need)
    # A few rows more always say more, even where the formula, an approximation, asks fewer.
    return max(int(need), n + 1)


def estimated(question: Question, ends: Sequence[float], level: float) -> Estimate:
    """What a sample says, in the unit of its quantity and within what there can be.

    Args:
        question: The question.
        ends: The value and both ends of the interval, as the sample has them.
        level: Two-sided confidence of the interval.
    """
    value, *limits = ends if question.shown is None else map(question.shown, ends)
    sample = question.sample
    if isinstance(sample, Rows) and sample.answers and sample.units() > 1:
        # Shares, and differences of shares: an interval by t may reach beyond what there is.
        least = -1.0 if question.budget.max_drop is not None else 0.0
        limits = [min(max(end, least), 1.0) for end in limits]
    certain = isinstance(sample, Exact)
    return Estimate(
        value=value,
        low=min(limits),
        high=max(limits),
        level=1.0 if certain else level,
        method=sample.method,
        n=sample.n,
    )


def _reason(question: Question, outcome: Outcome, alpha: float) -> str:
    """What the numbers alone do not say about an open question, or about a queue that grew."""
    if outcome == "FAIL":
        return question.no_pass
    if outcome != "INCONCLUSIVE":
        return ""
    return _hopeless(question, alpha) or _too_few(question, alpha)


def _hopeless(question: Question, alpha: float) -> str:
    """Why no further rows or calls of this kind would decide; empty where they would."""
    if question.noise or question.no_pass:
        return question.noise or question.no_pass
    if isinstance(question.sample, Rows) and question.sample.units() < 2:
        return "needs rows of more than one group"
    if not isinstance(question.sample, Drawn):
        return ""
    if question.sample.unknown:
        return question.sample.unknown
    draws = question.sample.drawn.replicates.size
    if alpha * draws < 1:
        return f"{draws:,} resamples cannot show a chance of {alpha:.1g}"
    return ""


def _too_few(question: Question, alpha: float) -> str:
    """Why so few rows could not have passed with so few changed answers; empty if they could."""
    margin, rows = getattr(question.sample, "margin", None), question.paired
    if rows is None or margin is None or not 0 < margin < 1 or not question.budget.max_drop:
        return ""
    least = int(np.ceil(np.log(alpha) / np.log1p(-margin)))
    answers = rows.share or isinstance(question.sample, Counted)
    if rows.n >= least or not answers or rows.lost + rows.won >= stats.FEW:
        return ""
    return f"{rows.n:,} rows cannot show it while hardly any answer changes"
