"""Candidates against each other: what they cost, what they lost, and who is ahead."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import EVIL, QUICK, place_line, report
from tests.report.test_svg import point
from tests.report.test_terminal import PAIRED, finding, verdict

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget
from surefoot.report.content import Standing, _front, _marked, budget_line, title, worst_first
from surefoot.report.junit import junit
from surefoot.report.markdown import markdown
from surefoot.report.page import page

DROP = Budget(quantity="accuracy", max_drop=0.05)
EMPTY = {
    "calibration": None, "failed": {}, "candidates": [], "comparisons": [], "rows": {},
    "latencies": [], "memory": {},
}  # fmt: skip


def milliseconds(value, low, high):
    return Estimate(value=value, low=low, high=high, level=0.95, method="order statistics", n=40)


def standing(name, size, p50=None, outcome="PASS", budgets=()):
    return Standing(
        name=name, outcome=outcome, decided="", line=f"{outcome}  {name}", runtime="onnxruntime",
        size_mb=size, p50_ms=p50, recipe="no step", budgets=budgets,
    )  # fmt: skip


def dropped(name, value, *, p_pass=0.001, budget=DROP, **more):
    found = finding(value, value - 0.01, value + 0.01, budget=budget, p_pass=p_pass, **more)
    return replace(verdict(found), candidate=name)


def base(p50=None):
    return standing("baseline", 100, p50, None)


@QUICK
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(-5, 5)), min_size=1, max_size=8),
    st.booleans(),
)
def test_ahead_are_those_that_nobody_beats_in_both(pairs, rises):
    points = [point(str(i), "PASS", cost, gain) for i, (cost, gain) in enumerate(pairs)]
    marked = list(_marked(points, rises=rises))
    sign = 1 if rises else -1
    for (cost, gain), found in zip(pairs, marked, strict=True):
        better = {(c, g) for c, g in pairs if c <= cost and sign * g >= sign * gain}
        assert found.on_front == (better == {(cost, gain)})
    assert any(p.on_front for p in marked)


@pytest.mark.parametrize(("metric", "rises"), [("accuracy", True), ("log_loss", False)])
def test_less_loss_is_ahead_of_more_loss_at_the_same_cost(metric, rises):
    budget = Budget(quantity=metric, max_drop=0.9)
    worse = -0.2 if rises else 0.2
    standings = [base(), standing("lost", 10), standing("kept", 10)]
    verdicts = [dropped("lost", worse, budget=budget), dropped("kept", 0.0, budget=budget)]
    places = [
        place_line(metric=metric, candidate=c, higher_is_better=rises) for c in ("lost", "kept")
    ]
    found = _front(standings, places, verdicts)
    assert [p.name for p in found.points[1:] if p.on_front] == ["kept"]
    assert found.gain.startswith(f"{metric}, candidate minus baseline")
    assert found.gain.endswith("where its budget is most in doubt")


def test_a_share_is_told_in_points_with_its_limit_and_another_metric_as_it_is():
    standings = [base(), standing("int8", 25)]
    share = _front(standings, [place_line()], [dropped("int8", -0.02, limit=-0.05)])
    assert (share.limit, share.points[1].gain) == (pytest.approx(-5), pytest.approx(-2))
    assert (share.points[1].low, share.points[1].high) == (pytest.approx(-3), pytest.approx(-1))
    loss = Budget(quantity="log_loss", max_drop=0.1)
    plain = _front(standings, [], [dropped("int8", 0.02, budget=loss, limit=0.1)])
    assert (plain.limit, plain.points[1].gain) == (0.1, 0.02)
    assert ", pp" not in plain.gain


def test_of_several_places_the_one_most_in_doubt_is_taken():
    sure, doubtful = (
        finding(value, budget=DROP, p_pass=p, subject=f"accuracy at {p}")
        for value, p in ((-0.01, 1e-6), (-0.04, 0.4))
    )
    flips = finding(0.3, budget=Budget(quantity="flips", at_most=0.1), p_pass=0.9)
    found = _front([base(), standing("int8", 25)], [], [verdict(flips, sure, doubtful)])
    assert (found.points[1].subject, found.points[1].gain) == ("accuracy at 0.4", -4)


def test_limits_that_differ_are_no_line():
    standings = [base(), standing("a", 25), standing("b", 30)]
    verdicts = [dropped("a", -0.01, limit=-0.05), dropped("b", -0.01, limit=-0.02)]
    assert _front(standings, [], verdicts).limit is None


def test_without_a_budget_on_the_drop_the_first_test_set_is_taken():
    size = verdict(finding(25, budget=Budget(quantity="size_mb", at_most=30), paired=None))
    places = [place_line(), place_line(-0.3, -0.4, -0.2, dataset="far")]
    found = _front([base(), standing("int8", 25)], places, [size])
    assert found.limit is None
    assert found.gain == "accuracy, candidate minus baseline, pp, on the first test set"
    assert (found.points[1].gain, found.points[1].subject) == (-2, "accuracy on main")
    bare = _front([base(), standing("int8", 25)], [place_line(None)], [size])
    assert [p.name for p in bare.points] == ["baseline"]  # no difference, no box


def test_the_cost_is_time_only_where_everybody_was_timed():
    times = milliseconds(4.0, 3.5, math.inf)
    timed = _front([base(milliseconds(9, 8, 10)), standing("int8", 25, times)], [],
                   [dropped("int8", 0.0)])  # fmt: skip
    assert timed.cost == "median milliseconds a call"
    assert (timed.points[1].cost_low, timed.points[1].cost_high) == (3.5, math.inf)
    partly = _front([base(), standing("int8", 25, times)], [], [dropped("int8", 0.0)])
    assert partly.cost == "MB"
    assert [p.cost for p in partly.points] == [100, 25]


def test_budgets_are_told_in_words_and_the_worst_first():
    lines = [
        budget_line(finding(outcome=outcome, subject=str(i), needed=4_000, reason="r"))
        for i, outcome in enumerate(["PASS", "INCONCLUSIVE", "FAIL", "PASS", "FAIL"])
    ]
    assert [one.subject for one in worst_first(lines)] == ["2", "4", "1", "0", "3"]
    assert lines[1].note == "needs about 4,000 rows; r"
    assert (lines[0].note, lines[0].changed) == ("r", "12/3")
    assert (lines[0].measured, lines[0].limit) == ("-0.9 pp [-2.0, +0.2]", "allowed -1.0 pp")
    alone = budget_line(finding(25, budget=Budget(quantity="size_mb", at_most=30), paired=None))
    assert alone.changed == ""


@pytest.fixture
def bare():
    """A report of one candidate under one budget, with no place, latency, slice or search."""
    one = budget_line(finding(-math.inf, -math.inf, math.inf, budget=DROP, paired=PAIRED))
    only = standing(EVIL, 0.0, None, "FAIL", (one,))
    return report(
        candidate=EVIL, outcome="FAIL", line=f"FAIL  {EVIL}  1 of 1 budgets: {one.subject}",
        standings=(base(), only), data=EMPTY, front=_front([base(), only], [], []),
    )  # fmt: skip


def test_a_page_of_next_to_nothing_is_a_page(bare):
    text = page(bare)
    assert "<script" not in text
    assert "no place was measured" in text
    assert "At least one budget was shown to be broken." in text
    assert "[none, none]" in text
    for section in ("speed", "far", "checks", "search", "confidence"):
        assert f'href="#{section}"' not in text
    assert title(bare) == f"FAIL: {EVIL}, reviews"


def test_a_comment_of_next_to_nothing_is_one_line_and_its_tables(bare):
    first, *_ = markdown(bare).splitlines()
    assert first == f"✗ **FAIL** `{EVIL}`: `1 of 1 budgets: accuracy on main`"
    assert "<summary>Waivers</summary>" not in markdown(bare)
    assert f"| `FAIL` | `{EVIL}` | `0.00` |" in markdown(bare)


def test_one_failed_budget_is_one_failed_test(bare):
    (suite,) = ET.fromstring(junit(bare))
    assert [suite.get(k) for k in ("tests", "failures", "errors", "skipped")] == [
        "1",
        "1",
        "0",
        "0",
    ]
    (case,) = suite.iter("testcase")
    assert case.get("classname") == f"surefoot.reviews.{EVIL}"
    assert "[none, none]" in case.find("failure").text
