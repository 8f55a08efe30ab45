"""The numbers that exports carry, against counts and intervals made by other means."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as reference
from tests.report.conftest import compared
from tests.report.test_terminal import PAIRED, finding

from surefoot.bundle import cell_file
from surefoot.bundle.encode import decode_estimate
from surefoot.core.errors import BundleError
from surefoot.core.evidence import Budget
from surefoot.data.columns import write_parquet
from surefoot.report.numbers import of_findings, read_figures, without_interval

TIMES = {"value": 3.0, "low": 2.5, "high": None, "level": 0.95, "method": "order", "n": 40}


def told(*comparisons, **more):
    known = {
        "comparisons": list(comparisons), "calibration": None, "latencies": [], "memory": {},
        "candidates": [{"name": n, "size_bytes": s} for n, s in (("base", 8e6), ("int8", 2.5e6))],
    }  # fmt: skip
    return known | more


def cell(folder, candidate, where=("main", "", 0.0), **columns):
    path = folder / "cells" / candidate / cell_file(*where)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, columns)


def of_places(figures):
    return {(f.quantity, f.where): f for f in figures if f.dataset is not None}


def test_an_accuracy_is_a_share_with_the_exact_interval(tmp_path):
    right = np.arange(200) % 8 != 0  # 25 wrong
    cell(tmp_path, "int8", correct=right, slice_late=np.arange(200) >= 150)
    found = of_places(read_figures(tmp_path, "int8", told(compared(), compared(slice="late"))))
    whole, late = found["accuracy", "main"].estimate, found["accuracy", "main [late]"].estimate
    exact = reference.binomtest(175, 200).proportion_ci(0.95, "exact")
    assert (whole.value, whole.low, whole.high) == pytest.approx((0.875, exact.low, exact.high))
    assert (whole.n, whole.method) == (200, "Clopper-Pearson")
    assert (late.n, late.value) == (50, pytest.approx(right[150:].mean()))
    assert not found["accuracy", "main"].lower_is_better


def test_nothing_wrong_is_not_shown_to_be_perfect(tmp_path):
    cell(tmp_path, "int8", correct=np.ones(50, bool))
    (figure,) = of_places(read_figures(tmp_path, "int8", told(compared()))).values()
    assert (figure.estimate.value, figure.estimate.high) == (1.0, 1.0)
    assert figure.estimate.low == pytest.approx(0.025 ** (1 / 50))


def test_a_mean_of_rows_is_that_of_students_t(tmp_path):
    half = np.random.default_rng(3).uniform(0.1, 1, 40)
    loss = np.concatenate([1 + half, 1 - half])  # without a longer tail, whose end is moved out
    cell(tmp_path, "int8", correct=np.ones(80, bool), log_loss=loss)
    one = compared(metric="log_loss", higher_is_better=False)
    (figure,) = of_places(read_figures(tmp_path, "int8", told(one))).values()
    low, high = reference.t.interval(0.95, 79, loss.mean(), reference.sem(loss))
    e = figure.estimate
    assert (e.value, e.low, e.high) == pytest.approx((loss.mean(), low, high), rel=1e-6)
    assert (e.method, figure.lower_is_better) == ("t", True)


def test_rows_that_belong_together_say_less(tmp_path):
    groups = np.arange(240) // 6
    right = np.random.default_rng(0).random(40)[groups] < 0.8  # a group is right or wrong as one
    names = np.array([f"author {g}" for g in groups], np.dtypes.StringDType())
    cell(tmp_path, "int8", correct=right)
    cell(tmp_path, "int8", ("far", "", 0.0), correct=right, group=names)
    data = told(compared(), compared(dataset="far"))
    found = of_places(read_figures(tmp_path, "int8", data))
    alone, grouped = found["accuracy", "main"].estimate, found["accuracy", "far"].estimate
    assert alone.value == pytest.approx(grouped.value)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert grouped.method == "clustered score"


def test_each_place_is_read_from_its_own_cell_and_once(tmp_path):
    wheres = [("main", "", 0.0), ("main", "typos", 1.0), ("main", "typos", 2.5)]
    for i, where in enumerate(wheres):
        cell(tmp_path, "int8", where, correct=np.arange(10) >= i)
    places = [compared(dataset=d, shift=s, severity=v) for d, s, v in wheres]
    figures = read_figures(tmp_path, "int8", told(*places, *places))
    values = {f.where: f.estimate.value for f in figures if f.dataset}
    assert values == pytest.approx({"main": 1.0, "main + typos 1": 0.9, "main + typos 2.5": 0.8})
    assert len(figures) == 3 + 1  # and the size


def test_the_baseline_has_figures_wherever_any_candidate_was_compared(tmp_path):
    cell(tmp_path, "base", correct=np.ones(4, bool))
    data = told(compared(candidate="int8"), compared(candidate="int4"))
    (figure,) = of_places(read_figures(tmp_path, "base", data)).values()
    assert (figure.model, figure.estimate.n) == ("base", 4)
    assert of_places(read_figures(tmp_path, "int2", data)) == {}


def test_what_a_cell_lacks_is_left_out_and_named(tmp_path):
    cell(tmp_path, "int8", correct=np.ones(4, bool))
    data = told(
        compared(), compared(slice="gone"), compared(metric="macro_f1"), compared(dataset="far")
    )
    figures = read_figures(tmp_path, "int8", data)
    assert [*of_places(figures)] == [("accuracy", "main")]
    assert without_interval(data, figures) == (
        "accuracy on main [gone]", "macro_f1 on main", "accuracy on far",
    )  # fmt: skip
    assert without_interval(told(compared()), figures) == ()
    assert without_interval(told(), ()) == ()


@pytest.mark.parametrize("name", ["../../etc", "/etc", "a/../../../b"])
def test_a_name_that_leads_out_of_the_bundle_is_refused(tmp_path, name):
    with pytest.raises(BundleError, match="lies outside of the bundle"):
        read_figures(tmp_path, f"../../{name}", told(compared(candidate=f"../../{name}")))


def test_size_and_memory_are_read_off_in_megabytes(tmp_path):
    data = told(memory={"base": 12_000_000})
    (size,) = read_figures(tmp_path, "int8", data)
    assert (size.quantity, size.estimate.value, size.lower_is_better) == ("size_mb", 2.5, True)
    assert (size.estimate.low, size.estimate.high, size.estimate.method) == (2.5, 2.5, "exact")
    both = {f.quantity: f.estimate.value for f in read_figures(tmp_path, "base", data)}
    assert both == {"size_mb": 8.0, "memory_mb": 12.0}


def test_calls_and_loads_that_prove_something_are_told(tmp_path):
    entry = {"candidate": "int8", "batch": 8, "p50_ms": TIMES, "p99_ms": {**TIMES, "value": None}}
    loads = [{**entry, "load": n, "invalid": why} for n, why in (("web", ""), ("peak", "late"))]
    data = told(latencies=[entry, {**entry, "candidate": "base"}], loads=loads)
    found = [f for f in read_figures(tmp_path, "int8", data) if f.quantity.endswith("_ms")]
    assert [(f.quantity, f.where) for f in found] == [
        (name, where) for where in ("batch 8", "load web") for name in ("p50_ms", "p99_ms")
    ]  # fmt: skip
    assert not any(f.bounded for f in found)
    assert found[1].estimate.value == math.inf


def test_a_check_that_was_not_run_is_no_figure(tmp_path):
    rate = {"value": 0.02, "low": 0.0, "high": 0.1, "level": 0.95, "method": "exact", "n": 50}
    checks = [
        {"candidate": "int8", "check": "finite", "rate": rate},
        {"candidate": "int8", "check": "typos", "rate": None},
        {"candidate": "base", "check": "finite", "rate": rate},
    ]
    found = [f for f in read_figures(tmp_path, "int8", told(checks=checks)) if f.where == ""]
    assert [(f.quantity, f.estimate.value) for f in found] == [("size_mb", 2.5), ("finite", 0.02)]


def test_what_confidence_is_worth_does_not_stand_twice(tmp_path):
    cell(tmp_path, "int8", correct=np.ones(10, bool), brier=np.full(10, 0.25))
    figures = {
        name: {"value": 0.1, "low": None, "high": 0.2, "level": 0.95, "method": "BCa", "n": 10}
        for name in ("ece", "brier", "out_of_scope_auc")
    }
    where = {"dataset": "main", "shift": "", "severity": 0.0, "before": {"figures": figures}}
    places = [{**where, "candidate": name} for name in ("int8", "base")]
    data = told(compared(metric="brier", higher_is_better=False), calibration={"places": places})
    found = of_places(read_figures(tmp_path, "int8", data))
    assert [key[0] for key in found] == ["brier", "ece", "out_of_scope_auc"]
    assert {key[0]: f.lower_is_better for key, f in found.items()} == {
        "brier": True, "ece": True, "out_of_scope_auc": False,
    }  # fmt: skip
    assert found["ece", "main"].estimate.low == -math.inf


def test_the_gates_own_interval_is_taken_for_a_fixed_limit_where_no_other_is():
    fixed = Budget(quantity="macro_f1", at_least=0.5)
    paired = replace(PAIRED, metric="macro_f1")
    known = finding(0.8, 0.7, 0.9, budget=fixed, paired=paired)
    (figure,) = of_findings([known, known], ())
    assert (figure.quantity, figure.where, figure.estimate) == ("macro_f1", "main", known.estimate)
    assert list(of_findings([known], [figure])) == []
    nothing = [
        finding(budget=Budget(quantity="macro_f1", max_drop=0.1), paired=paired),  # a difference
        finding(budget=Budget(quantity="flips", at_most=0.1)),  # of two models
        finding(budget=Budget(quantity="p99_ms", at_most=9), paired=None),
    ]
    assert list(of_findings(nothing, ())) == []


def test_what_json_cannot_hold_is_infinite():
    e = decode_estimate({**TIMES, "value": None, "low": None})
    assert (e.value, e.low, e.high) == (math.inf, -math.inf, math.inf)
    e = decode_estimate({**TIMES, "high": 4})
    assert (e.value, e.low, e.high, e.n) == (3.0, 2.5, 4.0, 40)
