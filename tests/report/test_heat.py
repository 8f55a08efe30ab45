"""Coloured tables: shades, signs, and what is kept where there is no room for all."""

from __future__ import annotations

import math

import pytest

from surefoot.core.estimate import Estimate
from surefoot.report.heat import CELLS, ROWS, every_place, heat_map, other_metrics
from surefoot.report.places import PlaceLine, change_text, shown_change


def line(dataset="main", delta=-0.02, *, low=None, outcome=None, **more):
    ends = {"low": delta - 0.01 if low is None else low, "high": delta + 0.01}
    fields = {
        "candidate": "small", "metric": "accuracy", "shift": "", "severity": 0.0, "slice": None,
        "n": 1000, "lost": 30, "won": 10, "baseline": 0.9, "value": 0.9 + delta,
    }  # fmt: skip
    estimate = Estimate(value=delta, **ends, level=0.95, method="Tango score", n=1000)
    return PlaceLine(**({**fields, "delta": estimate} | more), dataset=dataset, outcome=outcome)


def data(metric="accuracy", *, rises=True):
    return {"comparisons": [{"metric": metric, "higher_is_better": rises}]}


@pytest.mark.parametrize(
    ("delta", "shade"),
    [(0.0, "d0"), (-0.002, "d0"), (-0.004, "d1"), (-0.02, "d2"), (-0.05, "d3"), (0.05, "u3")],
)
def test_a_cell_is_shaded_by_how_much_was_lost(delta, shade):
    (row,) = heat_map([line(delta=delta)], "small", data()).rows
    assert row.cells[0].shade == shade


def test_a_metric_that_should_fall_is_shaded_the_other_way():
    places = [line(delta=0.4, metric="log_loss"), line("far", -0.4, metric="log_loss")]
    rows = heat_map(places, "small", data("log_loss", rises=False)).rows
    assert [row.cells[0].shade for row in rows] == ["d3", "u3"]
    assert [row.cells[0].value for row in rows] == ["+0.4", "-0.4"]


@pytest.mark.parametrize(
    ("outcome", "sign"), [("PASS", "✓"), ("FAIL", "✗"), ("INCONCLUSIVE", "?"), (None, "·")]
)
def test_an_outcome_has_a_sign(outcome, sign):
    (row,) = heat_map([line(outcome=outcome)], "small", data()).rows
    assert row.cells[0].sign == sign


def test_test_sets_and_slices_go_down_and_shifts_across_with_gaps():
    places = [line(), line(shift="typos", severity=2.0), line(slice="short"), line("far")]
    found = heat_map(places, "small", data())
    assert found.columns == ("as it came", "typos 2")
    assert [row.name for row in found.rows] == ["main", "main [short]", "far"]
    assert [[bool(cell) for cell in row.cells] for row in found.rows] == [
        [True, True], [True, False], [True, False],
    ]  # fmt: skip


def test_where_there_is_no_room_the_places_that_may_have_lost_most_stay_and_it_is_said():
    places = [line(f"set{i}", low=-i / 10_000) for i in range(ROWS + 50)]
    found = heat_map(places, "small", data())
    assert [row.name for row in found.rows] == [f"set{i}" for i in range(50, ROWS + 50)]
    assert found.left_out.startswith("50 more lines")
    order = [f"c{i}" for i in range(100)]
    many = [line(f"set{i}", candidate=name) for name in order for i in range(80)]
    shown = every_place(many, order, data())
    assert len(shown.rows) == CELLS // 100
    assert shown.left_out.startswith("15 more lines")


def test_what_has_no_interval_says_so():
    (row,) = heat_map([line(delta=-0.02), line("far", delta=-0.01)], "small", data()).rows[:1]
    assert row.cells[0].ends == "-3.0 to -1.0"
    bare = line()
    bare = PlaceLine(**{f: getattr(bare, f) for f in bare.__slots__} | {"delta": None})
    (row,) = heat_map([bare], "small", data()).rows
    assert (row.cells[0].value, row.cells[0].ends) == ("-2.0", "no interval")
    assert shown_change(bare) == "-2.0 (no interval)"


def test_other_metrics_are_listed_on_whole_test_sets():
    places = [line(), line(metric="log_loss", delta=0.25), line(metric="log_loss", slice="short")]
    assert other_metrics(places) == [
        ["log_loss", "main", "small", "0.900", "1.150", "+0.25 [+0.24, +0.26]"]
    ]


@pytest.mark.parametrize(
    ("value", "metric", "said"),
    [(-0.0004, "accuracy", "+0.0"), (0.031, "accuracy", "+3.1"), (-0.5, "log_loss", "-0.5"),
     (math.inf, "accuracy", "none")],
)  # fmt: skip
def test_differences_are_said_in_the_unit_of_their_metric(value, metric, said):
    assert change_text(value, metric) == said
