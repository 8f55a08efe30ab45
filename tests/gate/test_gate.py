import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence, Paired
from surefoot.core.load import LoadProfile
from surefoot.gate import best, exit_code, gate_evidence
from surefoot.report.terminal import verdict_line

DROP = Budget(quantity="accuracy", max_drop=0.02)


def counts(n, lost, won, *, candidate="int8", other=0, slice_=None, right=0.8):
    return Paired(
        candidate=candidate, dataset="main", slice=slice_, metric="accuracy", n=n, lost=lost,
        won=won, other=other, baseline=right, value=round(right * n + won - lost) / n,
    )  # fmt: skip


def rows(before, after, *, metric="log_loss", higher=False, groups=None):
    before, after = np.asarray(before, float), np.asarray(after, float)
    return Paired(
        candidate="int8", dataset="main", slice=None, metric=metric, n=len(after), lost=0, won=0,
        other=0, baseline=before.mean(), value=after.mean(), higher_is_better=higher,
        difference=after - before, values=after, groups=groups, share=metric == "accuracy",
        change=None if groups is None else np.where(after < before, 1, 2 * (after > before)),
    )  # fmt: skip


def loads(**wall):
    return tuple(
        LoadProfile(
            candidate=name, runtime="onnxruntime", batch=1, threads=1,
            wall_ms=np.asarray(ms, float), cpu_ms=np.asarray(ms, float),
        )
        for name, ms in wall.items()
    )  # fmt: skip


def judged(*paired, budgets=(DROP,), **more):
    names = tuple(dict.fromkeys(p.candidate for p in paired)) or ("int8",)
    evidence = Evidence(baseline="baseline", candidates=names, paired=paired, **more)
    return gate_evidence(evidence, budgets)


def one(*paired, **more):
    (verdict,) = judged(*paired, **more)
    return verdict


@pytest.mark.parametrize(
    ("lost", "won", "outcome", "code"),
    [(20, 20, "PASS", 0), (150, 20, "FAIL", 1), (60, 20, "INCONCLUSIVE", 3)],
)
def test_three_outcomes_and_their_exit_codes(lost, won, outcome, code):
    verdict = one(counts(2000, lost, won))
    assert verdict.outcome == outcome
    assert exit_code(verdict) == code


@given(st.integers(1, 3000), st.floats(0, 0.3), st.floats(0, 0.3), st.integers(1, 6))
def test_the_interval_shows_the_test_that_was_made(n, lost, won, candidates):
    paired = [counts(n, int(n * lost), int(n * won), candidate=f"c{i}") for i in range(candidates)]
    for verdict in judged(*paired):
        (finding,) = verdict.findings
        e = finding.estimate
        assert e.level == pytest.approx(1 - 2 * 0.05 / verdict.share)
        assert finding.limit == -0.02
        if abs(e.low + 0.02) > 1e-9:
            assert (finding.outcome == "PASS") == (e.low > -0.02)
        if finding.outcome == "INCONCLUSIVE":
            assert finding.needed is None or finding.needed > n


@pytest.mark.parametrize(
    ("n", "lost", "won", "low", "high"),
    [
        (100, 0, 0, 149, 149),  # log 0.05 / log 0.98: no row lost, yet too few rows
        (400, 8, 6, 1000, 1600),  # half a point short of the margin
        (2000, 60, 20, None, None),  # on the margin: no number decides
        (60, 6, 3, 400, 2500),  # beyond it
        (1, 1, 0, 2, 300),
    ],
)
def test_rows_needed_are_sane(n, lost, won, low, high):
    (finding,) = one(counts(n, lost, won)).findings
    assert finding.outcome == "INCONCLUSIVE"
    if low is None:
        assert finding.needed is None
    else:
        assert low <= finding.needed <= high


def test_rows_needed_would_decide():
    rng = np.random.default_rng(0)
    (finding,) = one(counts(400, 8, 6)).findings
    lost, won, _ = rng.multinomial(finding.needed, [0.02, 0.015, 0.965], 200).T
    passes = [one(counts(finding.needed, *c)).outcome == "PASS" for c in zip(lost, won)]  # noqa: B905
    assert 0.75 < np.mean(passes) < 0.97


def test_rows_needed_for_a_fail_pay_for_the_number_of_findings():
    alone = one(counts(300, 15, 5)).findings[0].needed
    many = [counts(300, 15, 5, slice_=f"s{i}") for i in range(60)]
    budget = Budget(quantity="accuracy", max_drop=0.02, slice="*")
    assert one(*many, budgets=[budget]).findings[0].needed > 2 * alone


def test_a_false_pass_is_rare_with_five_candidates_at_the_margin():
    rng = np.random.default_rng(0)
    released, runs = 0, 250
    for _ in range(runs):
        drawn = rng.multinomial(1000, [0.05, 0.03, 0.92], 5)
        paired = [counts(1000, a, b, candidate=str(i)) for i, (a, b, _) in enumerate(drawn)]
        released += any(v.outcome == "PASS" for v in judged(*paired))
    assert released / runs < 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / runs)


