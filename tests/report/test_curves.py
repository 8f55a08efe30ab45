"""Plots along axes of hardship: which lines are drawn, where they lie, and what stands beside."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from tests.report.conftest import EVIL, place_line
from tests.report.test_envelope import one
from tests.report.test_svg import drawn, numbers

from surefoot.core.envelope import Probe
from surefoot.report.curves import envelope_plots, shift_plots
from surefoot.report.svg.curve import SERIES


def probes(*values, start=0.0, step=1.0):
    sides = [("holds" if v is None or v < 0.05 else "fails") for v in values]
    return tuple(
        Probe(at=start + i * step, side=side, value=math.nan if v is None else v, n=300 + i)
        for i, (v, side) in enumerate(zip(values, sides, strict=True))
    )


def centres(svg, kind):
    return [numbers(e, "cx", "cy") for e in drawn(svg, "circle", f"mark {kind}")]


def severity(at, value, dataset="main", half=0.01, **changes):
    shift = "typos" if at else ""
    return place_line(
        value, value - half, value + half, dataset=dataset, shift=shift, severity=at, **changes
    )


def test_an_envelope_is_one_plot_for_each_axis_and_test_set():
    envelopes = [
        one(name, 2.0, 3.0, axis=axis, dataset=dataset, probes=probes(0.0, 0.02, 0.09))
        for axis, dataset in (("typos", "tweets"), ("typos", "news"), ("ocr", "tweets"))
        for name in ("baseline", "int8")
    ]
    found = list(envelope_plots(envelopes, "int8"))
    assert [p.name for p in found] == ["typos on tweets", "typos on news", "ocr on tweets"]
    assert all(len(drawn(p.plot, "polyline", "curve")) == 2 for p in found)
    assert "all boxes together at 95 %" in found[0].caption
    assert list(envelope_plots([], "int8")) == []


def test_the_probes_of_an_envelope_lie_in_order_and_the_limit_between_those_it_parts():
    base = one("baseline", 2.0, 3.0, probes=probes(0.0, 0.01, 0.03, 0.09))
    (found,) = envelope_plots([base], "int8")
    points = centres(found.plot, "s0")[:4]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))  # further is worse
    steps = [b[0] - a[0] for a, b in pairwise(points)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.15)
    (limit,) = drawn(found.plot, "line", "limit")
    assert points[3][1] < float(limit.get("y1")) < points[2][1]
    (range_,) = drawn(found.plot, "rect", "bracket")
    left, width = numbers(range_, "x", "width")
    assert (left, left + width) == pytest.approx((points[2][0], points[3][0]), abs=0.15)
    assert any(e.text == "limit 5" for e in ET.fromstring(found.plot).iter("text"))
    assert found.table.header == ("candidate", "at", "drop of accuracy, pp", "n", "shown")
    assert found.table.rows[3] == ("baseline", "3", "9", "303", "fails")


def test_what_was_not_found_leaves_its_end_of_the_bracket_open():
    base = one("baseline", None, None, probes=probes(0.0, 0.01))
    held = one("int8", 1.0, None, probes=probes(0.0, 0.01))
    (found,) = envelope_plots([base, held], "int8")
    unknown, open_ = drawn(found.plot, "rect", "bracket")
    marks = centres(found.plot, "s0")
    (axis,) = {float(e.get("x2")) for e in drawn(found.plot, "line", "limit")}
    assert sum(numbers(unknown, "x", "width")) == pytest.approx(axis, abs=0.1)
    assert float(unknown.get("x")) == pytest.approx(marks[0][0], abs=0.1)
    assert sum(numbers(open_, "x", "width")) == pytest.approx(axis, abs=0.1)
    assert float(open_.get("x")) == pytest.approx(marks[1][0], abs=0.1)


def test_where_less_is_harder_what_holds_lies_to_the_right():
    known = {"axis": "deadline", "harder_is": "less", "grid": 0, "limit": 0.02}
    late = probes(0.1, 0.03, 0.0, start=5.0, step=15.0)
    (found,) = envelope_plots([one("baseline", 35.0, 20.0, **known, probes=late)], "int8")
    assert found.name == "deadline"
    assert found.table.header[2] == "late answers, %"
    assert [row[2] for row in found.table.rows] == ["10", "3", "0"]
    (range_,) = drawn(found.plot, "rect", "bracket")
    middle, right = (p[0] for p in centres(found.plot, "s0")[1:3])
    assert float(range_.get("x")) == pytest.approx(middle, abs=0.1)
    assert sum(numbers(range_, "x", "width")) == pytest.approx(right, abs=0.2)
    texts = [e.text for e in ET.fromstring(found.plot).iter("text")]
    assert "deadline, ms" in texts
    assert "limit 2" in texts


def test_thread_counts_far_apart_have_a_log_axis_and_milliseconds():
    known = {"axis": "arrival_rate", "grid": 0, "limit": 20.0}
    found = [Probe(at=at, side="holds", value=at / 10, n=9) for at in (1.0, 10.0, 100.0)]
    (plot,) = envelope_plots([one("baseline", 100.0, None, **known, probes=found)], "int8")
    assert plot.table.header[2] == "p99, ms"
    xs = [x for x, _ in centres(plot.plot, "s0")[:3]]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.15)  # equal ratios
    assert any(
        e.text == "arrival_rate, a second (log scale)"
        for e in ET.fromstring(plot.plot).iter("text")
    )


def test_the_candidate_is_drawn_even_if_it_is_the_last_of_many_and_the_table_has_all():
    names = ["baseline", *(f"c{i}" for i in range(9)), EVIL]
    envelopes = [one(name, 1.0, 2.0, probes=probes(0.0, 0.01, 0.07)) for name in names]
    (found,) = envelope_plots(envelopes, EVIL)
    shown = [e.text for e in ET.fromstring(found.plot).iter("text")]
    assert "<script" not in found.plot
    short = f"{EVIL[:19]}…"  # as text: it was escaped, and reads as it was written
    assert [n for n in shown if n in {*names, short}] == ["baseline", short, "c0", "c1", "c2", "c3"]
    assert len(drawn(found.plot, "polyline", "curve")) == SERIES
    assert {row[0] for row in found.table.rows} == set(names)


def test_a_probe_that_was_not_answered_is_neither_drawn_nor_listed():
    base = one("baseline", 0.0, None, probes=probes(0.0, None, 0.02))
    (found,) = envelope_plots([base], "int8")
    assert [row[1] for row in found.table.rows] == ["0", "2"]
    (curve,) = drawn(found.plot, "polyline", "curve")
    assert len(curve.get("points").split()) == 2


def test_an_axis_on_which_nothing_was_answered_is_still_a_plot():
    (found,) = envelope_plots([one("baseline", None, None, probes=probes(None, None))], "int8")
    assert found.table.rows == ()
    assert len(drawn(found.plot, "rect", "bracket")) == 1
    assert all(math.isfinite(float(e.get("x1"))) for e in ET.fromstring(found.plot).iter("line"))


def test_a_shift_of_one_severity_is_no_curve():
    once = [severity(0.0, 0.0), severity(2.0, -0.1)]
    assert list(shift_plots(once, "int8")) == []
    assert [p.name for p in shift_plots([*once, severity(3.0, -0.2)], "int8")] == [
        "typos by severity"
    ]


def test_severities_lie_by_their_size_with_the_interval_of_each():
    values = {4.0: -0.2, 0.0: 0.0, 1.0: -0.02, 2.0: -0.1}
    (found,) = shift_plots([severity(at, v) for at, v in values.items()], "int8")
    points = centres(found.plot, "s0")[:4]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points))
    assert points[3][0] - points[2][0] == pytest.approx(2 * (points[1][0] - points[0][0]), abs=0.3)
    whiskers = drawn(found.plot, "line", "whisker s0")
    assert len(whiskers) == 4
    ends = [numbers(e, "y1", "y2") for e in whiskers]
    assert all(low - high == pytest.approx(ends[0][0] - ends[0][1], abs=0.2) for low, high in ends)
    assert [(low + high) / 2 for low, high in ends] == pytest.approx(
        [y for _, y in points], abs=0.1
    )
    assert found.table.rows[0] == ("main", "0", "+0.0 [-1.0, +1.0]", "1,000")
    assert found.table.header == ("test set", "severity", "difference, pp", "n")
    assert found.caption.startswith("typos by severity, with the interval of each difference")


def test_slices_metrics_and_candidates_that_were_not_asked_for_are_no_points():
    wanted = [severity(at, -at / 10) for at in (0.0, 1.0, 2.0)]
    others = [
        severity(at, 0.4, **more)
        for at in (1.0, 2.0)
        for more in ({"slice": "short"}, {"metric": "macro_f1"}, {"candidate": "int4"})
    ]
    (found,) = shift_plots([*wanted, *others], "int8")
    assert len(found.table.rows) == 3
    assert len(centres(found.plot, "s0")) == 4  # three and the key's


@pytest.mark.parametrize("higher", [True, False])
def test_of_many_test_sets_those_that_may_have_lost_most_are_drawn(higher):
    worse = -1 if higher else 1
    metric = "accuracy" if higher else "log_loss"
    lost = {f"set{i}": (i * 3 % 8) / 50 for i in range(8)}
    places = [
        severity(at, worse * at * loss, name, metric=metric, higher_is_better=higher)
        for name, loss in lost.items()
        for at in (0.0, 1.0, 2.0)
    ]
    (found,) = shift_plots(places, "int8")
    shown = [e.text for e in ET.fromstring(found.plot).iter("text") if e.text in lost]
    assert shown == sorted(lost, key=lost.get, reverse=True)[:SERIES]
    assert found.caption.endswith(f"Drawn are the {SERIES} that may have lost most.")
    assert len(found.table.rows) == 24


def test_a_metric_without_percent_has_a_plain_heading():
    places = [severity(at, at / 3, metric="log_loss") for at in (0.0, 1.0, 2.0)]
    (found,) = shift_plots(places, "int8")
    assert found.table.header[2] == "difference"
    texts = [e.text for e in ET.fromstring(found.plot).iter("text")]
    assert "log_loss, int8 minus baseline" in texts
    assert found.table.rows[2][2] == "+0.667 [+0.657, +0.677]"


def test_an_interval_without_ends_reaches_both_edges_and_one_that_is_absent_none():
    places = [severity(0.0, 0.0), place_line(None, shift="typos", severity=1.0)]
    places += [place_line(-0.1, -math.inf, math.inf, shift="typos", severity=2.0)]
    (found,) = shift_plots(places, "int8")
    assert [row[2] for row in found.table.rows] == [
        "+0.0 [-1.0, +1.0]", "-2.0 (no interval)", "-10.0 [none, none]",
    ]  # fmt: skip
    whiskers = drawn(found.plot, "line", "whisker s0")
    assert len(whiskers) == 2
    bottom, top = numbers(whiskers[1], "y1", "y2")
    down = [e for e in drawn(found.plot, "line", "grid") if e.get("x1") == e.get("x2")]
    assert (bottom, top) == (float(down[0].get("y2")), float(down[0].get("y1")))


def test_two_shifts_are_two_plots_that_share_the_rows_as_they_came():
    places = [severity(at, -at / 10) for at in (0.0, 1.0, 2.0)]
    places += [place_line(-at / 20, -0.3, 0.1, shift=EVIL, severity=at) for at in (1.0, 2.0, 3.0)]
    typos, other = shift_plots(places, "int8")
    assert [row[1] for row in typos.table.rows] == ["0", "1", "2"]
    assert [row[1] for row in other.table.rows] == ["0", "1", "2", "3"]
    assert other.name == f"{EVIL} by severity"
    assert "<script" not in other.plot
