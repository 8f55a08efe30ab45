"""Every candidate in every place: differences, the findings that speak of them, the words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import EVIL, QUICK, compared, place_line
from tests.report.test_terminal import PAIRED, finding, verdict

from surefoot.core.evidence import Budget
from surefoot.report.places import change_text, place_lines, shown_change

DROP = Budget(quantity="accuracy", max_drop=0.05)
FLIPS = Budget(quantity="flips", at_most=0.1)


def lines_of(comparisons, verdicts=(), tests=None, **more):
    plan = {"task": {"test": tests or {"main": {"use": "csv"}}}}
    return place_lines({"comparisons": comparisons, **more}, verdicts, plan)


@QUICK
@given(st.integers(0, 200), st.integers(0, 200), st.integers(400, 3000))
def test_a_difference_is_won_minus_lost_over_all_rows_and_lies_in_its_interval(lost, won, n):
    (line,) = lines_of([compared(lost=lost, won=won, n=n)])
    assert line.delta.value == pytest.approx((won - lost) / n)
    assert line.delta.low <= line.delta.value <= line.delta.high
    assert (line.delta.n, line.delta.level) == (n, 0.95)


def test_an_interval_ends_where_the_score_test_says_two_and_a_half_percent():
    """Tango's equation, solved here for the share of lost rows by bisection of its likelihood."""
    lost, won, n = 40, 15, 500
    (line,) = lines_of([compared(lost=lost, won=won, n=n)])
    for delta in (line.delta.low, line.delta.high):
        shares = np.linspace(max(0, -delta), (1 - delta) / 2, 200_001)[1:-1]
        # The rows that changed neither way have what is left of the probability.
        rest = 1 - 2 * shares - delta
        with np.errstate(divide="ignore"):
            likelihood = (
                lost * np.log(shares)
                + won * np.log(shares + delta)
                + (n - lost - won) * np.log(rest)
            )
        share = shares[np.nanargmax(likelihood)]
        score = (won - lost - n * delta) / math.sqrt(n * (2 * share + delta - delta**2))
        assert abs(score) == pytest.approx(1.959964, abs=2e-3)


def test_more_rows_of_the_same_shares_say_more():
    widths = [
        line.delta.high - line.delta.low
        for line in lines_of([compared(lost=60 * k, won=20 * k, n=2000 * k) for k in (1, 4, 16)])
    ]
    assert widths[0] > widths[1] > widths[2]
    assert widths[0] / widths[2] == pytest.approx(4, rel=0.1)  # the root of 16


def test_nothing_lost_is_a_difference_of_nothing_that_a_few_rows_cannot_show():
    one, many = lines_of([compared(lost=0, won=0, n=1), compared(lost=0, won=0, n=3000)])
    assert (one.delta.value, many.delta.value) == (0, 0)
    assert one.delta.low < -0.9
    assert -0.002 < many.delta.low < 0
    assert shown_change(many) == "+0.0 [-0.1, +0.1]"


def test_no_place_is_no_line():
    assert lines_of([]) == ()


def test_lines_stand_in_the_order_of_the_bundle():
    names = [("b", "main"), ("a", "main"), ("b", "far")]
    found = lines_of([compared(candidate=c, dataset=d) for c, d in names])
    assert [(line.candidate, line.dataset) for line in found] == names


def test_a_budget_on_the_drop_gives_its_own_interval_and_every_budget_its_outcome():
    drop = finding(-0.02, -0.04, 0.01, budget=DROP, outcome="INCONCLUSIVE")
    flips = finding(0.2, 0.1, 0.3, budget=FLIPS, outcome="FAIL")
    here, elsewhere = lines_of([compared(), compared(slice="short")], [verdict(flips, drop)])
    assert here.delta == drop.estimate
    assert here.outcome == "FAIL"
    assert elsewhere.outcome is None
    assert elsewhere.delta.method == "Tango score"


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        (("PASS",), "PASS"),
        (("PASS", "INCONCLUSIVE"), "INCONCLUSIVE"),
        (("INCONCLUSIVE", "FAIL", "PASS"), "FAIL"),
    ],
)
def test_the_outcome_of_a_place_is_the_worst_there(outcomes, worst):
    findings = [finding(0.01, 0.0, 0.02, budget=FLIPS, outcome=o) for o in outcomes]
    (line,) = lines_of([compared()], [verdict(*findings)])
    assert line.outcome == worst
    assert line.delta.value == pytest.approx(-0.02)  # of flips nothing is said of the difference


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"candidate": "other"}, {"dataset": "far"}, {"slice": "short"}, {"metric": "macro_f1"},
        {"shift": "typos", "severity": 1.0},
    ],
)  # fmt: skip
def test_a_finding_speaks_of_its_own_place_only(elsewhere):
    known = finding(budget=DROP, paired=PAIRED)
    (line,) = lines_of([compared(**elsewhere)], [verdict(known)])
    assert line.outcome is None
    away = replace(PAIRED, **elsewhere)
    (line,) = lines_of([compared(**elsewhere)], [verdict(finding(budget=DROP, paired=away))])
    assert line.outcome == "FAIL"


