"""A cascade in the terminal."""

from dataclasses import replace

import pytest

from surefoot.core.estimate import Estimate
from surefoot.core.serving import Cascade, Tradeoff
from surefoot.report.cascade import cascade_lines


def share(value):
    return Estimate(
        value=value, low=value - 0.01, high=value + 0.01, level=0.9, method="exact", n=500
    )


def one(threshold, answered, lost, *, shown):
    return Tradeoff(
        threshold=threshold, share=share(answered), lost=share(lost), accuracy=0.9, shown=shown
    )


@pytest.fixture
def found():
    chosen = one(0.99995, 0.4, 0.01, shown=True)
    return Cascade(
        lean="static", fallback="baseline", max_error=0.02, delta=0.1, slices=("short",), rows=500,
        needed=148, chosen=chosen, curve=(one(0.9, 0.6, 0.04, shown=False),),
        fallback_accuracy=0.93, lean_ms=0.05, fallback_ms=2.0,
    )  # fmt: skip


def test_what_is_deployed_stands_first_last_and_in_the_table(found):
    lines = cascade_lines(found)
    assert lines[0] == lines[-1]
    assert lines[0] == (
        "PROMISED  static answers 40.0% of requests from confidence 0.99995: at most 2% of"
        " requests lost to baseline (delta 10%, n = 500), and on short"
    )
    rows = [line.split() for line in lines if line.startswith("0.9")]
    assert [row[-1] for row in rows] == ["deployed", "no"]
    assert [row[-2] for row in rows] == ["1.25", "0.85"]  # 0.05 + 0.6 x 2, 0.05 + 0.4 x 2
    assert "baseline alone is right in 93.00%" in lines
    assert "CPU time of an answer: static 0.05 ms, baseline 2 ms" in lines


def test_names_cannot_move_the_cursor(found):
    lines = cascade_lines(replace(found, lean="a\x1b[2Jb"))
    assert "\x1b" not in "".join(lines)


def test_nothing_shown_says_how_many_rows_it_takes(found):
    nothing = replace(found, chosen=None, rows=100, lean_ms=None, fallback="abstain")
    first = cascade_lines(nothing)[0]
    assert first.startswith("NOT PROMISED  static answers nothing")
    assert first.endswith("; it takes 148 calibration rows at least")
    assert "wrong" in first


def test_of_several_models_the_rows_that_test_are_those_that_are_too_few(found):
    """2,000 rows that plan cannot stand in for those of a slice that test."""
    several = replace(
        found, chosen=None, needed=170, rows=40, planned=2_000, between=("int8",), curve=()
    )
    assert cascade_lines(several)[0].endswith(
        "; it takes 114 calibration rows at least, beside those that plan"
    )
    assert "it takes" not in cascade_lines(replace(several, rows=114))[0]


def test_enough_rows_and_nothing_shown_has_words_of_its_own(found):
    assert cascade_lines(replace(found, chosen=None))[0].startswith(
        "NOT PROMISED  static answers nothing: not shown from any confidence that an answer"
        " reaches, at most 2% of requests"
    )


def test_of_groups_it_is_promised_for_new_ones(found):
    assert cascade_lines(replace(found, grouped=True))[0].endswith(
        "at most 2% of requests, each from a new group, lost to baseline"
        " (delta 10%, n = 500 groups), and on short"
    )


def test_rows_of_one_threshold_of_the_first_model_are_all_told(found):
    """A model that the path never trusts has one threshold where the next one's go down."""
    curve = tuple(
        replace(one(0.9, 0.1, 0.01, shown=least > 0.6), between=(1 - least,), thresholds=(least,))
        for least in (0.8, 0.7, 0.5)
    )
    several = replace(found, between=("int8",), between_ms=(0.5,), curve=curve, chosen=curve[1])
    rows = [line.split() for line in cascade_lines(several) if line.startswith("0.90 ")]
    assert [row[-1] for row in rows] == ["yes", "deployed", "no"]
