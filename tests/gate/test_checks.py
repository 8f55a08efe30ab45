"""Budgets on behaviour checks: exact for independent rows, clustered for groups, or read off."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.checks import Checked, CheckResult
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence
from surefoot.gate import check_summaries, gate_evidence
from surefoot.gate.power import Design, Place, foresee
from surefoot.report.terminal import finding_text, verdict_line

TEXT = np.dtypes.StringDType()
LIMIT = Budget(quantity="batch_invariance", at_most=0.01)


def result(failed, rows=1000, name="batch_invariance", candidate="lean", **fields):
    bad = np.arange(rows) < failed
    checked = Checked(
        ids=np.array([f"main/{i}" for i in range(rows)], TEXT),
        failed=bad,
        details=tuple("moved" if x else "" for x in bad),
        largest=0.25,
    )
    return CheckResult(candidate=candidate, check=name, checked=checked, **fields)


def verdict(found, budget=LIMIT):
    evidence = Evidence(baseline="baseline", candidates=("lean",), checks=(found,))
    return gate_evidence(evidence, [budget])[0]


def finding(found, budget=LIMIT):
    return verdict(found, budget).findings[0]


@pytest.mark.parametrize(
    ("failed", "outcome"), [(0, "PASS"), (4, "PASS"), (5, "INCONCLUSIVE"), (20, "FAIL")]
)
def test_a_rate_of_independent_rows_is_exact(failed, outcome):
    from scipy.stats import binomtest

    found = finding(result(failed))
    assert found.outcome == outcome
    wanted = binomtest(failed, 1000, 0.01, alternative="less").pvalue
    assert found.p_pass == pytest.approx(wanted)
    interval = binomtest(failed, 1000).proportion_ci(0.9, method="exact")
    assert (found.estimate.low, found.estimate.high) == pytest.approx((interval.low, interval.high))
    assert found.estimate.method == "Clopper-Pearson"


def test_what_would_decide_is_said_in_rows():
    said = verdict_line(verdict(result(8)))
    assert said.startswith("INCONCLUSIVE  lean  1 of 1 budgets: batch_invariance 0.8 % [")
    assert "at most 1.0 %" in said
    assert "rows asked (evaluate.check_rows)" in said


def test_rows_of_one_group_are_not_independent():
    alone = finding(result(4))
    groups = finding(result(4, groups=np.arange(1000) // 50))
    assert groups.estimate.method == "clustered score"
    assert groups.p_pass > alone.p_pass
    assert groups.estimate.high > alone.estimate.high
    assert groups.estimate.value == alone.estimate.value == 0.004


@pytest.mark.parametrize(("failed", "outcome"), [(0, "PASS"), (1, "FAIL")])
def test_a_fixed_list_is_read_off(failed, outcome):
    budget = Budget(quantity="golden", at_most=0.01)
    found = finding(result(failed, rows=8, name="golden", exact=True), budget)
    assert (found.outcome, found.estimate.method) == (outcome, "exact")
    assert found.estimate.value == failed / 8
    assert ("golden 0.00 %" in finding_text(found)) is (failed == 0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"checked": None, "error": "fails on it"}, "it could not be run: fails on it"),
        ({}, "no row holds a term"),
    ],
)
def test_what_was_not_measured_is_inconclusive_with_its_reason(broken, said):
    none = result(0, rows=0)
    none = replace(none, checked=replace(none.checked, note="no row holds a term"))
    found = finding(replace(none, **broken))
    assert found.outcome == "INCONCLUSIVE"
    assert (found.reason, found.needed) == (said, None)
    assert said in finding_text(found)


def test_a_check_that_nobody_ran_cannot_be_judged():
    with pytest.raises(BudgetError, match="'golden' is not measured"):
        finding(result(0), Budget(quantity="golden", at_most=0.01))


def test_false_passes_are_as_rare_as_promised():
    """The true rate lies on the limit: at most 5 in 100 pass, and the bound is nearly reached."""
    rng = np.random.default_rng(0)
    passes = 0
    for _ in range(600):
        found = result(int(rng.binomial(1000, 0.02)))
        passes += finding(found, replace(LIMIT, at_most=0.02)).outcome == "PASS"
    assert 0.015 < passes / 600 < 0.06


def test_a_summary_has_rates_ids_and_slices_and_no_more_ids_than_a_hundred():
    slices = {"early": np.arange(1000) < 100, "none": np.zeros(1000, dtype=bool)}
    (one,) = check_summaries([result(150, slices=slices)])
    assert (one["failed"], one["asked"], one["largest"]) == (150, 1000, 0.25)
    assert one["ids"] == [f"main/{i}" for i in range(100)]
    assert one["slices"]["early"].value == 1.0
    assert one["slices"]["none"] is None
    wanted = stats.proportion_interval(150, 1000, level=0.95)
    assert (one["rate"].low, one["rate"].high) == (float(wanted.low), float(wanted.high))


def test_a_summary_of_groups_lies_within_what_there_is():
    (one,) = check_summaries([result(3, rows=20, groups=np.arange(20) // 5)])
    assert 0 <= one["rate"].low < one["rate"].value == 0.15 < one["rate"].high <= 1
    (lone,) = check_summaries([result(3, rows=20, groups=np.zeros(20, dtype=int))])
    assert (lone["rate"].low, lone["rate"].high) == (0.0, 1.0)


def test_a_summary_of_what_could_not_be_run():
    (one,) = check_summaries([CheckResult(candidate="a", check="b", checked=None, error="why")])
    assert (one["rate"], one["error"]) == (None, "why")


@pytest.mark.parametrize(
    ("rows", "decided", "unit"), [(3000, True, "rows"), (300, False, "rows"), (0, True, "")]
)
def test_power_of_a_check(rows, decided, unit):
    design = Design(candidates=1, calls=800, checks={"batch_invariance": rows})
    budget = Budget(quantity="batch_invariance", at_most=0.02)
    (found,) = foresee([budget], [Place(dataset="main", rows=50)], design, [0.05]).prospects
    assert (found.decided, found.unit) == ((decided,), unit)
    if rows:
        wanted = stats.share_power(rows, [0.01], 0.02, level=0.95)
        assert found.power == pytest.approx(wanted)
