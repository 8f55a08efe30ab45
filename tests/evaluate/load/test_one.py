"""Loads whose latencies are known from theory or from a simulation of events."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.plan import LoadPlan
from surefoot.evaluate import measure_load, offered, serve_load
from surefoot.evaluate.load.generator import Server
from surefoot.evaluate.load.one import put_under_load

ROWS = Dataset(
    name="main", ids=np.array([str(i) for i in range(50)], np.dtypes.StringDType()),
    inputs=np.arange(50.0, dtype=np.float32)[:, None], labels=np.zeros(50, np.int64),
    classes=("a", "b"),
)  # fmt: skip
BUSY = LoadPlan(scenario="server", target_qps=100, seconds=1)


def answers(inputs):
    """Class 1 for odd rows."""
    odd = (inputs[:, 0] % 2).astype(int)
    return np.eye(2)[odd]


def sleeping(seconds):
    def call(inputs):
        time.sleep(seconds)
        return answers(inputs)

    return call


@pytest.fixture
def entrant(candidate):
    return candidate()


def queue(arrival, service):
    """Latencies of a queue of one server, event by event."""
    free, found = 0.0, []
    for due, takes in zip(arrival, service, strict=True):
        free = max(due, free) + takes
        found.append(free - due)
    return np.array(found)


def test_latency_counts_from_the_scheduled_arrival(entrant):
    """A model that freezes once: those that wait meanwhile are late, though each call is short."""
    calls = []

    def call(inputs):
        calls.append(len(inputs))
        time.sleep(0.4 if len(calls) == 30 else 0.001)
        return answers(inputs)

    profile = serve_load(call, entrant, ROWS, BUSY)
    truth = queue(profile.arrival_ms, profile.service_ms)
    np.testing.assert_allclose(
        profile.wall_ms, truth + profile.lateness_ms, atol=1e-6, err_msg="Lindley's recursion"
    )
    assert len(profile.wall_ms) == 100
    assert np.quantile(profile.wall_ms, 0.9) > 150
    assert np.quantile(profile.service_ms, 0.9) < 100
    assert profile.achieved_qps == pytest.approx(100, rel=0.2)


def test_every_candidate_has_the_same_arrivals_and_rows(entrant):
    settings = replace(BUSY, seconds=0.5)
    one, two = (serve_load(sleeping(t), entrant, ROWS, settings) for t in (0, 0.002))
    assert one.arrival_ms.tolist() == two.arrival_ms.tolist()
    assert one.rows.tolist() == two.rows.tolist()
    assert len(np.unique(one.rows)) > 20
    assert one.answers.tolist() == (one.rows % 2).tolist()


def test_a_rate_out_of_reach_leaves_requests_waiting(entrant):
    """20 ms a call at 100 a second: what is not sent a second after the end never is."""
    profile = serve_load(sleeping(0.02), entrant, ROWS, replace(BUSY, target_qps=200))
    assert offered(profile) > 3.5
    never = np.isinf(profile.wall_ms)
    assert 50 < never.sum() < 130
    assert never[-1]
    assert not never[0]
    assert profile.errors == {"not sent: too many were waiting": never.sum()}
    assert profile.waiting > 100
    assert profile.achieved_qps < 51
    assert (profile.answers[never] == -1).all()


@pytest.mark.parametrize(("scenario", "batch"), [("single_stream", 1), ("multi_stream", 8)])
def test_streams_send_the_next_request_when_the_last_is_answered(entrant, scenario, batch):
    settings = LoadPlan(scenario=scenario, seconds=0.3)
    profile = serve_load(sleeping(0.005), entrant, ROWS, settings)
    assert profile.batch == batch
    assert profile.rows.shape == profile.answers.shape == (len(profile.wall_ms), batch)
    done = profile.arrival_ms + profile.wall_ms
    assert (profile.arrival_ms[1:] >= done[:-1]).all()
    assert (profile.wall_ms >= 5).all()
    assert done[-2] <= 300
    assert (profile.target_qps, profile.waiting, profile.errors) == (None, 0, {})


def test_offline_has_all_rows_at_once(entrant):
    """Latency counts from the start for all, so that the last one's is the length of the run."""
    settings = LoadPlan(scenario="offline", seconds=0.4, batch=4)
    profile = serve_load(sleeping(0.005), entrant, ROWS, settings)
    assert (profile.arrival_ms == 0).all()
    assert (np.diff(profile.wall_ms) >= 5).all()
    assert 40 <= len(profile.wall_ms) <= 80
    assert profile.wall_ms[-1] == pytest.approx(1000 * len(profile.wall_ms) / profile.achieved_qps)


def test_cpu_time_is_that_of_the_call_without_the_wait(entrant):
    def busy(inputs):
        end = time.process_time() + 0.004
        while time.process_time() < end:
            pass
        return answers(inputs)

    settings = replace(BUSY, target_qps=40, seconds=0.5)
    profile = serve_load(busy, entrant, ROWS, settings)
    assert np.median(profile.cpu_ms) == pytest.approx(4, abs=0.5)
    idle = serve_load(sleeping(0.004), entrant, ROWS, settings)
    assert np.median(idle.cpu_ms) < 1


def test_a_real_model_answers_under_load_as_it_does_alone(candidate, tree_set, answers, watch):
    rows, lean, seen = tree_set(), candidate(), watch()
    settings = LoadPlan(scenario="server", target_qps=200, seconds=1.0, batch=2)
    profile = measure_load(lean, rows, settings, name="peak", progress=seen)
    expected = answers(lean, rows.inputs).argmax(axis=1)[profile.rows]
    assert profile.answers.tolist() == expected.tolist()
    assert (profile.load, profile.candidate, profile.runtime) == ("peak", "baseline", "onnxruntime")
    assert (profile.threads, profile.url, profile.errors) == (1, None, {})
    assert seen.totals == {"load peak: baseline": 1}


def test_errors_after_the_last_good_answer_belong_to_the_run(entrant):
    """Answers stop after a third of it: a third of the rate, whatever came first."""
    asked = itertools.count()
    server = Server(
        request=lambda rows: ROWS.inputs[rows],
        ask=answers,
        read=lambda scores: scores.argmax(axis=1) if next(asked) < 50 else "HTTP 500",
    )
    settings = replace(BUSY, seconds=0.6, target_qps=250.0)
    profile = put_under_load(server, ROWS, settings, name="peak", candidate=entrant)
    assert profile.errors == {"HTTP 500": 100}
    assert profile.ended_ms == pytest.approx(600, rel=0.2)
    assert profile.achieved_qps == pytest.approx(50_000 / profile.ended_ms)
    never = replace(server, read=lambda _: "HTTP 500")
    silent = put_under_load(never, ROWS, settings, name="peak", candidate=entrant)
    assert (silent.achieved_qps, silent.ended_ms) == (0, pytest.approx(600, rel=0.2))


def test_a_model_that_fails_stops_the_load(entrant):
    def broken(inputs):
        raise ModelError("gives 1 rows that are not finite")

    with pytest.raises(ModelError, match="not finite"):
        serve_load(broken, entrant, ROWS, BUSY)
