"""Numbers of several processes in one sum, and the page as Prometheus' own parser reads it."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.serve.board import NOTICE, Board, Safety
from surefoot.serve.flow import Answered
from surefoot.serve.meters import (
    CELLS,
    METERS,
    NAMED,
    SECONDS,
    Meters,
    forget_states,
    name_models,
)

prometheus = pytest.importorskip("prometheus_client.parser", reason="needs the extra 'serve'")


@contextmanager
def forked(work):
    """A process that does some work and then sleeps until it is killed; gives its id."""
    done, doing = os.pipe()
    child = os.fork()
    if not child:
        try:
            work()
            os.write(doing, b".")
            signal.pause()
        finally:
            os._exit(1)
    assert os.read(done, 1) == b"."
    os.close(done)
    os.close(doing)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def counted(board, slot, times):
    def work():
        meters = Meters(board, slot)
        for _ in range(times):
            meters.add("requests", 1, "200")
            meters.observe("request_seconds", 0.002)
        meters.set("workers", 1)

    return work


def page(meters):
    """(sample name, labels) to value, by the parser of Prometheus' own client."""
    families = prometheus.text_string_to_metric_families(meters.page().decode())
    return {
        (one.name, *one.labels.values()): one.value for family in families for one in family.samples
    }


def test_the_sum_over_processes_is_exact_and_outlives_them():
    board = Board(slots=4, cells=CELLS)
    here = Meters(board, 0)
    with (
        forked(counted(board, 1, 1_000)),
        forked(counted(board, 2, 2_000)),
        forked(counted(board, 3, 300)),
    ):
        assert here.read()["requests"]["200"] == 3_300
        assert here.read()["request_seconds"]["0.0025"] == 3_300
        assert here.read()["workers"][""] == 3
    assert here.read()["requests"]["200"] == 3_300
    forget_states(board, 2)
    assert here.read()["workers"][""] == 2
    with forked(counted(board, 2, 7)):  # in the place of the one that was killed
        assert here.read()["requests"]["200"] == 3_307
        assert here.read()["workers"][""] == 3


def test_threads_of_a_process_lose_no_count():
    from concurrent.futures import ThreadPoolExecutor

    board = Board(slots=1, cells=CELLS)
    meters = Meters(board, 0)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: [meters.add("void_rows") for _ in range(5_000)], range(4)))
    assert meters.read()["void_rows"][""] == 20_000


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=50))
def test_the_page_is_what_prometheus_reads(seconds):
    meters = Meters(Board(slots=2, cells=CELLS), 1)
    for value in seconds:
        meters.observe("request_seconds", value)
    found = page(meters)
    for cut in SECONDS:
        below = sum(value <= cut for value in seconds)
        assert found["surefoot_request_seconds_bucket", f"{cut:g}"] == below
    assert found["surefoot_request_seconds_bucket", "+Inf"] == len(seconds)
    assert found["surefoot_request_seconds_count",] == len(seconds)
    assert found["surefoot_request_seconds_sum",] == pytest.approx(sum(seconds))


def test_rows_are_told_by_the_names_that_the_bundle_gives():
    board = Board(slots=2, cells=CELLS)
    meters = Meters(board, 1)
    name_models(board, ["lean", 'od"d\nname'])
    meters.routed(
        Answered(
            scores=np.array([[0.9, 0.1], [0.4, 0.6], [1.0, 0.0]]),
            predicted=np.array([0, 1, 0]),
            routes=("lean", 'od"d\nname', "lean"),
            promises=("held", "void: no time", "held"),
        )
    )
    name_models(board, ["other-lean"])  # a reload
    meters.add("rows", 4, "other-lean")
    meters.add("rows", 2, "nobody")
    found = page(meters)
    assert found["surefoot_rows_total", "lean"] == 2
    assert found["surefoot_rows_total", 'od"d\nname'] == 1
    assert found["surefoot_rows_total", "other-lean"] == 4
    assert found["surefoot_rows_total", "other"] == 2
    assert found["surefoot_void_rows_total",] == 1
    assert found["surefoot_confidence_count",] == 3


def test_more_names_than_there_is_room_for_are_others():
    board = Board(slots=1, cells=CELLS)
    meters = Meters(board, 0)
    for i in range(NAMED + 3):
        name_models(board, [f"model-{i}"])
        meters.add("rows", 1, f"model-{i}")
    assert meters.read()["rows"]["other"] == 3
    assert sum(meters.read()["rows"].values()) == NAMED + 3


def test_a_status_that_nobody_foresaw_is_counted_as_other():
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    meters.answered(True, 418, 0.1)
    meters.answered(False, 200, 0.1)
    assert meters.read()["requests"]["other"] == 1
    assert meters.read()["requests"]["200"] == 0


@pytest.mark.parametrize("name", ["request", "", "surefoot_rows"])
def test_a_name_that_is_none_is_an_error(name):
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    for call in (meters.add, lambda n: meters.set(n, 1.0), lambda n: meters.observe(n, 1.0)):
        with pytest.raises(KeyError, match="no meter"):
            call(name)
    with pytest.raises(KeyError, match="has no label"):
        meters.add("workers", 1, "a")


def test_every_meter_has_cells_of_its_own():
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    assert sum(meter.cells for meter in METERS.values()) == CELLS
    for name, meter in METERS.items():
        assert not any(meters.read()[name].values())
        if meter.cuts:
            meters.observe(name, 1e9)
        elif meter.kind == "gauge":
            meters.set(name, 1)
        else:
            meters.add(name, 1, "other" if meter.label else "")
    assert all(any(values.values()) for values in meters.read().values())


def test_what_the_guard_says_is_read_in_other_processes():
    board = Board(slots=2, cells=CELLS)
    assert board.state(7) == Safety()
    alarm = Safety(mode="alarm", threshold=0.99, reason="the models disagree more", epoch=3)
    board.publish({7: alarm, 8: Safety()})

    def work():
        assert board.state(7) == alarm
        assert board.state(7) is board.state(7)
        assert board.state(8) == Safety()
        assert board.state(9) is board.state(9)
        board.publish({7: Safety(epoch=4)})

    with forked(work):
        assert board.state(7) == Safety(epoch=4)


def test_a_notice_half_written_is_not_believed():
    board = Board(slots=1, cells=CELLS)
    board.names.write(["one"])
    assert board.names.read() == ["one"]
    board.names._turn[0] += 1
    board.names._memory[board.names._at + 20] ^= 1
    assert board.names.read() == ["one"]
    board.names.write(["two"])
    assert board.names.read() == ["two"]
    with pytest.raises(ValueError, match="bytes"):
        board.names.write("x" * NOTICE)
