"""Spans as a collector of OpenTelemetry receives them, from a service in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from tests.serve.live import COMMAND, ask, served
from tests.serve.test_flow import broken, flow, models, rows, stage

pytest.importorskip("opentelemetry.sdk", reason="needs the extra 'otel'")
pytest.importorskip("grpc", reason="needs the extra 'grpc'")

from tests.serve.test_grpc import ROWS, call, config, free, question

from surefoot.core.errors import BundleError
from surefoot.serve.traces import Traces

__all__ = ["models", "rows"]  # fixtures
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}


class Collector:
    """What was sent to it."""

    def __init__(self):
        self.spans, self.resource = [], {}

    def take(self, body):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = values(part.resource.attributes)
            self.spans += [span for scope in part.scope_spans for span in scope.spans]

    def wait(self, count):
        deadline = time.monotonic() + 60
        while len(self.spans) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return {span.name: span for span in self.spans}


def values(attributes):
    def plain(value):
        kind = value.WhichOneof("value")
        found = getattr(value, kind)
        return [plain(one) for one in found.values] if kind == "array_value" else found

    return {one.key: plain(one.value) for one in attributes}


@pytest.fixture
def collector(monkeypatch):
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            collector.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name in ("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield collector
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_request_is_a_span_of_its_callers_trace_and_its_models_are_in_it(
    run, collector, tmp_path
):
    with served(run, "--config", config(tmp_path, traces=True)) as (process, port, _):
        ask(port, "GET", "/healthz")
        body = json.dumps({"inputs": [[0, 0, 0, 0]] * 3}).encode()
        status, answers = ask(port, "POST", "/predict", body, CALLER | {"X-Request-Id": "mine"})
        assert status == 200
        found = collector.wait(2)
        assert {*found} == {"POST /predict", "ask same"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    request, model = found["POST /predict"], found["ask same"]
    assert request.trace_id.hex() == model.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == PARENT
    assert request.trace_state == "a=b"
    assert model.parent_span_id == request.span_id
    assert request.start_time_unix_nano <= model.start_time_unix_nano
    assert model.end_time_unix_nano <= request.end_time_unix_nano
    told = values(request.attributes)
    assert told["http.response.status_code"] == 200
    assert told["http.route"] == "/predict"
    assert told["surefoot.rows"] == 3
    assert told["surefoot.routes"] == ["same"]
    assert told["surefoot.request"] == "mine"
    assert told["surefoot.decisions"] == [one["id"] for one in json.loads(answers)["answers"]]
    assert told["surefoot.void_rows"] == 0
    assert collector.resource["service.name"] == "surefoot"
    assert collector.resource["surefoot.model"] == "same"


@pytest.mark.slow
def test_what_was_not_sent_yet_is_sent_at_the_end(run, collector, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    with served(run, "--config", config(tmp_path, traces=True)) as (process, port, _):
        assert ask(port, "POST", "/predict", b"{}", {"traceparent": "rubbish"})[0] == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    (span,) = collector.wait(1).values()
    assert not span.parent_span_id
    assert values(span.attributes)["http.response.status_code"] == 400


def test_calls_of_grpc_are_spans_too(run, collector, tmp_path):
    grpc = pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    port = free()
    with (
        served(run, "--config", config(tmp_path, traces=True, grpc_port=port)),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call(channel, "ModelInfer", question(raw=[ROWS.tobytes()]), metadata=[*CALLER.items()])
        found = collector.wait(2)
    request = found["inference.GRPCInferenceService/ModelInfer"]
    assert request.trace_id.hex() == TRACE
    assert found["ask same"].parent_span_id == request.span_id
    assert values(request.attributes)["surefoot.rows"] == 5


def traced(traces, work, status=200):
    """Work within the span of a request."""
    return traces.request("POST /predict", {}, {}, work, lambda _: status)


def test_the_fallback_is_a_span_beside_the_lean_model(models, rows, collector):
    lean, behind = models
    traces = Traces("turned")
    stages = [traces._stage(stage("turned", lean)), traces._stage(stage("baseline", behind))]
    asked = flow(stages[0], stages[1], 2.0)

    async def all_of_it():
        await asked.answer(rows, np.inf)  # outside of any request: a look at readiness, say
        await traced(traces, asked.answer(rows, np.inf))

    asyncio.run(all_of_it())
    traces.close()
    assert [span.name for span in collector.spans] == [
        "ask turned",
        "ask baseline",
        "POST /predict",
    ]
    assert len({span.parent_span_id for span in collector.spans[:2]}) == 1
    assert values(collector.spans[0].attributes)["surefoot.rows"] == len(rows)


def test_a_model_that_fails_is_seen(models, rows, collector):
    lean, behind = models
    traces = Traces("turned")
    stages = [traces._stage(stage("turned", broken(lean))), traces._stage(stage("base", behind))]

    async def answered():
        found = await flow(stages[0], stages[1], 2.0).answer(rows, np.inf)
        traces.answered(found)

    asyncio.run(traced(traces, answered()))
    asyncio.run(traced(traces, asyncio.sleep(0), status=503))
    traces.close()
    failed, well, request, refused = collector.spans
    assert failed.status.code == 2  # an error
    assert "gives 1 rows of 1 outputs" in failed.status.message
    assert not failed.events  # no traceback leaves the service
    assert well.status.code == request.status.code == 0
    assert values(request.attributes)["surefoot.routes"] == ["base"]
    assert refused.status.code == 2


@pytest.mark.slow
def test_a_collector_that_is_not_there_holds_nobody_up(run, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with served(run, "--config", config(tmp_path, traces=True)) as (process, port, _):
        for _ in range(20):
            assert ask(port, "POST", "/predict", {"inputs": [[0, 0, 0, 0]]})[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0  # a retry of the exporter alone may take a minute
        assert "Traceback" not in process.stderr.read()


def test_a_protocol_that_there_is_not_is_said(monkeypatch, run, tmp_path):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(BundleError, match="cannot be sent as 'http/json'"):
        Traces("lean")
    said = subprocess.run(
        [*COMMAND, "serve", "--port", "0", "--config", config(tmp_path, traces=True)],
        cwd=run, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert said.returncode == 2
    assert "traces cannot be sent as 'http/json'" in said.stderr
    assert "Traceback" not in said.stderr


def test_nothing_of_it_is_imported_where_traces_are_off():
    code = (
        "import sys, surefoot.serve.service, surefoot.serve.worker, surefoot.serve.grpc;"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'grpc', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
