"""Budgets on quantities that are no share of rows: what each is held against, how it is shown."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence, Paired, Use
from surefoot.core.load import LoadProfile, Machine
from surefoot.gate import finalists, gate_evidence, noise
from surefoot.report.terminal import verdict_line


def profile(name, wall, cpu=None, batch=4):
    wall = np.asarray(wall, float)
    return LoadProfile(
        candidate=name, runtime="onnxruntime", batch=batch, threads=1, wall_ms=wall,
        cpu_ms=wall if cpu is None else np.asarray(cpu, float),
    )  # fmt: skip


def finding(budget, **measured):
    evidence = Evidence(baseline="baseline", candidates=("lean",), **measured)
    ((found,),) = (verdict.findings for verdict in gate_evidence(evidence, [budget]))
    return found


@pytest.fixture
def calls():
    """800 calls of 10 ms in the mean that drift a little."""
    rng = np.random.default_rng(0)
    return 10 + np.sin(np.arange(800) / 90) * 0.2 + rng.normal(0, 0.5, 800)


@pytest.mark.parametrize(
    ("limit", "outcome"), [(380.0, "PASS"), (400.0, "INCONCLUSIVE"), (420.0, "FAIL")]
)
def test_throughput_is_rows_over_the_mean_call(calls, limit, outcome):
    budget = Budget(quantity="rows_per_s", at_least=limit, batch=4)
    found = finding(budget, loads=(profile("lean", calls),))
    assert found.outcome == outcome
    assert found.estimate.value == pytest.approx(4 * 1000 / calls.mean(), rel=1e-9)
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.estimate.method == "t of block means"


@pytest.mark.parametrize(("limit", "outcome"), [(0.75, "PASS"), (0.65, "FAIL")])
def test_cpu_hours_are_those_of_a_million_rows(calls, limit, outcome):
    budget = Budget(quantity="cpu_hours", at_most=limit, batch=4)
    found = finding(budget, loads=(profile("lean", 99 * calls, cpu=calls),))
    assert found.outcome == outcome
    per_row_ms = calls.mean() / 4
    assert found.estimate.value == pytest.approx(per_row_ms / 1000 / 3600 * 1e6)


@pytest.mark.parametrize(("limit", "outcome"), [(200, "PASS"), (100, "FAIL")])
def test_memory_is_read_off(limit, outcome):
    found = finding(Budget(quantity="memory_mb", at_most=limit), memory={"lean": 150_000_000})
    assert (found.outcome, found.estimate.value) == (outcome, 150.0)


def test_memory_that_nobody_measured_is_an_error():
    with pytest.raises(BudgetError, match="no memory measured for 'lean'"):
        finding(Budget(quantity="memory_mb", at_most=100))


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_a_machine_that_cannot_tell_two_equal_models_certifies_no_latency(calls, ratio):
    loads = (
        profile("baseline", 2 * calls), profile("baseline (again)", 2 * calls * ratio),
        profile("lean", calls),
    )  # fmt: skip
    found = finding(Budget(quantity="speedup", at_least=1.5, batch=4), loads=loads)
    assert found.outcome == "INCONCLUSIVE"
    assert f"the baseline took {ratio:.2f} [{ratio:.2f}, {ratio:.2f}] times" in found.reason
    assert found.needed is None  # more calls of this kind would not help


def of_set(own, difference, *, changed=50, n=1000, metric="macro_f1", higher=True):
    """A metric of the whole set with normal replicates."""
    rng = np.random.default_rng(0)

    def drawn(value, error):
        replicates = value + rng.normal(0, error, 4000)
        return stats.Resampled(
            value=np.float64(value), replicates=replicates, acceleration=np.float64(0)
        )

    return Paired(
        candidate="lean", dataset="main", slice=None, metric=metric, n=n, lost=changed, won=0,
        other=0, baseline=own - difference, value=own, higher_is_better=higher,
        drawn=(drawn(own, 0.02), drawn(difference, 0.005)), of_answers=metric == "macro_f1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "outcome", "shown", "standard_error"),
    [
        (Budget(quantity="macro_f1", max_drop=0.02), "PASS", -0.01, 0.005),
        (Budget(quantity="macro_f1", max_drop=0.011), "INCONCLUSIVE", -0.01, 0.005),
        (Budget(quantity="macro_f1", at_least=0.70), "PASS", 0.80, 0.02),
        (Budget(quantity="macro_f1", at_least=0.90), "FAIL", 0.80, 0.02),
    ],
)
def test_a_metric_of_sets_is_judged_by_its_replicates(budget, outcome, shown, standard_error):
    found = finding(budget, paired=(of_set(0.80, -0.01),))
    assert found.outcome == outcome
    assert found.estimate.value == shown
    assert found.estimate.method == "BCa bootstrap"
    half = (found.estimate.high - found.estimate.low) / 2
    assert half == pytest.approx(1.645 * standard_error, rel=0.08)


@pytest.mark.parametrize(
    ("limit", "outcome"), [({"at_most": 0.15}, "PASS"), ({"at_most": 0.05}, "FAIL")]
)
def test_a_metric_that_should_be_small_is_read_the_other_way(limit, outcome):
    paired = of_set(0.10, 0.03, metric="ece", higher=False)
    found = finding(Budget(quantity="ece", **limit), paired=(paired,))
    assert (found.outcome, found.estimate.value) == (outcome, 0.10)
    worse = finding(Budget(quantity="ece", max_drop=0.01), paired=(paired,))
    assert (worse.outcome, worse.estimate.value, worse.limit) == ("FAIL", 0.03, 0.01)


def test_too_few_changed_answers_say_nothing_about_their_variance():
    still = of_set(0.80, 0.0, changed=3)
    found = finding(Budget(quantity="macro_f1", max_drop=0.02), paired=(still,))
    assert found.outcome == "INCONCLUSIVE"
    assert "too few answers changed to resample" in found.reason
    by_scores = replace(still, metric="ece", of_answers=False)
    assert finding(Budget(quantity="ece", max_drop=0.02), paired=(by_scores,)).outcome == "PASS"


def counts(name, lost, won, n=2000):
    return Paired(
        candidate=name, dataset="main", slice=None, metric="accuracy", n=n, lost=lost, won=won,
        other=0, baseline=0.9, value=0.9 + (won - lost) / n,
    )  # fmt: skip


DROP = Budget(quantity="accuracy", max_drop=0.02)


def test_a_later_use_of_the_data_asks_for_more():
    evidence = Evidence(baseline="baseline", candidates=("lean",), paired=(counts("lean", 40, 20),))
    (first,) = gate_evidence(evidence, [DROP])
    (fifth,) = gate_evidence(evidence, [DROP], use=Use(count=5, share=0.024, left=0.11))
    assert (first.outcome, fifth.outcome) == ("PASS", "INCONCLUSIVE")
    assert fifth.findings[0].estimate.level == pytest.approx(1 - 2 * 0.05 * 0.024)
    assert fifth.findings[0].needed > first.findings[0].paired.n
    assert fifth.use.count == 5


def test_the_number_tried_is_that_of_the_search():
    evidence = Evidence(baseline="baseline", candidates=("a",), paired=(counts("a", 5, 5),))
    (verdict,) = gate_evidence(evidence, [DROP], tried=50)
    assert (verdict.tried, verdict.share) == (50, 1)


def test_too_few_rows_for_any_answer_are_said_with_the_rows_that_could():
    evidence = Evidence(
        baseline="baseline", candidates=("lean",), paired=(counts("lean", 0, 0, n=100),)
    )
    (verdict,) = gate_evidence(evidence, [DROP])
    assert "needs about 149 rows; 100 rows cannot show it while hardly" in verdict_line(verdict)


LOSSES = {"broken": 90, "unsure": 44, "close": 38, "fine": 10, "better": 5, "best": 2}
COSTS = {"best": 9, "better": 3, "fine": 5, "close": 2, "unsure": 1, "broken": 0}


@pytest.mark.parametrize(
    ("most", "chosen"),
    [
        (1, ("close",)),  # one alone is the cheapest of the likely ones
        (2, ("close", "best")),  # and the cheapest of the likely ones
        (3, ("close", "better", "best")),
        (4, ("close", "better", "fine", "best")),
        (5, ("unsure", "close", "better", "fine", "best")),  # the unlikely only where there is room
        (9, ("unsure", "close", "better", "fine", "best")),  # never the broken one
    ],
)
def test_finalists_are_the_surest_and_the_cheapest_likely_ones(most, chosen):
    evidence = Evidence(
        baseline="baseline", candidates=tuple(LOSSES),
        paired=tuple(counts(name, lost, 5) for name, lost in LOSSES.items()),
    )  # fmt: skip
    assert finalists(evidence, [DROP], COSTS, most=most) == chosen


def test_finalists_without_a_known_cost_come_last():
    evidence = Evidence(
        baseline="baseline", candidates=("a", "b"),
        paired=tuple(counts(name, 5, 5) for name in ("a", "b")),
    )  # fmt: skip
    assert finalists(evidence, [DROP], {"b": 7.0}) == ("b", "a")
    assert finalists(evidence, [DROP], {"a": float("inf"), "b": 7.0}, most=2) == ("b", "a")


def test_there_are_no_finalists_where_all_look_broken():
    evidence = Evidence(baseline="baseline", candidates=("a",), paired=(counts("a", 90, 5),))
    assert finalists(evidence, [DROP], {"a": 1.0}) == ()


def test_finalists_need_a_budget_that_selection_can_speak_of():
    evidence = Evidence(baseline="b", candidates=("a",), paired=(counts("a", 1, 1),))
    with pytest.raises(BudgetError, match="selection data"):
        finalists(evidence, [Budget(quantity="p99_ms", at_most=3)], {})


def test_a_machine_whose_noise_is_unknown_certifies_nothing_either():
    """The median is right, but it may lie anywhere between 0.8 and 1.25."""
    rng = np.random.default_rng(0)
    base = np.full(100, 10.0)
    again = base * np.repeat(rng.permutation([0.8, 1.25] * 5), 10)
    loads = (
        profile("baseline", base), profile("baseline (again)", again), profile("lean", base / 9),
    )  # fmt: skip
    found = finding(Budget(quantity="speedup", at_least=1.5, batch=4), loads=loads)
    assert "too noisy" in found.reason


@pytest.mark.parametrize("quantity", ["p50_ms", "rows_per_s"])
def test_calls_too_few_to_show_how_alike_neighbours_are_decide_nothing(calls, quantity):
    limit = {"at_most": 99.0} if quantity == "p50_ms" else {"at_least": 1.0}
    budget = Budget(quantity=quantity, batch=4, **limit)
    few = finding(budget, loads=(profile("lean", calls[:99]),))
    enough = finding(budget, loads=(profile("lean", calls[:100]),))
    assert (few.outcome, enough.outcome) == ("INCONCLUSIVE", "PASS")
    assert few.needed >= 100


def rows(difference, metric, span, groups=None):
    difference = np.asarray(difference, float)
    return Paired(
        candidate="lean", dataset="main", slice=None, metric=metric, n=difference.shape[-1],
        lost=0, won=0, other=0, baseline=0.0, value=float(difference.mean()), span=span,
        higher_is_better=metric == "accuracy", difference=difference,
        values=None if metric == "accuracy" else difference, groups=groups,
        share=metric == "accuracy",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "span", "margin"), [("brier", 2.0, 0.02), ("log_loss", 16.118, 0.10)]
)
def test_a_sure_model_that_is_rarely_wrong_is_not_released_at_the_margin(metric, span, margin):
    """Its rows change rarely, and then by all that the metric can change: t sees no variance."""
    rng, budget = np.random.default_rng(0), Budget(quantity=metric, max_drop=margin)

    def drawn():
        gains = span * (rng.uniform(size=300) < margin / span)
        return finding(budget, paired=(rows(gains, metric, span),)).outcome

    passed = [drawn() == "PASS" for _ in range(400)]
    assert np.mean(passed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_seeds_that_agree_are_not_surer_than_one():
    rng, budget = np.random.default_rng(0), Budget(quantity="accuracy", max_drop=0.01)

    def drawn():
        one = -(rng.uniform(size=300) < 0.01).astype(float)
        return finding(budget, paired=(rows([one, one, one], "accuracy", 1.0),)).outcome

    passed = [drawn() == "PASS" for _ in range(400)]
    assert np.mean(passed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_seeds_that_change_nothing_pass_as_one_would():
    still = rows(np.zeros((3, 5000)), "accuracy", 1.0)
    assert finding(Budget(quantity="accuracy", max_drop=0.01), paired=(still,)).outcome == "PASS"


def test_a_loss_in_groups_may_have_a_margin_above_one():
    still = rows(np.zeros(400), "log_loss", 16.118, groups=np.arange(400) // 2)
    found = finding(Budget(quantity="log_loss", max_drop=1.5), paired=(still,))
    assert (found.outcome, found.estimate.method) == ("PASS", "cluster-robust t")


def test_a_metric_that_cannot_be_computed_in_a_place_is_open_with_the_reason():
    empty = replace(
        of_set(0.8, 0.0), drawn=None, value=float("nan"), note="these 3 rows are of 1 class"
    )
    found = finding(Budget(quantity="macro_f1", max_drop=0.02), paired=(empty,))
    assert (found.outcome, found.reason) == ("INCONCLUSIVE", "these 3 rows are of 1 class")


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(quantity="acuracy", max_drop=0.1), "did you mean 'accuracy'"),
        (Budget(quantity="latency", at_least=0.01), "'latency' is not measured"),
        (Budget(quantity="log_loss", max_drop=0.1), "'log_loss' is not measured"),
        (Budget(quantity="accuracy"), "needs exactly one of"),
        (Budget(quantity="flips", at_least=0.1), "'flips' takes at_most"),
        (Budget(quantity="accuracy", max_drop=0.1, level=0.01), "level: must be between"),
    ],
)
def test_a_budget_that_says_nothing_sound_never_passes(budget, said):
    with pytest.raises(BudgetError, match=said):
        finding(budget, paired=(counts("lean", 1, 1),))


def test_shares_of_grouped_rows_stay_shares():
    groups = np.repeat([0, 1], 60)
    change = np.zeros(120, np.int8)
    paired = replace(
        rows(np.zeros(120), "accuracy", 1.0, groups=groups), change=change, values=np.ones(120)
    )
    for budget in (
        Budget(quantity="flips", at_most=0.1),
        Budget(quantity="accuracy", at_least=0.5),
    ):
        found = finding(budget, paired=(paired,))
        assert 0 <= found.estimate.low <= found.estimate.value <= found.estimate.high <= 1
    found = finding(Budget(quantity="accuracy", max_drop=0.1), paired=(paired,))
    assert -1 <= found.estimate.low <= found.estimate.high <= 1


def test_the_method_is_named_for_what_it_is():
    few = finding(DROP, paired=(counts("lean", 1, 2),))
    many = finding(DROP, paired=(counts("lean", 3, 2),))
    assert (few.estimate.method, many.estimate.method) == ("exact, few changes", "Tango score")


def test_a_budget_without_a_shift_speaks_of_the_inputs_as_they_came():
    clean = counts("lean", 5, 5)
    typos = replace(counts("lean", 200, 5), shift="typos", severity=3.0)
    case = replace(counts("lean", 6, 5), shift="case", severity=1.0)
    measured = {"paired": (clean, typos, case)}
    assert finding(DROP, **measured).subject == "accuracy on main"
    broken = finding(replace(DROP, shift="typos"), **measured)
    assert (broken.subject, broken.outcome) == ("accuracy on main + typos 3", "FAIL")
    evidence = Evidence(baseline="b", candidates=("lean",), **measured)
    ((each,),) = [gate_evidence(evidence, [replace(DROP, shift="*")])]
    assert [f.paired.shift for f in each.findings] == ["typos", "case"]
    with pytest.raises(BudgetError, match="under shift 'ocr'"):
        finding(replace(DROP, shift="ocr"), **measured)


def test_flips_of_several_seeds_are_those_of_the_recipe():
    """One lucky seed must not speak for four that change a third of the answers."""
    rng = np.random.default_rng(0)
    change = np.stack([(rng.uniform(size=800) < rate) * 1 for rate in (0.005, 0.3, 0.3, 0.3, 0.3)])
    seeds = replace(rows(-change.astype(float), "accuracy", 1.0), change=change.astype(np.int8))
    found = finding(Budget(quantity="flips", at_most=0.05), paired=(seeds,))
    assert found.outcome != "PASS"
    assert found.estimate.value == pytest.approx(change.mean())


def test_a_bootstrap_of_a_few_groups_decides_nothing():
    few = replace(of_set(0.80, -0.05, n=900), groups=np.arange(900) % 5)
    found = finding(Budget(quantity="macro_f1", max_drop=0.02), paired=(few,))
    assert (found.outcome, found.needed) == ("INCONCLUSIVE", None)
    assert "5 independent rows or groups are too few to resample" in found.reason


def test_a_metric_that_did_not_move_at_all_is_said_to_say_nothing():
    still = of_set(0.80, 0.0, metric="auc")
    own, difference = still.drawn
    flat = replace(difference, replicates=np.zeros(4000))
    found = finding(
        Budget(quantity="auc", max_drop=0.02), paired=(replace(still, drawn=(own, flat)),)
    )
    assert "nothing changed that could be resampled" in found.reason


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Machine(steal=0.05, foreign=0.0), "the hypervisor gave 5.0% of the processors' time"),
        (Machine(steal=0.0, foreign=0.4), "other processes used 40% of the processors' time"),
        (Machine(steal=0.01, foreign=0.1), ""),
        (Machine(steal=None, foreign=None), ""),
    ],
)
def test_a_machine_that_did_other_things_judges_no_latency_but_a_ratio(calls, machine, said):
    twins = [profile(name, calls) for name in ("baseline", "baseline (again)")]
    loads = tuple(replace(p, machine=machine) for p in (*twins, profile("lean", calls / 4)))
    found = finding(Budget(quantity="p50_ms", at_most=20, batch=4), loads=loads)
    assert found.outcome == ("INCONCLUSIVE" if said else "PASS")
    assert said in found.reason
    # Two calls made in turn are slowed alike.
    faster = finding(Budget(quantity="speedup", at_least=2, batch=4), loads=loads)
    assert faster.outcome == "PASS"
    assert [entry["foreign"] for entry in noise(loads)] == [machine.foreign]
