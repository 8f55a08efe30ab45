"""Figures and the tables under them: the same numbers, and words where there is no number."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.conftest import EVIL, QUICK, report
from tests.report.test_svg import drawn, numbers, point

from surefoot.report.content import Front
from surefoot.report.figures import (
    SETS,
    ablation_figure,
    confidence_figures,
    front_figure,
    front_table,
    speed_figures,
)
from surefoot.report.svg.bars import Bar, bars_plot, interval_glyph
from surefoot.report.svg.front import FrontPoint
from surefoot.report.svg.plot import Scale, linear, number, positive
from surefoot.report.svg.spread import Spread, spread_plot
from surefoot.report.timings import Timing

QUANTILES = {0.05: 1.0, 0.25: 2.0, 0.75: 4.0, 0.95: 6.0}
FINITE = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
WIDTH = st.floats(0, 100).map(lambda x: round(x, 3))


def front(*points, limit=-1.0):
    gain = "accuracy, candidate minus baseline, pp"
    return Front(cost="MB", gain=gain, limit=limit, points=points)


def spread(name="int8", p50=(3.0, 2.9, 3.1), p99=(8.0, 7.0, 9.5), n=1234, quantiles=QUANTILES):
    return Spread(name=name, n=n, p50=p50, p99=p99, quantiles=quantiles)


def confidence(*bins, curve=((1.0, 0.8, 0.75, 0.85), (0.5, 0.95, 0.9, None))):
    keys = ("confidence", "accuracy", "low", "high", "n")
    return {
        "bins": [dict(zip(keys, one, strict=True)) for one in bins],
        "curve": [
            {"coverage": at, "accuracy": {"value": value, "low": low, "high": high}}
            for at, value, low, high in curve
        ],
    }


def place(candidate="int8", dataset="main", shift="", before=None):
    found = before or confidence((0.6, 0.5, 0.4, 0.7, 80), (0.9, 0.95, 0.8, 1.0, 120))
    return {"candidate": candidate, "dataset": dataset, "shift": shift, "before": found}


@QUICK
@given(st.lists(FINITE, max_size=8), st.booleans())
def test_an_axis_holds_whatever_is_drawn_on_it_in_its_order(values, zero):
    scale = linear([*values, math.inf, math.nan], 10, 210, zero=zero)
    wanted = sorted({*values, *([0.0] if zero else [])})
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in wanted)
    places = [scale.at(value) for value in wanted]
    assert places == sorted(places)
    assert all(10 - 1e-9 <= at <= 210 + 1e-9 for at in places)


@QUICK
@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=8))
def test_times_lie_from_nothing_or_by_their_ratios_and_no_tick_lies_beside_the_axis(values):
    scale = positive(values, 0, 100)
    assert scale.log == (max(values) / min(values) > 30)
    assert scale.log or scale.low == 0
    assert all(-1e-9 <= scale.at(v) <= 100 + 1e-9 for v in values)
    ticks = scale.ticks()
    assert len(ticks) >= 2
    assert all(a < b for a, b in pairwise(ticks))
    assert all(-1e-9 <= scale.at(tick) <= 100 + 1e-9 for tick in ticks)
    assert len({number(tick) for tick in ticks}) == len(ticks)


@QUICK
@given(FINITE, st.floats(1e-3, 1e6))
def test_ticks_are_at_equal_steps_and_few(low, width):
    ticks = Scale(low=low, high=low + width, start=0, end=1).ticks()
    assert 2 <= len(ticks) <= 7
    steps = [b - a for a, b in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6)
    assert f"{steps[0]:.0e}"[0] in "125"


@QUICK
@given(st.lists(st.tuples(st.floats(0.1, 50), st.floats(-9, 3)), min_size=2, max_size=9))
def test_on_the_front_dearer_lies_to_the_right_and_worse_below(pairs):
    points = [point(f"c{i}", "PASS", cost, gain) for i, (cost, gain) in enumerate(pairs)]
    svg = front_figure(front(*points))
    marks = [numbers(e, "cx", "cy") for e in drawn(svg, "circle", "mark")]
    for (cost, gain), (x, y) in zip(pairs, marks, strict=True):
        for (other, lost), (u, v) in zip(pairs, marks, strict=True):
            assert (x <= u) or cost >= other
            assert (y <= v + 0.11) or gain <= lost + 1e-9


def test_a_front_of_one_is_not_drawn_and_its_table_still_is():
    alone = front(point("baseline", None, 10, 0))
    assert front_figure(alone) == ""
    assert front_table(alone).rows == (("0", "baseline", "10 [9.8, 10.2]", "", "", ""),)
    assert front_figure(front()) == ""


def test_the_table_of_the_front_says_what_the_plot_shows():
    points = [
        FrontPoint(name="baseline", outcome=None, cost=90, cost_low=90, cost_high=90, gain=0, low=0,
                   high=0),
        FrontPoint(name=EVIL, outcome="FAIL", cost=23.456, cost_low=20, cost_high=math.inf,
                   gain=-3.14159, low=-math.inf, high=math.inf, subject="accuracy on main",
                   on_front=True),
    ]  # fmt: skip
    table = front_table(front(*points))
    assert table.header == ("no.", "candidate", "MB", "difference", "of", "on the front")
    assert table.rows[0] == ("0", "baseline", "90", "", "", "")
    assert table.rows[1] == (
        "1", EVIL, "23.5 [20, none]", "-3.14 [none, none]", "accuracy on main", "yes",
    )  # fmt: skip
    svg = front_figure(front(*points))
    assert "<script" not in svg
    (box,) = drawn(svg, "rect", "box FAIL")
    left, width, top, height = numbers(box, "x", "width", "y", "height")
    assert left + width == pytest.approx(700)  # without an end: to the edge
    assert (top, top + height) == (30, 354)


def test_numbers_stand_instead_of_names_from_nine_candidates_on():
    def labels(count):
        points = [point(f"c{i}", "PASS", 5 + i, -i) for i in range(count + 1)]
        return {e.text for e in drawn(front_figure(front(*points)), "text", "name")}

    assert labels(8) == {f"c{i}" for i in range(9)}
    assert labels(9) == {str(i) for i in range(10)}


def test_the_table_of_latencies_has_all_and_the_plot_those_with_a_median():
    never = spread("stuck", (math.inf, 4.0, math.inf), (math.inf, 9.0, math.inf), 3, {})
    timing = Timing(title="1 row a call", spreads=(spread(), never), limits={"p99": 20.0})
    (figure,) = speed_figures(report(timings=(timing,)))
    (table,) = figure["tables"]
    assert table.header[1:4] == ("p50 ms", "p99 ms", "p5")
    assert table.rows == (
        ("int8", "3 [2.9, 3.1]", "8 [7, 9.5]", "1", "2", "4", "6", "1,234"),
        ("stuck", "at least 4", "at least 9", "", "", "", "", "3"),
    )
    assert len(drawn(figure["plot"], "circle", "mark")) == 1
    assert figure["caption"].endswith("the dashed line the budget.")
    assert any(e.text == "p99 at most 20 ms" for e in ET.fromstring(figure["plot"]).iter("text"))


def test_latencies_without_a_budget_say_that_none_limits_them():
    timing = Timing(title="under load web", spreads=(spread(),), limits={})
    (figure,) = speed_figures(report(timings=(timing,)))
    assert figure["name"] == "latency, under load web"
    assert figure["caption"].endswith("; no budget limits it.")
    assert drawn(figure["plot"], "line", "limit") == []


def test_no_latency_is_no_figure():
    never = spread("stuck", (math.inf, 0.0, math.inf), (math.inf, 0.0, math.inf), 0, {})
    timing = Timing(title="1 row a call", spreads=(never,), limits={"p99": 5.0})
    assert list(speed_figures(report(timings=(timing,)))) == []
    assert list(speed_figures(report(timings=()))) == []


@QUICK
@given(st.lists(st.floats(0.01, 5000), min_size=6, max_size=6, unique=True).map(sorted))
def test_the_parts_of_a_latency_lie_in_the_order_of_their_times(times):
    p5, p25, p50, p75, p95, p99 = times
    quantiles = {0.05: p5, 0.25: p25, 0.75: p75, 0.95: p95}
    svg = spread_plot([spread(EVIL, (p50,) * 3, (p99,) * 3, 9, quantiles)], {}, title=EVIL)
    (thin,), (bulk,) = drawn(svg, "line", "thin"), drawn(svg, "rect", "bulk")
    (tail,), (dot,) = drawn(svg, "line", "tail"), drawn(svg, "circle", "mark")
    left, width = numbers(bulk, "x", "width")
    at = [*numbers(thin, "x1"), left, *numbers(dot, "cx"), left + width, *numbers(thin, "x2")]
    at += numbers(tail, "x1")
    assert all(a <= b + 1.1 for a, b in pairwise(at))  # a box is as wide as can be seen
    assert 170 <= at[0] <= at[-1] <= 700
    assert "<script" not in svg


def test_confidence_is_drawn_as_it_came_of_the_baseline_and_the_candidate():
    places = [
        place(), place("baseline"), place("other"), place(shift="typos"),
        place("baseline", "only the baseline"), place("int8", "only the candidate"),
    ]  # fmt: skip
    found = list(confidence_figures(report(data={"calibration": {"places": places}})))
    assert [f["name"] for f in found] == ["main", "only the candidate"]
    bins, kept = found[0]["tables"]
    assert [row[0] for row in bins.rows] == ["baseline"] * 2 + ["int8"] * 2
    assert bins.rows[0] == ("baseline", "0.600", "0.500", "0.400 to 0.700", "80")
    assert kept.rows[:2] == (
        ("baseline", "1.0", "0.800 [0.750, 0.850]"),
        ("baseline", "0.5", "0.950 [0.900, 1.000]"),  # a share without an end ends at 1
    )
    assert len(drawn(found[0]["reliability"], "polyline", "curve")) == 2
    assert len(drawn(found[1]["coverage"], "polyline", "curve")) == 1


def test_what_is_too_sure_lies_below_the_diagonal():
    before = confidence((0.9, 0.6, 0.8, 1.0, 50), (0.3, 0.5, 0.2, 0.4, 50))
    data = {"calibration": {"places": [place(before=before)]}}
    (found,) = confidence_figures(report(data=data))
    (diagonal,) = drawn(found["reliability"], "line", "limit")
    x1, y1, x2, y2 = numbers(diagonal, "x1", "y1", "x2", "y2")
    above = []
    for mark in drawn(found["reliability"], "circle", "mark")[:2]:
        x, y = numbers(mark, "cx", "cy")
        above.append(y < y1 + (y2 - y1) * (x - x1) / (x2 - x1))
    assert above == [False, True]


def test_of_many_test_sets_the_first_are_drawn():
    places = [place(dataset=f"set{i}") for i in range(SETS + 3)]
    found = list(confidence_figures(report(data={"calibration": {"places": places}})))
    assert [f["name"] for f in found] == [f"set{i}" for i in range(SETS)]
    assert list(confidence_figures(report(data={"calibration": None}))) == []


def test_each_variant_is_a_bar_in_points_and_what_was_not_measured_is_none():
    gain = {"value": -0.02, "low": -0.03, "high": 0.01}
    variants = [
        {"what": EVIL, "gain": gain},
        {"what": "no head", "gain": None},
        {"what": "x" * 80, "gain": {**gain, "value": -0.04, "low": -0.05}},
    ]
    svg = ablation_figure({"ablation": variants})
    bars = [numbers(e, "width")[0] for e in drawn(svg, "rect", "bulk")]
    assert bars[1] == pytest.approx(2 * bars[0], abs=0.15)
    texts = [e.text for e in ET.fromstring(svg).iter("text")]
    assert "-2" in texts  # percentage points
    assert EVIL in texts
    assert "x" * 40 + "…" in texts
    for nothing in (None, {}, {"ablation": []}, {"ablation": variants[1:2]}):
        assert ablation_figure(nothing) == ""


@QUICK
@given(FINITE, WIDTH, WIDTH)
def test_a_bar_ends_inside_its_interval(value, down, up):
    bar = Bar(name="a", value=value, low=value - down, high=value + up)
    svg = bars_plot([bar], name="pp", title="t")
    left, right = numbers(drawn(svg, "line", "whisker")[0], "x1", "x2")
    (dot,) = (numbers(e, "cx")[0] for e in drawn(svg, "circle", "mark"))
    assert left - 0.1 <= dot <= right + 0.1


@pytest.mark.parametrize("outcome", ["PASS", "FAIL", "INCONCLUSIVE"])
@pytest.mark.parametrize("ends", [(-math.inf, math.inf), (0.0, 0.0), (-math.inf, 0.0)])
def test_a_small_plot_without_ends_or_width_stays_inside(outcome, ends):
    svg = ET.fromstring(interval_glyph(0.0, *ends, -0.5, outcome))
    assert svg.get("class") == f"glyph {outcome}"
    limit, whole = (e.get("d") for e in svg.iter("path"))
    start, end = (float(v) for v in whole.removeprefix("M").replace(" 8H", " ").split())
    assert 3 <= start <= end <= 117
    assert 3 <= float(limit.removeprefix("M").split()[0]) <= 117


def test_a_value_that_never_came_has_no_dot():
    svg = ET.fromstring(interval_glyph(math.inf, 4.0, math.inf, 9.0, "INCONCLUSIVE"))
    assert list(svg.iter("circle")) == []
