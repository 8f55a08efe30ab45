"""Coloured tables: which cell stands where, how it is shaded, and what there was no room for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tests.report.conftest import compared, place_line

from surefoot.report.heat import CELLS, ROWS, SIGNS, every_place, heat_map, other_metrics

DATA = {"comparisons": [compared()]}
LOSS = {"comparisons": [compared(metric="log_loss", higher_is_better=False)]}


def moved(value, **changes):
    """A place whose difference is this, half a point either side."""
    return place_line(value, value - 0.005, value + 0.005, **changes)


def grid():
    places = [
        moved(-0.01 * (i + 1) - 0.001 * severity, dataset=name, slice=part, candidate=candidate,
              shift="typos" if severity else "", severity=severity)
        for candidate in ("int8", "int4")
        for i, (name, part) in enumerate([("main", None), ("main", "short"), ("far", None)])
        for severity in (0.0, 1.0, 3.0)
    ]  # fmt: skip
    return [p for p in places if (p.rows_of, p.severity) != ("far", 3.0)]


def test_each_cell_is_that_of_its_row_and_column():
    heat = heat_map(grid(), "int4", DATA)
    assert heat.columns == ("as it came", "typos 1", "typos 3")
    assert [row.name for row in heat.rows] == ["main", "main [short]", "far"]
    values = [[cell and cell.value for cell in row.cells] for row in heat.rows]
    assert values == [["-1.0", "-1.1", "-1.3"], ["-2.0", "-2.1", "-2.3"], ["-3.0", "-3.1", None]]
    assert heat.rows[0].cells[0].ends == "-1.5 to -0.5"
    assert heat.caption == "int4 minus baseline, accuracy in percentage points, with intervals"
    assert heat.left_out == ""


def test_all_candidates_stand_beside_each_other_with_the_rows_of_each_place():
    places = [replace(p, n=12_345) for p in grid()]
    heat = every_place(places, ["int4", "int8", "never measured"], DATA)
    assert heat.columns == ("int4", "int8", "never measured")
    assert len(heat.rows) == 8
    assert {row.n for row in heat.rows} == {"12,345"}
    assert all(row.cells[2] is None for row in heat.rows)
    assert heat.rows[2].name == "main + typos 3"
    assert [cell.value for cell in heat.rows[2].cells[:2]] == ["-1.3", "-1.3"]


def test_one_candidate_in_one_place_is_a_table_of_one_cell():
    heat = heat_map([place_line()], "int8", DATA)
    ((cell,),) = (row.cells for row in heat.rows)
    assert (cell.value, cell.ends, cell.sign) == ("-2.0", "-3.0 to -1.0", "·")


@pytest.mark.parametrize(
    ("value", "shade"),
    [
        (0.0, "d0"), (-0.0024, "d0"), (0.0024, "d0"), (-0.0025, "d1"), (0.0025, "u1"),
        (-0.0099, "d1"), (-0.01, "d2"), (0.0299, "u2"), (-0.03, "d3"), (1.0, "u3"),
    ],
)  # fmt: skip
def test_a_share_is_shaded_by_how_many_points_it_moved(value, shade):
    ((cell,),) = (row.cells for row in heat_map([moved(value)], "int8", DATA).rows)
    assert cell.shade == shade


@pytest.mark.parametrize(("data", "up", "down"), [(DATA, "u", "d"), (LOSS, "d", "u")])
def test_worse_is_shaded_as_worse_whichever_way_the_metric_goes(data, up, down):
    metric = data["comparisons"][0]["metric"]
    places = [
        moved(sign * size, metric=metric, dataset=f"{sign} {size}")
        for sign in (1, -1)
        for size in (0.1, 0.02, 0.006)
    ]
    shades = [row.cells[0].shade for row in heat_map(places, "int8", data).rows]
    assert [shade[0] for shade in shades[:2]] == [up, up]
    assert [shade[0] for shade in shades[3:5]] == [down, down]
    assert shades[0][1] == "3"  # the furthest


def test_a_metric_that_is_no_share_is_shaded_beside_the_furthest():
    values = [4.0, 2.7, 1.5, 0.3]
    places = [moved(v, metric="log_loss", dataset=str(v)) for v in values]
    shades = [row.cells[0].shade for row in heat_map(places, "int8", LOSS).rows]
    assert shades == ["d3", "d2", "d2", "d0"]
    still = heat_map([moved(0.0, metric="log_loss")], "int8", LOSS)
    assert still.rows[0].cells[0].shade == "d0"
    assert still.caption.startswith("int8 minus baseline, log_loss, ")


@pytest.mark.parametrize(("outcome", "sign"), SIGNS.items())
def test_an_outcome_can_be_seen_without_colours(outcome, sign):
    heat = heat_map([replace(place_line(), outcome=outcome)], "int8", DATA)
    assert heat.rows[0].cells[0].sign == sign
    assert len(set(SIGNS.values())) == 4


def test_a_cell_without_an_interval_says_so_and_has_no_colour():
    bare = replace(place_line(None), baseline=0.9, value=0.5)
    unknown = replace(place_line(None), baseline=None, dataset="far")
    first, second = (row.cells[0] for row in heat_map([bare, unknown], "int8", DATA).rows)
    assert (first.value, first.ends, first.shade) == ("-40.0", "no interval", "d0")
    assert (second.value, second.shade) == ("not computed", "d0")


def test_an_end_that_is_infinite_is_none():
    heat = heat_map([place_line(-0.5, -math.inf, math.inf)], "int8", DATA)
    assert heat.rows[0].cells[0].ends == "none to none"


@pytest.mark.parametrize(("data", "worse"), [(DATA, -1), (LOSS, 1)])
def test_where_there_is_no_room_those_that_may_have_lost_most_stay_in_their_order(data, worse):
    metric = data["comparisons"][0]["metric"]
    size = ROWS + 25
    places = [
        moved(worse * (i * 37 % size) / size, metric=metric, slice=f"s{i}",
              higher_is_better=worse < 0)
        for i in range(size)
    ]  # fmt: skip
    heat = heat_map(places, "int8", data)
    names = [row.name for row in heat.rows]
    lost = {p.rows_of: abs(p.delta.value) for p in places}
    assert set(names) == set(sorted(lost, key=lost.get)[25:])
    assert names == [p.rows_of for p in places if p.rows_of in set(names)]
    assert heat.left_out.startswith("25 more lines, in which less was lost")


@pytest.mark.parametrize(("candidates", "kept"), [(100, 65), (2000, 20)])
def test_many_candidates_leave_room_for_fewer_places(candidates, kept):
    places = [moved(-i / 1000, slice=f"s{i}") for i in range(80)]
    heat = every_place(places, ["int8"] + ["x"] * (candidates - 1), DATA)
    assert len(heat.rows) == kept
    assert kept * candidates <= max(CELLS, 20 * candidates)
    assert heat.left_out.startswith(f"{80 - kept} more lines")
    assert heat.rows[-1].name == "main [s79]"


def test_other_metrics_are_told_on_whole_sets_only():
    places = [
        place_line(),
        place_line(metric="macro_f1", value=0.01, low=0.0, high=0.02),
        place_line(metric="macro_f1", slice="short"),
        place_line(None, metric="log_loss", dataset="far", baseline=None),
    ]
    assert other_metrics(places) == [
        ["macro_f1", "main", "int8", "0.900", "0.880", "+1.0 [+0.0, +2.0]"],
        ["log_loss", "far", "int8", "", "0.880", "not computed"],
    ]
    assert other_metrics(places[:1]) == []


def test_cells_of_another_metric_do_not_cover_those_of_the_first():
    places = [place_line(), place_line(metric="macro_f1", value=0.4, low=0.3, high=0.5)]
    assert heat_map(places, "int8", DATA).rows[0].cells[0].value == "-2.0"
    assert every_place(places, ["int8"], DATA).rows[0].cells[0].value == "-2.0"
