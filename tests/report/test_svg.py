"""Plots: where marks lie, what scales show, and that every one is XML in which nothing acts."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from surefoot.report.svg.bars import Bar, bars_plot, interval_glyph
from surefoot.report.svg.curve import Curve, curve_plot
from surefoot.report.svg.front import FrontPoint, front_plot
from surefoot.report.svg.plot import Scale, linear, mark, number, positive, text
from surefoot.report.svg.reliability import Confidence, coverage_plot, reliability_plot
from surefoot.report.svg.spread import Spread, spread_plot

EVIL = '</text><script>alert("1")</script>\x1b[2J\u202e'


def drawn(svg, tag, kind):
    """The elements of a tag and class."""
    return [
        e for e in ET.fromstring(svg).iter(tag)
        if set(kind.split()) <= set(e.get("class", "").split())
    ]  # fmt: skip


def numbers(element, *names):
    return [float(element.get(name)) for name in names]


@pytest.mark.parametrize("log", [False, True])
def test_a_scale_puts_ends_at_ends_and_ratios_where_they_belong(log):
    scale = Scale(low=1, high=100, start=10, end=210, log=log)
    assert (scale.at(1), scale.at(100)) == (10, 210)
    assert scale.at(10) == pytest.approx(110 if log else 10 + 200 * 9 / 99)
    assert scale.at(math.inf) == 210
    assert scale.at(-math.inf) == 10


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 7, False, [-2, 0, 2, 4, 6]),
        (0.9, 60, True, [1, 2, 5, 10, 20, 50]),
        (0.5, 90_000, True, [1, 10, 100, 1000, 10_000]),
    ],
)
def test_ticks_are_round_and_inside(low, high, log, ticks):
    assert Scale(low=low, high=high, start=0, end=1, log=log).ticks() == pytest.approx(ticks)


def test_axes_are_honest():
    assert linear([5, 6], 0, 100).low == 0  # a length from 0 is a length
    assert linear([-5, 6], 0, 100).low < -5
    assert linear([], 0, 100).high > linear([], 0, 100).low
    assert linear([0.0, 0.0], 0, 100).at(0) == 0
    assert not positive([2, 40], 0, 100).log
    assert positive([2, 40], 0, 100).low == 0
    assert positive([2, 400], 0, 100).log
    assert positive([], 0, 1).high > 0


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.05, "0.05"), (2000, "2,000"), (0.1 + 0.2, "0.3"), (1e-5, "1e-05"), (0, "0")]
)  # fmt: skip
def test_ticks_are_labelled_shortly(value, said):
    assert number(value) == said


def test_words_of_others_are_shown_and_not_acted_upon():
    shown = ET.fromstring(text(1, 2, EVIL))
    assert shown.text.startswith("</text><script>")
    assert "\\x1b" in shown.text
    assert "\\u202e" in shown.text
    assert len(shown) == 0


@pytest.mark.parametrize("shape", ["circle", "square", "triangle", "diamond", "cross"])
def test_marks_are_where_they_are_asked_for(shape):
    found = ET.fromstring(mark(50, 60, shape, "PASS"))
    if shape == "circle":
        assert numbers(found, "cx", "cy") == [50, 60]
    else:
        x, y = map(float, re.match(r"M([\d.]+) ([\d.]+)", found.get("d")).groups())
        assert math.hypot(x - 50, y - 60) < 8
    assert found.get("class") == "mark PASS"


def point(name, outcome, cost, gain, *, half=0.5, front=False):
    return FrontPoint(
        name=name, outcome=outcome, cost=cost, cost_low=cost - 0.2, cost_high=cost + 0.2,
        gain=gain, low=gain - half, high=gain + half, on_front=front,
    )  # fmt: skip


def test_the_front_has_a_box_for_each_interval_and_the_limit():
    points = [point("base", None, 10, 0, half=0), point("a", "PASS", 5, -0.5, front=True)]
    points += [point(EVIL, "FAIL", 4, -4, front=True)]
    svg = front_plot(points, cost="ms", gain="accuracy, pp", limit=-2)
    boxes = {e.get("class").split()[1]: e for e in drawn(svg, "rect", "box")}
    assert set(boxes) == {"base", "PASS", "FAIL"}
    (limit,) = drawn(svg, "line", "limit")
    at = float(limit.get("y1"))
    top, height = numbers(boxes["PASS"], "y", "height")
    assert top + height < at < float(boxes["FAIL"].get("y"))  # the page's y grows downwards
    # One point of a percentage is 1 / (5 * 1.06 + ...) of the height: both boxes are as tall.
    assert height == pytest.approx(float(boxes["FAIL"].get("height")), abs=0.11)
    left, width = numbers(boxes["FAIL"], "x", "width")
    assert left < float(boxes["PASS"].get("x"))
    assert len(drawn(svg, "line", "front")) == 1
    names = [e.text for e in drawn(svg, "text", "name")]
    assert "a" in names
    assert width > 1


def test_with_many_candidates_the_front_shows_numbers_that_do_not_cover_each_other():
    points = [point(f"candidate-{i}", "PASS", 5, -0.5 + i / 1000) for i in range(12)]
    svg = front_plot(points, cost="ms", gain="pp", limit=None)
    labels = drawn(svg, "text", "name")
    assert sorted(int(e.text) for e in labels) == list(range(12))
    heights = sorted(float(e.get("y")) for e in labels)
    assert all(b - a >= 14.9 for a, b in pairwise(heights))
    assert drawn(svg, "line", "limit") == []


def test_latencies_show_median_tail_and_budget():
    quantiles = {0.05: 1.0, 0.25: 2.0, 0.75: 4.0, 0.95: 6.0}
    one = Spread(name="one", n=100, p50=(3, 2.8, 3.2), p99=(8, 7, 12), quantiles=quantiles)
    two = Spread(name="two", n=10, p50=(5, 4, 6), p99=(6, 5, math.inf))
    svg = spread_plot([one, two], {"p99": 10.0}, title="t")
    (limit,) = drawn(svg, "line", "limit")
    tail, open_ = drawn(svg, "line", "tail")
    assert float(tail.get("x1")) < float(limit.get("x1"))
    (bulk,) = drawn(svg, "rect", "bulk")
    middle = [float(e.get("cx")) for e in drawn(svg, "circle", "mark")]
    left, width = numbers(bulk, "x", "width")
    assert left < middle[0] < left + width
    assert width == pytest.approx(2 / 2 * (middle[1] - middle[0]), abs=0.3)  # 4 - 2 and 5 - 3 ms
    ends = [numbers(e, "x1", "x2") for e in drawn(svg, "line", "whisker")]
    assert ends[1][1] == pytest.approx(700)  # an end that is infinite is the edge
    assert open_ is not None
    assert any("p99 at most 10 ms" in (e.text or "") for e in ET.fromstring(svg).iter())


def test_curves_have_brackets_where_they_leave_the_limit():
    up = tuple((float(i), 2.0 * i, 2.0 * i, 2.0 * i) for i in range(6))
    curves = [
        Curve(name="base", points=up, bracket=(3.0, math.inf)),
        Curve(name=EVIL, points=up, bracket=(1.0, 2.0)),
        Curve(name="last", points=((1.0, 1.0, 0.0, 3.0),)),
    ]
    svg = curve_plot(curves, x_name="typos", y_name="drop, pp", limit=5)
    first, second = drawn(svg, "rect", "bracket")
    marks = [float(e.get("cx")) for e in drawn(svg, "circle", "mark s0")]
    assert float(first.get("x")) == pytest.approx(marks[3], abs=0.1)
    left, width = numbers(second, "x", "width")
    assert (left, left + width) == (
        pytest.approx(marks[1], abs=0.1),
        pytest.approx(marks[2], abs=0.1),
    )
    assert len(drawn(svg, "line", "whisker s2")) == 1
    assert len(drawn(svg, "polyline", "curve")) == 3


def test_a_true_confidence_lies_on_the_diagonal():
    bins = tuple((c, c, c - 0.05, c + 0.05, 100) for c in (0.5, 0.7, 0.9))
    curve = tuple((c, 1 - c / 10, 0.8, 1.0) for c in (0.5, 1.0))
    shown = [Confidence(name="a", bins=bins, curve=curve)]
    svg = reliability_plot(shown, "on main")
    (line,) = drawn(svg, "line", "limit")
    x1, y1, x2, y2 = numbers(line, "x1", "y1", "x2", "y2")
    for e in drawn(svg, "circle", "mark s0")[:3]:
        x, y = numbers(e, "cx", "cy")
        assert (y - y1) * (x2 - x1) == pytest.approx((y2 - y1) * (x - x1), abs=60)
    assert len(drawn(svg, "line", "bar s0")) == 3
    assert len(drawn(coverage_plot(shown, "on main"), "line", "bar s0")) == 2


def test_bars_start_from_nothing():
    bars = [
        Bar(name="less", value=-2, low=-3, high=-1),
        Bar(name=EVIL, value=1, low=-1, high=3),
    ]
    svg = bars_plot(bars, name="pp", title="t")
    (zero,) = drawn(svg, "line", "zero")
    less, more = drawn(svg, "rect", "bulk")
    at = float(zero.get("x1"))
    assert sum(numbers(less, "x", "width")) == pytest.approx(at, abs=0.2)
    assert float(more.get("x")) == pytest.approx(at, abs=0.2)
    assert float(less.get("width")) == pytest.approx(2 * float(more.get("width")), abs=0.2)


@pytest.mark.parametrize(
    ("value", "low", "high", "limit"), [(-0.1, -0.2, 0.0, -0.3), (5, 4, math.inf, 9), (1, 1, 1, 2)]
)  # fmt: skip
def test_a_small_plot_says_on_which_side_of_the_limit_an_interval_lies(value, low, high, limit):
    svg = interval_glyph(value, low, high, limit, "PASS")
    dashed, ends = (e.get("d") for e in ET.fromstring(svg).iter("path"))
    at = float(re.match(r"M(\d+)", dashed)[1])
    left, right = map(float, re.match(r"M(\d+) 8H(\d+)", ends).groups())
    assert left <= right
    dot = float(next(ET.fromstring(svg).iter("circle")).get("cx"))
    assert left <= dot <= right
    assert (dot < at) == (value < limit)
