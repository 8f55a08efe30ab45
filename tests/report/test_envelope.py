"""What a person reads of envelopes, from what verdict.json has of them."""

from __future__ import annotations

import math

import pytest

from surefoot.bundle.encode import encode
from surefoot.core.envelope import Envelope, Probe
from surefoot.core.estimate import Estimate
from surefoot.report.envelope import envelope_lines, fails_first


def one(candidate, holds, fails, ratio=None, axis="typos", **changes):
    low, value, high = ratio or (0, 0, 0)
    estimate = Estimate(value=value, low=low, high=high, level=0.95, method="ends of both", n=9)
    found = {
        "axis": axis, "candidate": candidate, "dataset": "tweets", "limit": 0.05,
        "holds_to": holds, "fails_at": fails, "estimate": None, "hardest": 5.0, "level": 0.95,
        "asked": 12_345, "grid": 171_600, "probes": (), "ratio": estimate if ratio else None,
    }  # fmt: skip
    return encode(Envelope(**found | changes))


def test_the_worst_of_what_is_shown_to_fail_first_is_named():
    envelopes = [
        one("baseline", 3.4, 3.6),
        one("int8", 2.1, 2.4, (2.1 / 3.6, 0.65, 2.4 / 3.4)),
        one("linear", 1.0, 3.0, (0.2, 0.5, 3.0 / 3.4)),
        one("baseline", 4.0, None, axis="ocr"),
        one("linear", 2.0, 2.2, (0, math.nan, 2.2 / 4.0), axis="ocr"),
    ]
    assert list(fails_first(envelopes)) == ["fails first: ocr: linear holds to 2, baseline to 4"]
    assert list(fails_first(envelopes[:3])) == [
        "fails first: typos: int8 holds to 2.1, baseline to 3.4"
    ]


@pytest.mark.parametrize("high", [1.2, math.inf])
def test_what_overlaps_fails_before_nobody(high):
    envelopes = [one("baseline", 3.0, 3.6), one("int8", 2.1, 3.4, (0.5, 0.8, high))]
    assert list(fails_first(envelopes)) == [
        "fails first: nothing is shown to fail before the baseline"
    ]


def test_one_that_holds_nowhere_is_said_to():
    start = Probe(at=0.0, side="fails", value=0.2, n=300)
    for at, words in ((0.0, "fails from the start"), (1.0, "is not shown to hold anywhere")):
        envelopes = [
            one("baseline", 3.0, 3.6),
            one("int8", None, at, (0, 0, at / 3), probes=(start,)),
        ]
        (line,) = fails_first(envelopes)
        assert line == f"fails first: typos: int8 {words}, baseline holds to 3"


def test_without_axes_nothing_is_said():
    assert list(fails_first([])) == []
    assert envelope_lines([]) == []


def test_the_table_has_every_candidate_with_ends_ratio_and_cost():
    noisy = Probe(at=2.0, side="undecided", value=7.0, n=300, reason="this machine is too noisy")
    threads = {"axis": "threads", "limit": 20.0, "harder_is": "less", "grid": 0}
    lines = envelope_lines(
        [
            one("baseline", 3.4, 3.6, estimate=3.51),
            one("int8", 2.1, None, (2.1 / 3.6, 0.65, math.inf)),
            one("baseline", 2.0, None, **threads),
            one("int8", None, None, (0, math.nan, math.inf), **threads, probes=(noisy, noisy)),
            one("baseline", 12.5, 11.0, axis="deadline", limit=0.01, grid=0),
        ]
    )
    assert (
        lines[0] == "how far each holds (all together at 95 %, if nothing that failed holds again):"
    )
    cells = [[cell for cell in line.split("  ") if cell] for line in lines]
    stripped = [[cell.strip() for cell in row] for row in cells]
    assert stripped[3] == [
        "typos on tweets, drop at most 5 pp", "baseline", "3.4", "3.6", "3.51",
        "12,345 of 171,600 rows (7.2%)",
    ]  # fmt: skip
    assert stripped[4][1:5] == ["int8", "2.1", "not shown", "0.65 [0.58, none]"]
    assert stripped[5][:3] == ["threads, p99 at most 20 ms", "baseline", "2 threads"]
    assert stripped[6][2:] == ["not shown", "not shown", "[0.00, none]", "12,345 calls"]
    assert stripped[7][:4] == ["deadline, late at most 1 %", "baseline", "12.5 ms", "11 ms"]
    assert lines[8:] == ["undecided: threads 2 of int8: this machine is too noisy"]
