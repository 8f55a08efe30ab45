"""Bundles of others: whatever their files hold, diff says one clear error or compares."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from surefoot.core.errors import BundleError, SurefootError
from surefoot.diff import diff_bundles
from surefoot.report.diff import diff_exit_code


def told_or_refused(then, now):
    """Whether what was changed is among the changes, or the bundle is said to be odd."""
    try:
        found = diff_bundles(then, now)
    except BundleError as error:
        return "is not as surefoot writes it" in str(error)
    return bool(found.plan or found.incompatible)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["budgets"][0].update(max_drop="x"),
        lambda d: d["budgets"][0].update(level="x"),
        lambda d: d["budgets"][0].update(batch=[1]),
        lambda d: d["recipes"][0].update(steps=[{"use": "a", "options": [3]}]),
        lambda d: d["recipes"][1].update(steps=7),
        lambda d: d.update(recipes=7, budgets="many"),
        lambda d: d.update(task=None),
        lambda d: d["task"].update(test=[["main"]]),
        lambda d: d["evaluate"].update(slices=7),
    ],
)
def test_a_plan_of_another_shape_is_no_traceback(then, now, told, change):
    told(now, change, "plan.json")
    assert told_or_refused(then, now)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(verdicts=[]),
        lambda d: d.update(candidates=[]),
        lambda d: d.update(comparisons=None),
        lambda d: d.update(latencies=None),
        lambda d: d.update(rows=["main"]),
        lambda d: d["verdicts"][0].update(findings=None),
        lambda d: d["verdicts"][0].update(use={"count": "x"}),
        lambda d: d["latencies"][0].update(p50_ms=None),
        lambda d: d["latencies"][0]["p50_ms"].update(value="x"),
        lambda d: d["latencies"][0]["p50_ms"].update(n="many"),
        lambda d: d["candidates"][0].pop("fingerprint"),
        lambda d: d["candidates"][1].update(name=".."),
        lambda d: d["candidates"][1].update(name=7),
        lambda d: [c.update(n="many") for c in d["comparisons"]] and None,
    ],
)
def test_a_verdict_of_another_shape_is_one_clear_error(then, now, told, change):
    told(now, change)
    with pytest.raises(SurefootError) as caught:
        diff_bundles(then, now)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["value", "low", "high"])
def test_a_latency_without_an_end_is_not_compared(then, now, told, missing):
    def change(data):
        for entry in data["latencies"]:
            if entry["candidate"] == "int8":
                entry["p50_ms"][missing] = None

    told(now, change)
    found = diff_bundles(then, now)
    moves = {m.candidate: m for m in found.latencies}
    assert (moves["int8"].status, moves["int8"].note) == (
        "not compared", "too few calls for an interval",
    )  # fmt: skip
    assert moves["int8"].ratio is None
    assert moves["same"].ratio is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_on_a_row_is_not_compared(then, now, cell, value):
    def change(columns):
        columns["log_loss"][3] = value

    cell(now, "int8", "main", change)
    moves = {
        (m.place, m.metric): m for m in diff_bundles(then, now).answers if m.candidate == "int8"
    }
    move = moves["main", "log_loss"]
    assert (move.status, move.note) == ("not compared", "not every row has a number")
    assert moves["main", "accuracy"].status == "same"
    assert moves["talks", "log_loss"].status == "same"


def test_a_slice_without_rows_is_not_compared_and_the_rest_is(then, now, cell):
    def empty(columns):
        columns["slice_left"] = np.zeros(len(columns["id"]), bool)

    for bundle in (then, now):
        cell(bundle, "int8", "main", empty)
    moves = {
        (m.place, m.metric): m for m in diff_bundles(then, now).answers if m.candidate == "int8"
    }
    assert moves["main [left]", "accuracy"].status == "not compared"
    assert moves["main [left]", "accuracy"].note == "no row to compare"
    assert moves["main", "accuracy"].status == "same"


def test_a_metric_that_one_version_lacks_is_left_out(then, now, cell):
    cell(now, "int8", "main", lambda c: {k: v for k, v in c.items() if k != "log_loss"})
    metrics = {
        m.metric
        for m in diff_bundles(then, now).answers
        if (m.candidate, m.place) == ("int8", "main")
    }
    assert metrics == {"accuracy"}


def test_a_cell_without_rows_is_one_error(then, now, cell):
    cell(now, "int8", "main", lambda c: {k: v[:0] for k, v in c.items()})
    with pytest.raises(BundleError, match=r"main\.parquet: a cell without rows"):
        diff_bundles(then, now)


def test_a_cell_that_is_no_parquet_file_is_one_error(then, now):
    (now / "cells" / "int8" / "main.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SurefootError, match=r"main\.parquet"):
        diff_bundles(then, now)


def test_a_cell_of_one_version_alone_is_left_out(then, now):
    (now / "cells" / "int8" / "main.parquet").unlink()
    shutil.copy(then / "cells" / "same" / "main.parquet", now / "cells" / "same" / "more.parquet")
    found = diff_bundles(then, now)
    places = {(m.candidate, m.place) for m in found.answers}
    assert ("int8", "main") not in places
    assert ("same", "main") in places
    assert diff_exit_code(found) == 0


def test_every_row_lost_is_worse_by_all_of_them(then, now, cell):
    def lose_all(columns):
        label = columns["label"]
        columns["predicted"] = np.where(label == "x", "y", "x").astype(label.dtype)
        columns["correct"] = np.zeros(len(label), bool)

    cell(now, "int8", "main", lose_all)
    found = diff_bundles(then, now)
    (move,) = (
        m for m in found.answers
        if (m.candidate, m.place, m.metric) == ("int8", "main", "accuracy")
    )  # fmt: skip
    assert (move.won, move.now, move.status) == (0, 0.0, "worse")
    assert move.then == pytest.approx(move.lost / 600)
    assert move.difference.value == pytest.approx(-move.then)
    assert move.p < 1e-20


def test_holding_the_newer_against_the_older_turns_the_signs(then, now, cell):
    def lose(columns):
        right = np.flatnonzero(columns["correct"])[:40]
        label = columns["label"][right]
        columns["predicted"][right] = np.where(label == "x", "y", "x").astype(label.dtype)
        columns["correct"][right] = False

    cell(now, "int8", "main", lose)
    ways = [diff_bundles(then, now), diff_bundles(now, then)]
    one, other = (
        next(m for m in found.answers if (m.candidate, m.place) == ("int8", "main"))
        for found in ways
    )
    assert (one.lost, one.won, one.other) == (other.won, other.lost, other.other)
    assert (one.status, other.status) == ("worse", "better")
    assert one.p == pytest.approx(other.p)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high, abs=1e-6)
