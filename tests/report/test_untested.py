"""What was not tested: each gap is told where it is one, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.report.conftest import EVIL, compared
from tests.report.test_terminal import PAIRED, finding, verdict

from surefoot.core.evidence import Budget
from surefoot.report.untested import FEW_ROWS, NAMED, gaps

PLAN = {"task": {"test": {"main": {"group": "author"}, "far": {}}}, "evaluate": {"seeds": 3}}
SHORT = {"slice": "short"}
TYPOS = {"shift": "typos", "severity": 1.0}
LAST = "other data than these test sets, another machine, and whatever no budget names"


def everything():
    """`verdict.json` of a run in which nothing was left out."""
    return {
        "comparisons": [
            compared(**where) for where in ({}, {"dataset": "far"}, SHORT, TYPOS, SHORT | TYPOS)
        ],
        "envelopes": [{"axis": "typos"}],
        "found_slices": {"slices": []},
        "latencies": [{"candidate": "int8"}],
        "loads": [{"load": "web", "candidate": "int8", "invalid": ""}],
        "memory": {"int8": 1},
        "checks": [{"check": "finite"}],
        "calibration": {"rows": 100},
        "failed": {},
        "search": None,
    }


def judged(without=""):
    """A verdict that speaks of all of it, but for one budget."""
    at = {
        "p99_ms": None, "finite": None, "flips": PAIRED, "accuracy": PAIRED,
        "short": replace(PAIRED, **SHORT), "typos": replace(PAIRED, **TYPOS),
    }  # fmt: skip
    return [
        verdict(*(
            finding(budget=Budget(quantity=name, at_most=0.1), paired=paired)
            for name, paired in at.items()
            if name != without
        ))
    ]  # fmt: skip


def told(changes=(), *, verdicts=None, plan=PLAN):
    found = gaps(everything() | dict(changes), judged() if verdicts is None else verdicts, plan)
    assert found[-1].what == LAST
    assert all(gap.what and "\n" not in gap.what for gap in found)
    return {gap.what: gap.fix for gap in found[:-1]}


def test_where_all_was_measured_and_judged_only_the_last_remains():
    assert told() == {}


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        ({"envelopes": []}, "how far it holds: no axis was followed", "evaluate.envelope"),
        ({"found_slices": None}, "slices that nobody declared", "evaluate.find_slices"),
        ({"latencies": []}, "latency was not measured", "a budget on p99_ms or speedup"),
        ({"loads": []}, "load: calls were timed one at a time", "evaluate.load.NAME"),
        ({"memory": {}}, "memory was not measured", "a budget on memory_mb"),
        ({"checks": []}, "behaviour (odd inputs, attacks", "evaluate.checks"),
        ({"calibration": None}, "no temperature was fitted", "task.calibration"),
        ({"calibration": {"rows": 0}}, "no temperature was fitted", "task.calibration"),
        ({"failed": {"deep": "no"}}, "candidates that could not be made: deep", ""),
    ],
)
def test_what_was_not_measured_is_one_gap_with_its_key(changes, what, fix):
    ((said, key),) = told(changes).items()
    assert said.startswith(what)
    assert key == fix


@pytest.mark.parametrize(
    ("without", "what"),
    [
        ("p99_ms", "latency was measured, but no budget judges it"),
        ("finite", "checks that no budget judges: finite"),
        ("flips", "how many answers may change"),
        ("short", "slices that no budget judges: short"),
        ("typos", "measured under typos, but no budget judges it"),
        ("accuracy", None),
    ],
)
def test_what_was_measured_and_not_judged_is_a_gap(without, what):
    found = [*told(verdicts=judged(without))]
    assert [said.startswith(what or "-") for said in found] == ([True] if what else [])


@pytest.mark.parametrize("quantity", ["p50_ms", "p90_ms", "speedup", "rows_per_s"])
def test_any_budget_on_time_judges_latency_and_lost_answers_judge_flips(quantity):
    (known,) = judged("p99_ms")
    timed = finding(budget=Budget(quantity=quantity, at_most=1), paired=None)
    lost = finding(budget=Budget(quantity="lost", at_most=1))
    rest = [f for f in known.findings if f.budget.quantity != "flips"]
    assert told(verdicts=[verdict(*rest, timed, lost)]) == {}


def test_a_verdict_on_any_candidate_counts():
    one, other = judged("typos"), judged("short")
    assert told(verdicts=[*one, *other]) == {}


def test_a_run_without_shifts_and_slices_says_what_they_would_have_shown():
    bare = [compared(), compared(dataset="far")]
    found = told({"comparisons": bare}, verdicts=judged("short"))
    assert list(found.values()) == ["evaluate.shifts", "evaluate.slices or evaluate.class_slices"]
    assert "no shift was measured" in next(iter(found))
    assert "a group that lost more is not seen" in [*found][1]


@pytest.mark.parametrize(("n", "few"), [(FEW_ROWS - 1, True), (FEW_ROWS, False)])
def test_few_rows_are_fewer_than_a_hundred(n, few):
    comparisons = [
        compared(**where, n=n) for where in ({}, {"dataset": "far"}, SHORT, TYPOS, SHORT | TYPOS)
    ]
    found = told({"comparisons": comparisons})
    assert list(found) == (
        ["test sets with few rows: main (n=99), far (n=99)", "slices with few rows: short (n=99)"]
        if few
        else []
    )


def test_a_slice_that_is_large_in_one_test_set_is_not_small():
    more = [compared(dataset="far", n=5, **SHORT), compared(dataset="main", n=5000, **SHORT)]
    found = told({"comparisons": [*everything()["comparisons"], *more]})
    assert found == {}


def test_one_test_set_of_independent_rows_and_one_seed():
    own = [c for c in everything()["comparisons"] if c["dataset"] == "main"]
    plan = {"task": {"test": {"main": {"use": "csv"}}}}
    found = told({"comparisons": own}, plan=plan)
    assert list(found.values()) == ["task.test.NAME", "group of a source", "evaluate.seeds"]
    assert "'main' is the only test set" in next(iter(found))


def test_a_plan_that_says_nothing_is_not_said_to_have_independent_rows():
    assert list(told(plan={}).values()) == ["evaluate.seeds"]


def test_a_load_that_proves_nothing_names_everyone_it_proves_nothing_for():
    loads = [
        {"load": load, "candidate": name, "invalid": why}
        for load, name, why in [
            ("web", "baseline", "late"), ("web", "int8", "late"), ("peak", "int8", ""),
            ("night", "int8", "few requests"),
        ]
    ]  # fmt: skip
    assert told({"loads": loads}) == {
        "load web proves nothing for baseline, int8: late": "run again",
        "load night proves nothing for int8: few requests": "run again",
    }


@pytest.mark.parametrize(
    ("count", "end"),
    [(1, "c0"), (NAMED, "c4"), (NAMED + 1, "c4 and 1 more"), (2000, "c4 and 1,995 more")],
)
def test_of_many_names_a_few_are_named_and_the_others_counted(count, end):
    (said,) = told({"failed": {f"c{i}": "why" for i in range(count)}})
    assert said.endswith(end)
    assert said.count(",") == min(count, NAMED) - 1 + ("," in end)


def test_trials_of_a_search_that_were_not_measured():
    trials = [{"name": "a", "gain": None}, {"name": "b", "gain": {"value": 0}}]
    assert told({"search": {"trials": trials}}) == {
        "candidates that the search did not measure: a": "search.minutes"
    }
    assert told({"search": {"trials": trials[1:]}}) == {}


def test_an_older_bundle_that_lacks_keys_is_taken_to_have_measured_nothing_there():
    data = everything()
    for key in ("envelopes", "found_slices", "loads", "checks", "calibration", "search"):
        del data[key]
    found = gaps(data, judged(), PLAN)
    fixes = {gap.fix for gap in found}
    assert {"evaluate.envelope", "evaluate.find_slices", "evaluate.load.NAME"} <= fixes
    assert {"evaluate.checks", "task.calibration"} <= fixes


def test_names_of_others_are_passed_on_for_whoever_shows_them():
    found = told({"comparisons": [*everything()["comparisons"], compared(slice=EVIL)]})
    assert list(found) == [f"slices that no budget judges: {EVIL}"]
