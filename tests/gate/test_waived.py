"""Which waivers count: pure functions of verdicts, waivers and a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget, Finding, Verdict
from surefoot.core.waiver import Waiver
from surefoot.gate import bad_end, covering, hold_waivers, limit_kind, released

NOW = date(2026, 11, 27)
WAIVER = Waiver(
    budget="accuracy on main",
    limit="max_drop",
    candidate="int8",
    outcome="FAIL",
    measured="-3.0 pp [-4.0, -2.0], allowed -1.0 pp",
    worst=-0.04,
    until=date(2026, 12, 31),
    by="Ada",
    made=date(2026, 11, 20),
    reason="the fix is on its way",
)


def finding(outcome="FAIL", value=-0.03, budget=None, limit=-0.01, subject="accuracy on main"):
    estimate = Estimate(
        value=value, low=value - 0.01, high=value + 0.01, level=0.9, method="Tango score", n=800
    )
    return Finding(
        budget=budget or Budget(quantity="accuracy", max_drop=0.01),
        subject=subject,
        estimate=estimate,
        limit=limit,
        outcome=outcome,
        p_pass=0.9,
        p_fail=0.001,
    )


def verdict(*findings, candidate="int8"):
    rank = ("PASS", "INCONCLUSIVE", "FAIL")
    outcome = max((f.outcome for f in findings), key=rank.index)
    return Verdict(candidate=candidate, outcome=outcome, findings=findings, share=1, tried=1)


def held(*verdicts, waiver=WAIVER, now=NOW, written=None):
    return hold_waivers([waiver], verdicts, now=now, written=written)


def test_a_waiver_covers_the_failing_budget_that_it_names_and_changes_no_verdict():
    one = verdict(finding(), finding("PASS", 0.0, subject="accuracy on talks"))
    waived = held(one)
    assert waived.standings[0].state == "counts"
    assert covering(one.findings[0], "int8", waived) is WAIVER
    assert released(one, waived)
    assert one.outcome == "FAIL"


@pytest.mark.parametrize(
    "other",
    [
        finding(subject="accuracy on talks"),
        finding(budget=Budget(quantity="accuracy", at_least=0.9), limit=0.9, value=0.8),
    ],
)
def test_it_covers_no_other_budget(other):
    assert not released(verdict(finding(), other), held(verdict(finding(), other)))


def test_it_covers_no_other_candidate():
    other = verdict(finding(), candidate="int4")
    waived = held(other)
    assert waived.standings[0].state == "not needed"
    assert waived.standings[0].note == "no such budget of this candidate was judged"
    assert not released(other, waived)


def test_a_verdict_that_passes_needs_none():
    one = verdict(finding("PASS", 0.0))
    assert not released(one, hold_waivers([], [one], now=NOW, written=None))
    assert held(one).standings[0].note == "the budget holds"


@pytest.mark.parametrize(("day", "state"), [(31, "counts"), (30, "counts")])
def test_it_counts_through_its_last_day(day, state):
    assert held(verdict(finding()), now=date(2026, 12, day)).standings[0].state == state


def test_it_expires():
    one = verdict(finding())
    waived = held(one, now=date(2027, 1, 1))
    assert waived.standings[0].state == "expired"
    assert waived.standings[0].note == "it ended on 2026-12-31"
    assert not released(one, waived)


def test_a_clock_that_was_set_back_prolongs_nothing():
    one = verdict(finding())
    waived = held(one, now=date(2026, 12, 1), written=date(2027, 1, 5))
    assert waived.day == date(2027, 1, 5)
    assert waived.standings[0].state == "expired"
    assert "the clock here says 2026-12-01, and the verdict is dated 2027-01-05" in waived.note
    assert not released(one, waived)


def test_an_older_verdict_says_nothing_about_the_clock():
    waived = held(verdict(finding()), written=date(2026, 11, 1))
    assert (waived.day, waived.note) == (NOW, "")


def test_one_that_is_dated_later_than_today_does_not_count():
    waived = held(verdict(finding()), now=date(2026, 11, 19))
    assert waived.standings[0].state == "misdated"
    assert "dated 2026-11-20, which is after 2026-11-19" in waived.standings[0].note


@pytest.mark.parametrize(("value", "state"), [(-0.0399, "counts"), (-0.041, "exceeded")])
def test_what_is_worse_than_the_interval_that_was_signed_is_not_covered(value, state):
    one = verdict(finding(value=value))
    assert held(one).standings[0].state == state
    assert released(one, held(one)) == (state == "counts")


def test_what_was_signed_while_undecided_does_not_cover_a_failure():
    waived = held(verdict(finding("FAIL")), waiver=replace(WAIVER, outcome="INCONCLUSIVE"))
    assert waived.standings[0].state == "exceeded"
    assert waived.standings[0].note == "it was signed as INCONCLUSIVE, and is FAIL now"
    assert held(verdict(finding("INCONCLUSIVE"))).standings[0].state == "counts"


def test_an_interval_without_an_end_bounds_nothing():
    one = verdict(finding(value=-0.5))
    assert released(one, held(one, waiver=replace(WAIVER, worst=None)))


@pytest.mark.parametrize(
    ("budget", "limit", "kind", "low"),
    [
        (Budget(quantity="accuracy", max_drop=0.01), -0.01, "max_drop", True),
        (Budget(quantity="log_loss", max_drop=0.01), 0.01, "max_drop", False),
        (Budget(quantity="accuracy", at_least=0.9), 0.9, "at_least", True),
        (Budget(quantity="p99_ms", at_most=20.0), 20.0, "at_most", False),
    ],
)
def test_the_bad_end_lies_on_the_side_of_the_limit(budget, limit, kind, low):
    one = finding(budget=budget, limit=limit, value=0.5)
    assert limit_kind(budget) == kind
    assert bad_end(one) == (one.estimate.low if low else one.estimate.high)
    waiver = replace(WAIVER, limit=kind, worst=0.5)
    beyond = verdict(finding(budget=budget, limit=limit, value=0.4 if low else 0.6))
    within = verdict(finding(budget=budget, limit=limit, value=0.6 if low else 0.4))
    assert held(beyond, waiver=waiver).standings[0].state == "exceeded"
    assert held(within, waiver=waiver).standings[0].state == "counts"


def test_of_two_the_one_that_lasts_longer_is_shown():
    longer = replace(WAIVER, until=date(2027, 1, 31), by="Grace")
    one = verdict(finding())
    waived = hold_waivers([WAIVER, longer], [one], now=NOW, written=None)
    assert covering(one.findings[0], "int8", waived) is longer
