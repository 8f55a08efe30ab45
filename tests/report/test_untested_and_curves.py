"""What was not tested, and what is drawn along axes, from the shape that verdict.json has."""

from __future__ import annotations

import pytest

from surefoot.report.curves import envelope_plots, shift_plots
from surefoot.report.figures import ablation_figure
from surefoot.report.places import PlaceLine
from surefoot.report.reproduce import fingerprints, reproduce_lines
from surefoot.report.svg.curve import SERIES
from surefoot.report.tables import as_table, table_lines
from surefoot.report.untested import NAMED, gaps


def comparison(dataset="main", shift="", slice=None, n=1000):
    return {"dataset": dataset, "shift": shift, "slice": slice, "n": n}


def bare(*comparisons, **changes):
    return {
        "comparisons": list(comparisons) or [comparison()],
        "latencies": [], "memory": {}, "failed": {},
    } | changes  # fmt: skip


def whats(data, plan=None):
    return [gap.what for gap in gaps(data, (), plan or {})]


def test_everything_that_was_left_out_is_named_with_the_key_that_would_tell():
    found = {gap.fix: gap.what for gap in gaps(bare(), (), {"task": {"test": {"main": {}}}})}
    assert {
        "evaluate.shifts", "evaluate.envelope", "task.test.NAME", "group of a source",
        "evaluate.slices or evaluate.class_slices", "evaluate.find_slices", "evaluate.load.NAME",
        "a budget on memory_mb", "evaluate.checks", "task.calibration", "a budget on flips or lost",
        "evaluate.seeds",
    } <= set(found)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "data", "plan"),
    [
        ("only test set", bare(comparison(), comparison("far")), {}),
        ("no shift was measured", bare(comparison(shift="typos")), {}),
        ("no slice was declared", bare(comparison(slice="short")), {}),
        ("as independent", bare(), {"task": {"test": {"main": {"group": "author"}}}}),
        ("memory was not measured", bare(memory={"small": 1}), {}),
        ("slices that nobody declared", bare(found_slices={"slices": []}), {}),
        ("other seeds", bare(), {"evaluate": {"seeds": 3}}),
        ("no temperature", bare(calibration={"rows": 100}), {}),
        ("no axis was followed", bare(envelopes=[{}]), {}),
        ("no check was asked for", bare(checks=[{"check": "finite"}]), {}),
    ],
)
def test_what_was_measured_is_no_gap(words, data, plan):
    full = {"task": {"test": {"main": {}}}}
    assert any(words in what for what in whats(bare(), full))
    assert not any(words in what for what in whats(data, plan))


def test_many_names_are_counted():
    failed = {f"c{i}": "why" for i in range(NAMED + 3)}
    (said,) = [what for what in whats(bare(failed=failed)) if "could not be made" in what]
    assert said.endswith("c4 and 3 more")
    search = {"trials": [{"name": "deep", "gain": None}, {"name": "tried", "gain": {}}]}
    assert "candidates that the search did not measure: deep" in whats(bare(search=search))


def envelope(candidate, *, axis="typos", holds_to=1.0, fails_at=2.0, **more):
    probes = [{"at": at, "value": at / 50, "n": 100, "side": "holds"} for at in (0.0, 1.0, 2.0)]
    fields = {"dataset": "main", "limit": 0.03, "level": 0.95, "harder_is": "more"}
    return fields | {
        "axis": axis, "candidate": candidate, "holds_to": holds_to, "fails_at": fails_at,
        "probes": probes,
    } | more  # fmt: skip


def test_each_axis_has_one_plot_with_the_baseline_and_the_candidate_in_it():
    names = ["base", *(f"c{i}" for i in range(9))]
    found = list(envelope_plots([envelope(n) for n in names], "c8"))
    assert [one.name for one in found] == ["typos on main"]
    plot = found[0].plot
    assert "base" in plot
    assert "c8" in plot
    assert plot.count("<polyline") == SERIES
    assert len(found[0].table.rows) == 30  # all of them, three values each
    assert found[0].table.rows[2] == ("base", "2", "4", "100", "holds")
    timed = envelope("base", axis="batch", limit=20.0, harder_is="more")
    (found,) = envelope_plots([timed], "c8")
    assert "p99, ms" in found.plot
    assert found.name == "batch"


def test_an_axis_where_nothing_was_shown_is_open_on_both_sides():
    nothing = envelope("base", holds_to=None, fails_at=None)
    (found,) = envelope_plots([nothing], "c")
    width = float(found.plot.split('class="bracket')[0].rsplit('width="', 1)[1].split('"')[0])
    assert width == pytest.approx(720 - 170 - 62)
    unknown = envelope("base")
    unknown["probes"][1]["value"] = None  # answers that never came
    (found,) = envelope_plots([unknown], "c")
    assert len(found.table.rows) == 2


def place(dataset, severity, value):
    from surefoot.core.estimate import Estimate

    e = Estimate(value=value, low=value - 0.01, high=value + 0.01, level=0.95, method="m", n=9)
    return PlaceLine(
        candidate="small", metric="accuracy", dataset=dataset, shift="typos" if severity else "",
        severity=severity, slice=None, n=9, lost=1, won=0, baseline=0.9, value=0.9 + value, delta=e,
        outcome=None,
    )  # fmt: skip


def test_a_shift_is_drawn_where_it_has_several_severities_the_worst_sets_first():
    assert list(shift_plots([place("main", 0.0, 0), place("main", 1.0, -0.1)], "small")) == []
    sets = [f"set{i}" for i in range(SERIES + 2)]
    places = [place(n, s, -s * i / 100) for i, n in enumerate(sets) for s in (0.0, 1.0, 3.0)]
    (found,) = shift_plots(places, "small")
    assert f"Drawn are the {SERIES}" in found.caption
    assert ">set7<" in found.plot
    assert ">set0<" not in found.plot
    assert len(found.table.rows) == 3 * len(sets)


def test_an_ablation_is_drawn_where_there_is_one():
    assert ablation_figure(None) == ""
    assert ablation_figure({"ablation": [{"what": "x", "gain": None}]}) == ""
    gain = {"value": -0.01, "low": -0.02, "high": 0.0}
    assert "without refit" in ablation_figure(
        {"ablation": [{"what": "without refit", "gain": gain}]}
    )


def test_tables_leave_out_columns_of_nothing():
    table = as_table("three", ("a", "b"), [("1", ""), ("2", "")], ["a note"])
    assert table.kept() == [0]
    assert table_lines([table, table])[:6] == ["three:", "a", "-", "1", "2", "a note"]
    assert table_lines([]) == []


def test_commands_quote_names_and_fingerprints_name_all(tmp_path):
    said = reproduce_lines(
        {"libraries": {"numpy": "2.4", "torch": None}}, tmp_path / "it's; rm -rf"
    )
    assert said[0].startswith("pip install numpy==2.4  #")
    assert "'\"'\"'s; rm -rf'" in said[1]
    assert not reproduce_lines({}, tmp_path)[0].startswith("pip")
    data = {"candidates": [{"name": "base", "fingerprint": "f0"}], "rows": {"main": "f1"}}
    assert fingerprints(data) == [("model", "base", "f0"), ("test set", "main", "f1")]