def test_severities_of_one_shift_are_different_places():
    comparisons = [compared(shift="typos", severity=s) for s in (1.0, 2.5)]
    judged = finding(budget=DROP, paired=replace(PAIRED, shift="typos", severity=2.5))
    mild, hard = lines_of(comparisons, [verdict(judged)])
    assert (mild.outcome, hard.outcome) == (None, "FAIL")
    assert (mild.under, hard.under) == ("typos 1", "typos 2.5")
    assert (hard.name, hard.rows_of) == ("main + typos 2.5", "main")


def test_a_place_is_called_what_a_verdict_calls_it():
    line = place_line(shift="typos", severity=3.0, slice="short")
    assert line.name == "main + typos 3 [short]"
    assert (line.under, line.rows_of) == ("typos 3", "main [short]")
    assert (place_line().name, place_line().under) == ("main", "as it came")


@pytest.mark.parametrize(
    ("dataset", "known"),
    [("flights", False), ("flights month=1", False), ("flights2", True), ("main", True)],
)
def test_counts_alone_tell_no_interval_of_rows_in_groups(dataset, known):
    tests = {"main": {"use": "csv"}, "flights": {"use": "csv", "group": "plane"}}
    (line,) = lines_of([compared(dataset=dataset)], tests=tests)
    assert (line.delta is not None) == known
    assert line.value - line.baseline == pytest.approx(-0.02)


def test_counts_alone_tell_nothing_of_other_metrics_and_of_several_seeds():
    seeds = {"between_seeds": 1e-4, "between_rows": 1e-4, "rest": 0.0}
    found = lines_of([compared(metric="macro_f1"), compared(seeds=seeds), compared()])
    assert [line.delta is not None for line in found] == [False, False, True]


def test_an_end_that_json_lacks_is_infinite_and_a_value_that_it_lacks_is_none():
    own = {"value": 0.1, "low": None, "high": None, "level": 0.95, "method": "t", "n": 2}
    open_, unknown, absent = lines_of(
        [compared()] * 3, differences=[own, {**own, "value": None}, None]
    )
    assert (open_.delta.low, open_.delta.high) == (-math.inf, math.inf)
    assert shown_change(open_) == "+10.0 [none, none]"
    assert (unknown.delta, absent.delta) == (None, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "-2.0 [-3.0, -1.0]"),
        ({"value": -0.0004, "low": -0.0004, "high": 0.00049}, "+0.0 [+0.0, +0.0]"),
        ({"value": 0.031, "low": 0.0, "high": math.inf}, "+3.1 [+0.0, none]"),
        ({"metric": "macro_f1"}, "-2.0 [-3.0, -1.0]"),
        ({"metric": "log_loss", "value": 0.0123, "low": -0.0, "high": 1.5}, "+0.0123 [+0, +1.5]"),
    ],
)
def test_a_difference_in_words(changes, words):
    ends = {k: changes.pop(k) for k in ("value", "low", "high") if k in changes}
    line = replace(place_line(**ends), **changes)
    assert shown_change(line) == words
    assert shown_change(line, ends=False) == words.split(" ")[0]


@pytest.mark.parametrize(
    ("baseline", "value", "words"),
    [
        (0.9, 0.85, "-5.0 (no interval)"),
        (0.9, 0.9, "+0.0 (no interval)"),
        (None, 0.9, "not computed"),
        (0.9, None, "not computed"),
        (None, None, "not computed"),
    ],
)
def test_what_has_no_interval_says_so(baseline, value, words):
    line = replace(place_line(None), baseline=baseline, value=value)
    assert shown_change(line) == words


@QUICK
@given(st.floats(-1, 1), st.sampled_from(["accuracy", "log_loss"]))
def test_a_change_always_has_a_sign_and_never_that_of_a_negative_nothing(value, metric):
    words = change_text(value, metric)
    assert words[0] in "+-"
    if float(words) == 0:
        assert words[0] == "+"
    else:
        assert math.copysign(1, float(words)) == math.copysign(1, value)


def test_names_of_others_come_through_as_they_are_for_whoever_shows_them():
    (line,) = lines_of([compared(dataset=EVIL, slice="|`\x1b[2J")], tests={EVIL: {"use": "csv"}})
    assert line.name == f"{EVIL} [|`\x1b[2J]"
