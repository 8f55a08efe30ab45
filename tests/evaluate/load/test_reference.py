"""A load of ours beside one of MLPerf LoadGen, the reference, on the same service."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.plan import LoadPlan
from surefoot.evaluate import serve_load

QPS, SECONDS, WORK = 100, 6, 0.003
EVERY, FROZEN = 2.0, 0.5
"""The service freezes for the last half second of every two."""
ROWS = Dataset(
    name="rows", ids=np.array(["a", "b"], np.dtypes.StringDType()),
    inputs=np.zeros((2, 1), np.float32), labels=np.zeros(2, np.int64), classes=("x", "y"),
)  # fmt: skip


def service():
    """A call that takes 3 ms, and longer where it falls into a freeze."""
    began = time.perf_counter()

    def call(_=None):
        phase = (time.perf_counter() - began) % EVERY
        time.sleep(max(EVERY - phase, 0) + WORK if phase > EVERY - FROZEN else WORK)
        return np.eye(2)[:1]

    return call


def by_loadgen(scenario, folder, call):
    """Latencies in ms by percentile, from the summary that LoadGen writes."""
    loadgen = pytest.importorskip("mlperf_loadgen", reason="needs mlcommons_loadgen")
    waiting = queue.SimpleQueue()

    def work():
        while (sample := waiting.get()) is not None:
            call()
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    def issue(samples):
        for sample in samples:
            waiting.put(sample)

    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, scenario)
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = QPS
    settings.server_target_latency_ns = 10**10
    settings.min_duration_ms = settings.max_duration_ms = SECONDS * 1000
    settings.min_query_count = 1
    log = loadgen.LogSettings()
    log.log_output.outdir = str(folder)
    worker = threading.Thread(target=work)
    worker.start()
    under_test = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(2, 2, lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(under_test, library, settings, log)
    waiting.put(None)
    worker.join()
    loadgen.DestroyQSL(library)
    loadgen.DestroySUT(under_test)
    lines = (folder / "mlperf_log_summary.txt").read_text().splitlines()
    found = [line for line in lines if " percentile latency (ns)" in line and "th p" not in line]
    said = (line.split(" percentile latency (ns)") for line in found)
    return {float(name): float(rest.partition(":")[2]) / 1e6 for name, rest in said}


@pytest.mark.slow
def test_a_server_that_freezes_looks_alike_to_loadgen(candidate, tmp_path):
    """Both see the whole queue that builds up; chance is in the arrivals and the phase alone."""
    theirs = by_loadgen("Server", tmp_path, service())
    settings = LoadPlan(scenario="server", target_qps=QPS, seconds=SECONDS)
    wall = serve_load(service(), candidate(), ROWS, settings).wall_ms
    for percentile in (90, 95):
        assert theirs[percentile] > 200
        ours = np.quantile(wall, percentile / 100, method="inverted_cdf")
        assert ours == pytest.approx(theirs[percentile], rel=0.15)


@pytest.mark.slow
def test_a_stream_looks_alike_to_loadgen(candidate, tmp_path):
    """One request after another: a freeze delays three of them, which p90 does not see."""
    theirs = by_loadgen("SingleStream", tmp_path, service())
    wall = serve_load(
        service(), candidate(), ROWS, LoadPlan(scenario="single_stream", seconds=SECONDS)
    ).wall_ms
    for percentile in (50, 90):
        ours = np.quantile(wall, percentile / 100, method="inverted_cdf")
        assert ours == pytest.approx(theirs[percentile], rel=0.5)
        assert ours < 50
    assert wall.max() > 400