def test_a_false_fail_is_rare_over_sixty_cells_without_a_change():
    rng = np.random.default_rng(0)
    budget = Budget(quantity="accuracy", max_drop=0.001, slice="*")
    failed, runs = 0, 25
    for _ in range(runs):
        drawn = rng.multinomial(500, [0.04, 0.04, 0.92], 60)
        cells = [counts(500, a, b, slice_=str(i)) for i, (a, b, _) in enumerate(drawn)]
        failed += one(*cells, budgets=[budget]).outcome == "FAIL"
    assert failed / runs < 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / runs)


def test_holm_lets_clear_candidates_pass_and_keeps_the_others_share():
    paired = [counts(3000, *c, candidate=n) for n, c in
              {"bad": (300, 10), "good": (10, 10), "fine": (12, 10)}.items()]  # fmt: skip
    verdicts = {v.candidate: v for v in judged(*paired)}
    assert [verdicts[n].outcome for n in ("good", "fine", "bad")] == ["PASS", "PASS", "FAIL"]
    assert [verdicts[n].share for n in ("good", "fine", "bad")] == [3, 2, 1]
    assert {v.tried for v in verdicts.values()} == {3}


def test_the_price_of_many_candidates_can_cost_a_pass():
    alone = one(counts(1000, 18, 10))
    assert alone.outcome == "PASS"
    both = judged(*(counts(1000, 18, 10, candidate=str(i)) for i in range(8)))
    assert {v.outcome for v in both} == {"INCONCLUSIVE"}


@pytest.mark.parametrize(
    ("shift", "outcome"), [(0.0, "PASS"), (-0.2, "PASS"), (0.2, "FAIL"), (0.05, "INCONCLUSIVE")]
)
def test_a_rise_of_the_loss_is_a_drop_of_quality(shift, outcome):
    rng = np.random.default_rng(0)
    before = rng.exponential(size=500)
    after = before + shift + rng.normal(0, 0.1, 500)
    if outcome == "INCONCLUSIVE":
        after += 0.05 - (after - before).mean()
    verdict = one(rows(before, after), budgets=[Budget(quantity="log_loss", max_drop=0.05)])
    (finding,) = verdict.findings
    assert finding.outcome == outcome
    assert finding.limit == 0.05
    assert finding.estimate.value == pytest.approx((after - before).mean())
    assert finding.estimate.low < finding.estimate.value < finding.estimate.high
    sign = "+" if shift >= 0.05 else ""
    assert f"log_loss on main {sign}" in verdict_line(verdict)
    assert "allowed +0.05" in verdict_line(verdict)


@pytest.mark.parametrize(
    ("budget", "outcome"),
    [
        ({"at_most": 1.3}, "PASS"),
        ({"at_most": 0.7}, "FAIL"),
        ({"at_most": 1.0}, "INCONCLUSIVE"),
        ({"at_least": 0.7}, "PASS"),
        ({"at_least": 1.3}, "FAIL"),
    ],
)
def test_a_mean_against_a_limit(budget, outcome):
    values = np.random.default_rng(0).exponential(size=1000)
    (finding,) = one(rows(values, values), budgets=[Budget(quantity="log_loss", **budget)]).findings
    assert finding.outcome == outcome
    assert finding.estimate.low < values.mean() < finding.estimate.high
    assert finding.estimate.value == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("quantity", "limit", "outcome"),
    [("flips", 0.1, "PASS"), ("flips", 0.04, "FAIL"), ("lost", 0.04, "PASS"), ("won", 0.02, "FAIL"),
     ("other", 0.02, "INCONCLUSIVE")],
)  # fmt: skip
def test_shares_of_changed_answers(quantity, limit, outcome):
    paired = counts(2000, 40, 80, other=35)
    (finding,) = one(paired, budgets=[Budget(quantity=quantity, at_most=limit)]).findings
    assert finding.outcome == outcome
    assert finding.estimate.low <= finding.estimate.value <= finding.estimate.high


@pytest.mark.parametrize(
    ("n", "right", "outcome"),
    [(1000, 1.0, "PASS"), (100, 1.0, "INCONCLUSIVE"), (1000, 0.9, "FAIL")],
)
def test_accuracy_of_at_least(n, right, outcome):
    budget = Budget(quantity="accuracy", at_least=0.99)
    (finding,) = one(counts(n, 0, 0, right=right), budgets=[budget]).findings
    assert finding.outcome == outcome
    if outcome == "INCONCLUSIVE":
        assert finding.needed == 299


def grouped(groups, size, lost):
    """Whole groups that lose or win together: one group says no more than one row."""
    rng = np.random.default_rng(0)
    moved = np.repeat(rng.permutation([-1] * lost + [0] * (groups - lost)), size)
    after = (1 + moved).astype(float)
    return rows(np.ones(groups * size), after, metric="accuracy", higher=True,
                groups=np.repeat(np.arange(groups), size))  # fmt: skip


