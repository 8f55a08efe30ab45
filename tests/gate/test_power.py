"""What data can decide, against the gate itself."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Evidence, Paired, Use
from surefoot.core.load import LoadProfile
from surefoot.core.model import StepCall
from surefoot.evaluate.shifted import shifted
from surefoot.gate import gate_evidence
from surefoot.gate.power import Design, Place, foresee, places, too_small
from surefoot.report.power import power_line, power_lines, too_small_line

ALONE = Design(candidates=1, calls=800)
DROP = Budget(quantity="accuracy", max_drop=0.02)
MAIN = Place(dataset="main", rows=1_000)


def grouped(*sizes):
    return Place(dataset="main", rows=sum(sizes), sizes=np.array(sizes))


def foreseen(budget, place=MAIN, design=ALONE, flips=(0.05,)):
    (prospect,) = foresee([budget], [place], design, flips).prospects
    return prospect


def share_of_passes(place, budget, lost, won, *, candidates=1, runs=400):
    """How often the gate itself passes the first of some equal candidates."""
    rng, passes = np.random.default_rng(0), 0
    for _ in range(runs):
        drawn = rng.multinomial(place.rows, [lost, won, 1 - lost - won], candidates)
        paired = tuple(
            Paired(
                candidate=str(i), dataset=place.dataset, slice=None, metric="accuracy",
                n=place.rows, lost=int(a), won=int(b), other=0, baseline=0.8,
                value=round(0.8 * place.rows + b - a) / place.rows,
            )
            for i, (a, b, _) in enumerate(drawn)
        )  # fmt: skip
        names = tuple(p.candidate for p in paired)
        evidence = Evidence(baseline="baseline", candidates=names, paired=paired)
        passes += gate_evidence(evidence, [budget])[0].outcome == "PASS"
    return passes / runs


@pytest.mark.parametrize(
    "budget",
    [DROP, Budget(quantity="accuracy", max_drop=0.015, level=0.9)],
)
@pytest.mark.parametrize("rows", [400, 1_000])
def test_the_chance_of_a_pass_is_how_often_the_gate_passes(budget, rows):
    place = Place(dataset="main", rows=rows)
    (power,) = foreseen(budget, place).power
    assert share_of_passes(place, budget, 0.025, 0.025) == pytest.approx(power, abs=0.08)


def test_the_chance_of_keeping_a_share_is_how_often_the_gate_passes():
    budget = Budget(quantity="flips", at_most=0.06)
    place = Place(dataset="main", rows=300)
    prospect = foreseen(budget, place)
    # 5 % are assumed to change, but never more than half of what is allowed: 3 %.
    assert share_of_passes(place, budget, 0.015, 0.015) == pytest.approx(
        prospect.power[0], abs=0.08
    )


def test_several_candidates_and_earlier_uses_divide_alpha():
    shared = Design(candidates=4, calls=800, use=Use(count=2, share=0.15, left=0.2))
    few, many = foreseen(DROP), foreseen(DROP, design=shared)
    assert few.alpha == pytest.approx(0.05)
    assert many.alpha == pytest.approx(0.05 * 0.15 / 4)
    assert many.power[0] < few.power[0]
    assert many.needed[0] > few.needed[0]
    assert many.least > few.least
    half = share_of_passes(MAIN, DROP, 0.025, 0.025, candidates=4)
    expected = foreseen(DROP, design=Design(candidates=4, calls=1)).power[0]
    # Holm's later steps spend what the first one left, so the first step alone is no more.
    assert half > expected - 0.05


@pytest.mark.parametrize("rows", [50, 148, 149, 700, 1_500, 9_000])
@pytest.mark.parametrize("budget", [DROP, Budget(quantity="lost", at_most=0.03)])
def test_the_missing_rows_make_up_for_the_missing_power(budget, rows):
    prospect = foreseen(budget, Place(dataset="main", rows=rows), flips=(0.02, 0.05, 0.1))
    for power, needed, missing, decided in zip(
        prospect.power, prospect.needed, prospect.missing, prospect.decided, strict=True
    ):
        assert decided == (power >= 0.9) == (missing == 0) == (needed <= rows)
        assert missing == max(needed - rows, 0)
    enough = Place(dataset="main", rows=max(prospect.needed) + 60)
    assert min(foreseen(budget, enough, flips=(0.02, 0.05, 0.1)).power) >= 0.88


def test_rows_without_which_not_even_unchanged_answers_pass():
    least = foreseen(DROP).least
    assert (
        stats.noninferiority(0, 0, least, 0.02)
        <= 0.05
        < stats.noninferiority(0, 0, least - 1, 0.02)
    )
    below = foreseen(DROP, Place(dataset="main", rows=least - 1), flips=(0.0,))
    assert below.power == (0.0,)
    assert below.needed == (least,)


@pytest.mark.parametrize("sizes", [(4,) * 150, (1, 2, 9) * 90])
def test_groups_without_which_not_even_unchanged_answers_pass(sizes):
    # Means of 4 rows a group, kept by dropping three groups at once.
    clusters = foreseen(DROP, grouped(*sizes)).least / 4
    assert clusters == int(clusters)

    def p(clusters):
        groups = np.repeat(np.arange(clusters), np.resize(sizes, clusters))
        return stats.clustered_noninferiority(np.zeros(len(groups)), groups, 0.02)

    assert p(int(clusters)) <= 0.05 < p(int(clusters) - 3)


def test_rows_in_groups_are_worth_fewer():
    alone, grouped_ = foreseen(DROP), foreseen(DROP, grouped(*[5] * 200))
    assert (alone.worth, grouped_.worth) == (1_000, int(1_000 / (1 + 4 * 0.3)))
    assert grouped_.clusters == 200
    assert grouped_.power[0] < alone.power[0]
    assert grouped_.needed[0] == pytest.approx(alone.needed[0] * 2.2, rel=0.01)
    assert foreseen(DROP, grouped(*[1] * 1_000)).power == alone.power


def test_rows_in_groups_pass_about_as_often_as_foreseen():
    rng, sizes, passes = np.random.default_rng(1), (5,) * 400, 0
    groups = np.repeat(np.arange(400), 5)
    shares = [0.025, 0.025, 0.95]
    for _ in range(300):
        # A row takes its group's answer with a chance of the root of 0.3: they correlate by 0.3.
        one, all_ = rng.choice([-1, 1, 0], 2_000, p=shares), rng.choice([-1, 1, 0], 400, p=shares)
        rows = np.where(rng.random(2_000) < np.sqrt(0.3), all_[groups], one)
        passes += float(stats.clustered_noninferiority(rows, groups, 0.02)) <= 0.05
    assert passes / 300 == pytest.approx(foreseen(DROP, grouped(*sizes)).power[0], abs=0.08)


def test_an_accuracy_floor_is_a_share_of_errors():
    floor = foreseen(Budget(quantity="accuracy", at_least=0.9))
    errors = foreseen(Budget(quantity="other", at_most=0.1), flips=(0.9,))
    assert floor.power == errors.power
    assert floor.needed == errors.needed


@pytest.mark.parametrize(
    ("budget", "planned", "needed"),
    [
        # 0.05 = 0.99^n at 298.07, and 339 with the factor that ten blocks of time cost.
        (Budget(quantity="p99_ms", at_most=20), 200, 339),
        (Budget(quantity="p99_ms", at_most=20), 339, 339),
        (Budget(quantity="p50_ms", at_most=20), 3, 100),
        (Budget(quantity="speedup", at_least=2), 800, 100),
        (Budget(quantity="rows_per_s", at_least=2), 8, 100),
    ],
)
def test_calls_that_bound_a_quantile_at_all(budget, planned, needed):
    prospect = foreseen(budget, design=Design(candidates=1, calls=planned))
    assert prospect.unit == "calls"
    assert prospect.needed[0] == pytest.approx(needed, abs=1)
    assert prospect.decided == (planned >= prospect.needed[0],)
    assert prospect.missing == (max(prospect.needed[0] - planned, 0),)


@pytest.mark.parametrize("calls", [20, 150, 300, 345, 400])
def test_the_gate_passes_fast_calls_exactly_where_they_are_said_to_be_enough(calls):
    budget = Budget(quantity="p99_ms", at_most=20)
    fast = np.resize(np.linspace(1, 2, 10), calls)  # neighbours are no more alike than others
    loads = tuple(
        LoadProfile(
            candidate=name, runtime="onnxruntime", batch=1, threads=1, wall_ms=fast, cpu_ms=fast
        )
        for name in ("baseline", "int8")
    )
    evidence = Evidence(baseline="baseline", candidates=("int8",), loads=loads)
    (verdict,) = gate_evidence(evidence, [budget])
    (decided,) = foreseen(budget, design=Design(candidates=1, calls=calls)).decided
    assert decided == (verdict.outcome == "PASS")


def test_what_is_read_off_needs_no_rows():
    prospect = foreseen(Budget(quantity="size_mb", at_most=20))
    assert prospect.decided == (True,)
    assert prospect.unit == ""


def test_a_metric_of_unknown_spread_is_not_called_decidable():
    prospect = foreseen(Budget(quantity="log_loss", max_drop=0.01))
    assert prospect.decided == (False,)
    assert prospect.power == (None,)
    # 0.01 sqrt(1000) / (1.6449 + 1.2816)
    assert prospect.reason.endswith("a standard deviation of at most 0.11")


@pytest.mark.parametrize(
    ("budget", "subjects"),
    [
        (DROP, ["accuracy on a", "accuracy on b"]),
        (Budget(quantity="flips", at_most=0.1, dataset="b"), ["flips on b"]),
        (
            Budget(quantity="accuracy", max_drop=0.1, slice="*", dataset="a"),
            ["accuracy on a [s]", "accuracy on a [t]"],
        ),
        (
            Budget(quantity="accuracy", max_drop=0.1, slice="s"),
            ["accuracy on a [s]", "accuracy on b [s]"],
        ),
    ],
)
def test_a_budget_is_asked_where_the_gate_asks_it(budget, subjects):
    where = [Place(dataset=d, slice=s, rows=100) for d in "ab" for s in (None, "s", "t")]
    assert [p.subject for p in foresee([budget], where, ALONE).prospects] == subjects


def test_places_count_rows_and_groups_of_every_slice(text_task):
    data = text_task.test["main"]
    groups = np.array([f"g{i // 4}" for i in range(len(data))], np.dtypes.StringDType())
    mask = np.arange(len(data)) < 10
    whole, part = places({"main": replace(data, groups=groups, slices={"first": mask})})
    assert (whole.name, whole.rows, whole.sizes.tolist()) == ("main", 200, [4] * 50)
    assert (part.name, part.rows, sorted(part.sizes)) == ("main [first]", 10, [2, 4, 4])
    (plain,) = places({"main": data})
    assert plain.sizes is None


def test_a_budget_is_decided_only_if_it_is_in_every_place():
    where = [Place(dataset="big", rows=5_000), Place(dataset="tiny", rows=80)]
    outlook = foresee([DROP, Budget(quantity="size_mb", at_most=2)], where, ALONE)
    assert (outlook.decided, outlook.budgets) == (1, 2)
    assert outlook.worst().subject == "accuracy on tiny"
    missing = outlook.worst().missing[outlook.middle]
    line = power_line(outlook)
    assert line.startswith("POWER  1 of 2 budgets can be decided at 90 % power if 5 % of the answ")
    assert line.endswith(f"; accuracy on tiny misses {missing:,} rows")
    lines = power_lines(outlook)
    assert lines[0] == lines[-1] == line
    assert any("if no answer changes, a PASS takes 149 rows" in text for text in lines)


def test_together_is_never_more_than_the_least_likely():
    where = [Place(dataset="a", rows=2_000), Place(dataset="b", rows=1_500)]
    outlook = foresee([DROP], where, ALONE)
    for i, together in enumerate(outlook.together):
        chances = [p.power[i] for p in outlook.prospects]
        assert together == pytest.approx(max(0, sum(chances) - 1))
        assert together <= min(chances)


def test_the_middle_assumption_does_not_depend_on_the_order():
    one, other = (foresee([DROP], [MAIN], ALONE, f) for f in ([0.1, 0.01, 0.03], [0.01, 0.03, 0.1]))
    assert one == other
    assert one.flips[one.middle] == 0.03


@pytest.mark.parametrize("flips", [[], [-0.1], [1.5], [float("nan")]])
def test_a_share_that_is_none_is_refused(flips):
    with pytest.raises(BudgetError, match="changed answers is not one"):
        foresee([DROP], [MAIN], ALONE, flips)


def test_a_budget_without_a_place_is_refused():
    with pytest.raises(BudgetError, match="no place for the budget on 'accuracy'"):
        foresee([Budget(quantity="accuracy", max_drop=0.1, slice="*")], [MAIN], ALONE)
    with pytest.raises(BudgetError, match="no budget"):
        foresee([], [MAIN], ALONE)


TYPOS = replace(MAIN, shift="typos", severity=3.0)


@pytest.mark.parametrize(
    ("shift", "subjects"),
    [
        (None, ["accuracy on main"]),
        ("typos", ["accuracy on main + typos 3", "accuracy on main + typos 5"]),
        ("*", [f"accuracy on main + {s}" for s in ("typos 3", "typos 5", "case 1")]),
    ],
)
def test_a_budget_under_a_shift_is_foreseen_where_the_gate_asks_it(shift, subjects):
    hard, case = replace(TYPOS, severity=5.0), replace(MAIN, shift="case", severity=1.0)
    budget = replace(DROP, shift=shift)
    prospects = foresee([budget], [MAIN, TYPOS, hard, case], ALONE).prospects
    assert [p.subject for p in prospects] == subjects
    assert {p.power for p in prospects} == {foresee([DROP], [MAIN], ALONE).prospects[0].power}


def test_a_budget_under_a_shift_that_is_not_planned_has_no_place():
    with pytest.raises(BudgetError, match="no place for the budget on 'accuracy'"):
        foresee([replace(DROP, shift="case")], [MAIN, TYPOS], ALONE)


def test_places_are_counted_again_under_each_shift(text_task):
    data = text_task.test["main"]
    mask = np.arange(len(data)) < 10
    shifts = [StepCall(use="typos", options=(("severity", 3.0),)), StepCall(use="case")]
    found = places({"main": replace(data, slices={"first": mask})}, shifts)
    assert [(p.name, p.rows) for p in found] == [
        (f"main{shift}{part}", rows)
        for shift in ("", " + typos 3", " + case 1")
        for part, rows in (("", 200), (" [first]", 10))
    ]


def test_a_shift_that_chooses_rows_leaves_fewer(text_task):
    data = text_task.test["main"]
    call = StepCall(use="long_texts", options=(("severity", 3.0),))
    plain, few = places({"main": data}, [call])
    assert (plain.rows, few.name) == (200, "main + long_texts 3")
    assert few.rows == len(shifted(data, call)) < 150
    tight = replace(DROP, max_drop=0.015, shift="long_texts")
    (said,) = too_small([tight], [plain, few], ALONE)
    assert said.place == few


@pytest.mark.parametrize(
    "budget", [DROP, Budget(quantity="flips", at_most=0.03), replace(DROP, level=0.9)]
)
@pytest.mark.parametrize("candidates", [1, 3])
def test_too_small_is_where_the_gate_passes_nobody_even_if_no_answer_changes(budget, candidates):
    design = Design(candidates=candidates, calls=1)
    (found,) = too_small([budget], [Place(dataset="main", rows=1)], design)
    for rows, passes in ((found.least, True), (found.least - 1, False)):
        place = Place(dataset="main", rows=rows)
        assert bool(too_small([budget], [place], design)) is not passes
        share = share_of_passes(place, budget, 0.0, 0.0, candidates=candidates, runs=1)
        assert share == float(passes)


def test_each_place_is_too_small_once_for_the_budget_that_takes_most():
    tight, loose = replace(DROP, max_drop=0.001), replace(DROP, shift="*")
    where = [MAIN, TYPOS, Place(dataset="main", slice="short", rows=20)]
    every = [replace(DROP, slice="*"), tight, loose, Budget(quantity="log_loss", max_drop=0.1)]
    found = too_small([*every, Budget(quantity="size_mb", at_most=2)], where, ALONE)
    assert [(f.place.name, f.budget) for f in found] == [
        ("main [short]", every[0]),
        ("main", tight),
    ]
    assert too_small_line(found[0]) == (
        "main [short]: 20 rows cannot pass the budget on accuracy (drop at most 2 pp), which takes"
        " 149 even if no answer changes; surefoot power says more"
    )
    assert too_small([loose], where, ALONE) == ()


def test_few_groups_are_too_small_though_their_rows_are_many():
    (found,) = too_small([DROP], [grouped(*[10] * 60)], ALONE)
    assert found.least == foreseen(DROP, grouped(*[10] * 60)).least > 600


@pytest.mark.parametrize(("requests", "missing"), [(1500, 0), (300, 39), (None, 0)])
def test_a_load_needs_as_many_requests_as_its_bound_takes(requests, missing):
    """339 for the 99th percentile with ten blocks; those of a stream nobody knows before."""
    budget = Budget(quantity="p99_ms", at_most=20, load="peak")
    design = Design(candidates=1, calls=1, requests={"peak": requests} if requests else {})
    prospect = foreseen(budget, design=design)
    assert prospect.subject == "p99_ms under peak"
    assert prospect.missing[0] == missing
    assert prospect.decided[0] == (missing == 0)
    assert bool(prospect.reason) == (requests is None)
