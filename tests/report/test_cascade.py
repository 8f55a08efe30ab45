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
