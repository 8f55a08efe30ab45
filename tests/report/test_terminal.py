import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Budget, Finding, Paired, Verdict
from surefoot.report.terminal import (
    amount,
    deciding,
    finding_text,
    findings_table,
    need,
    table,
    verdict_line,
)

PAIRED = Paired(
    candidate="int8", dataset="main", slice=None, metric="accuracy", n=1000, lost=12, won=3,
    other=0, baseline=0.9, value=0.89,
)  # fmt: skip


def finding(value=-0.009, low=-0.02, high=0.002, *, outcome="FAIL", budget=None, **more):
    budget = budget or Budget(quantity="accuracy", max_drop=0.01)
    method = more.pop("method", "Tango score")
    return Finding(**{
        "budget": budget, "subject": f"{budget.quantity} on main", "outcome": outcome,
        "estimate": Estimate(value=value, low=low, high=high, level=0.9, method=method, n=1000),
        "limit": -(budget.max_drop or 0) or budget.at_most or budget.at_least,
        "p_pass": 0.5, "p_fail": 0.01, "paired": PAIRED, **more,
    })  # fmt: skip


def verdict(*findings, outcome="FAIL"):
    return Verdict(candidate="int8", outcome=outcome, findings=findings, share=1, tried=1)


def test_an_accuracy_that_is_in_percent_already_is_shown_as_it_is():
    rows = replace(PAIRED, baseline=90.0, value=89.1)
    text = amount(finding(-0.9, -2.0, 0.2, paired=rows))
    assert "-0.9" in text
    assert "90" not in text


def test_the_line_of_a_fail():
    assert verdict_line(verdict(finding(-0.031, -0.048, -0.015), finding(outcome="PASS"))) == (
        "FAIL  int8  1 of 2 budgets: accuracy on main -3.1 pp [-4.8, -1.5], allowed -1.0 pp "
        "(n=1,000, Tango score)"
    )


def test_the_line_of_a_pass_shows_the_closest():
    near, far = (
        finding(outcome="PASS", p_pass=0.04),
        finding(0.1, 0.1, 0.2, outcome="PASS", p_pass=0),
    )
    line = verdict_line(verdict(far, near, outcome="PASS"))
    assert line.startswith("PASS  int8  2 of 2 budgets; closest: accuracy on main -0.9 pp [")


def test_the_line_of_an_inconclusive_says_what_it_takes():
    open_ = finding(outcome="INCONCLUSIVE", needed=12345)
    assert verdict_line(verdict(open_, outcome="INCONCLUSIVE")).endswith(
        "; needs about 12,345 rows"
    )
    assert need(finding(needed=None)).startswith("no number of rows would decide")
    calls = finding(budget=Budget(quantity="p99_ms", at_most=9), needed=299, paired=None)
    assert need(calls) == "needs about 299 calls (evaluate.latency.calls, and seconds enough)"
    under = Budget(quantity="p99_ms", at_most=9, load="peak")
    load = finding(budget=under, needed=299, paired=None)
    assert need(load) == "needs about 299 calls (evaluate.load.peak.seconds)"


@pytest.mark.parametrize(
    ("given", "budget", "shown"),
    [
        ((-0.0005, -0.0012, 0.0002), {"max_drop": 0.01}, "-0.05 pp [-0.12, +0.02]"),
        ((-0.0005, -0.0022, 0.0002), {"max_drop": 0.01}, "-0.1 pp [-0.2, +0.0]"),
        ((0.031, 0.02, 0.04), {"quantity": "flips", "at_most": 0.05}, "3.1 % [2.0, 4.0]"),
        ((0.31, 0.2, 0.4), {"quantity": "log_loss", "max_drop": 0.1}, "+0.31 [+0.2, +0.4]"),
        ((12.345, 9, math.inf), {"quantity": "p99_ms", "at_most": 15}, "12.3 ms [9, none]"),
        ((2.0, 1.5, 2.5), {"quantity": "speedup", "at_least": 1.5}, "2 x [1.5, 2.5]"),
    ],
)
def test_numbers_with_their_units(given, budget, shown):
    one = finding(*given, budget=Budget(**{"quantity": "accuracy", **budget}))
    assert amount(one) == shown


def test_a_certain_number_has_no_interval():
    size = finding(23.4, 23.4, 23.4, budget=Budget(quantity="size_mb", at_most=25), method="exact")
    assert amount(size) == "23.4 MB"


@pytest.mark.parametrize(
    ("limit", "shown"),
    [(0.01, "allowed -1.0 pp"), (0.0025, "allowed -0.25 pp"), (0.00125, "allowed -0.125 pp")],
)
def test_a_limit_is_shown_as_it_was_given(limit, shown):
    assert shown in finding_text(finding(budget=Budget(quantity="accuracy", max_drop=limit)))


def test_the_deciding_finding_is_the_worst():
    sure, unsure = finding(p_fail=0.001), finding(p_fail=0.01)
    assert deciding(verdict(finding(outcome="INCONCLUSIVE"), unsure, sure)) is sure


def test_columns_of_nothing_are_left_out():
    lines = findings_table(verdict(finding()))
    assert lines[0].split() == ["outcome", "budget", "measured", "limit", "lost/won"]
    assert lines[2].endswith("12/3")
    size = finding(2, 2, 2, budget=Budget(quantity="size_mb", at_most=3), paired=None)
    assert "lost/won" not in findings_table(verdict(size))[0]


cells = st.text("ab ", max_size=3)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[cells] * n), min_size=1)))
def test_tables_are_aligned_and_end_without_blanks(rows):
    header = [f"h{i}" for i in range(len(rows[0]))]
    lines = table(header, rows)
    assert len(lines) == len(rows) + 2
    assert all(line == line.rstrip() for line in lines)
    for i, name in enumerate(header):
        assert (name in lines[0]) == any(row[i] for row in rows)


def test_cells_and_texts_hold_nothing_that_acts_upon_a_terminal():
    evil = finding(subject="accuracy on \x1b[2Ja\u202e", reason="\x07\nb")
    one = Verdict(candidate="\x1bc", outcome="FAIL", findings=(evil,), share=1, tried=1)
    lines = [verdict_line(one), *findings_table(one), *table(("\x9b1m", ""), [("x\r", "y")])]
    assert not set("".join(lines)) & set("\x1b\x07\x9b\u202e\r\n")
    assert lines[0].startswith(r"FAIL  \x1bc  1 of 1 budgets: accuracy on \x1b[2Ja\u202e -0.9 pp [")
    assert lines[3].endswith(r"\x07\nb")