def test_rows_of_one_group_count_as_one():
    budget = Budget(quantity="accuracy", max_drop=0.05)
    apart, together = grouped(2000, 1, 60), grouped(200, 10, 6)
    assert one(apart, budgets=[budget]).outcome == "PASS"
    (finding,) = one(together, budgets=[budget]).findings
    assert finding.outcome == "INCONCLUSIVE"
    assert finding.needed > 5 * one(counts(200, 4, 0), budgets=[budget]).findings[0].paired.n
    assert finding.estimate.low < -0.05


@pytest.mark.parametrize("lost", [0, 1, 30, 120])
@pytest.mark.parametrize(
    "budget", [{"max_drop": 0.05}, {"at_least": 0.95}, {"quantity": "flips", "at_most": 0.05}]
)
def test_grouped_intervals_show_their_test(lost, budget):
    budget = Budget(**{"quantity": "accuracy", **budget})
    (finding,) = one(grouped(300, 3, lost), budgets=[budget]).findings
    e = finding.estimate
    assert e.method == "clustered score"
    held = e.high < finding.limit if budget.at_most else e.low > finding.limit
    assert (finding.outcome == "PASS") == held
    assert (finding.outcome == "FAIL") <= (not e.low <= finding.limit <= e.high)
    assert e.low <= e.value <= e.high


@pytest.mark.parametrize("paired", [grouped(1, 9, 0), rows([1.0], [1.5])], ids=["group", "row"])
def test_a_single_group_or_row_is_too_little_not_an_error(paired):
    verdict = one(paired, budgets=[Budget(quantity=paired.metric, max_drop=0.05)])
    assert verdict.outcome == "INCONCLUSIVE"
    assert "needs rows of more than one group" in verdict_line(verdict)


@pytest.mark.parametrize(("limit", "outcome"), [(10.0, "PASS"), (9.999, "FAIL")])
def test_a_size_is_certain(limit, outcome):
    verdict = one(sizes={"int8": 10_000_000}, budgets=[Budget(quantity="size_mb", at_most=limit)])
    assert verdict.outcome == outcome


@pytest.mark.parametrize(
    ("calls", "limit", "outcome"),
    [
        (700, 20.0, "PASS"),
        (100, 20.0, "INCONCLUSIVE"),
        (100, 0.5, "FAIL"),
        (330, 20.0, "INCONCLUSIVE"),
    ],
)
def test_a_percentile_needs_its_calls(calls, limit, outcome):
    ms = np.random.default_rng(0).uniform(1, 10, calls)
    verdict = one(loads=loads(int8=ms), budgets=[Budget(quantity="p99_ms", at_most=limit)])
    (finding,) = verdict.findings
    assert finding.outcome == outcome
    assert finding.estimate.value in ms
    if outcome == "INCONCLUSIVE":
        assert finding.estimate.high == np.inf
        assert finding.needed >= 299
        assert f"needs about {finding.needed:,} calls" in verdict_line(verdict)


def test_a_speedup_compares_call_by_call():
    rng = np.random.default_rng(0)
    base = rng.lognormal(0, 1, 400)
    fast = base / rng.normal(2, 0.1, 400)
    both, budget = loads(baseline=base, int8=fast), Budget(quantity="speedup", at_least=1.9)
    (finding,) = one(loads=both, budgets=[budget]).findings
    assert finding.outcome == "PASS"
    assert 1.95 < finding.estimate.low < 2 < finding.estimate.high < 2.05
    few = loads(baseline=base[:4], int8=fast[:4])
    (finding,) = one(loads=few, budgets=[budget]).findings
    assert finding.outcome == "INCONCLUSIVE"
    assert finding.needed >= 5


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ([], "no budget"),
        ([Budget(quantity="accuracy", max_drop=0.1, slice="x")], "in slice 'x'"),
        ([Budget(quantity="accuracy", max_drop=0.1, dataset="x")], "in data set 'x'"),
        (
            [Budget(quantity="p99_ms", at_most=1, batch=8)],
            "no latency measured for 'int8' at batch",
        ),
        ([Budget(quantity="size_mb", at_most=1)], "no size measured for 'int8'"),
    ],
)
def test_a_budget_on_what_was_not_measured_is_an_error(budgets, said):
    with pytest.raises(BudgetError, match=said):
        one(counts(100, 1, 1), budgets=budgets)


def test_the_cheapest_that_passed_comes_first():
    verdicts = judged(*(counts(3000, lost, 10, candidate=name) for name, lost in
                        {"bad": 300, "slow": 10, "fast": 12}.items()))  # fmt: skip
    assert best(verdicts, {"bad": 1, "slow": 9, "fast": 3}).candidate == "fast"
    assert best(verdicts[:1], {}).candidate == "bad"


def test_one_broken_budget_of_many_fails_the_candidate():
    paired = [counts(2000, 10, 10), counts(500, 80, 5, slice_="short")]
    budgets = [DROP, Budget(quantity="accuracy", max_drop=0.02, slice="*")]
    verdict = one(*paired, budgets=budgets)
    assert verdict.outcome == "FAIL"
    assert [f.outcome for f in verdict.findings] == ["PASS", "FAIL"]
    assert verdict_line(verdict).startswith(
        "FAIL  int8  1 of 2 budgets: accuracy on main [short] -15.0 pp ["
    )
