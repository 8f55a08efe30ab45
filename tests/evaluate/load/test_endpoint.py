"""Endpoints over real sockets: sound ones, and every way in which one may go wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.plan import LoadPlan
from surefoot.evaluate.latency import WARM_UP
from surefoot.evaluate.load import endpoint as module
from surefoot.evaluate.load.endpoint import connected, find_endpoint
from surefoot.evaluate.load.one import put_under_load

LOAD = LoadPlan(scenario="server", target_qps=100, seconds=0.5, url="there", candidate="int8")


def outputs(data, shape=None, **more):
    shape = shape or [len(data), len(data[0])]
    tensor = {"name": "scores", "shape": shape, "datatype": "FP32", "data": data}
    return 200, json.dumps({"model_name": "intent", "outputs": [tensor], **more}).encode()


def sound(_, tensor):
    """An answer that is right, one score after another in the order of the rows."""
    return outputs(scores_of(np.reshape(tensor["data"], tensor["shape"]).tolist()))


def scores_of(rows):
    """Three scores of which the first number of a row says which is highest."""
    return [[1.0 * (int(abs(row[0]) * 100) % 3 == c) for c in range(3)] for row in rows]


def taking(*inputs):
    """Metadata of a model with these inputs, each a name and a type."""
    return {"name": "x", "inputs": [{"name": n, "datatype": t, "shape": [-1]} for n, t in inputs]}


@pytest.fixture
def run(serving, candidate, tree_set):
    """Runs a load against an answer: `run(answer, **changes of the load)`."""

    def make(answer, lanes=module.LANES, **changes):
        rows = tree_set()
        with serving(answer) as server:
            found = find_endpoint(server.url, rows)
            load = replace(LOAD, url=server.url, **changes)
            with connected(found, rows, lanes=lanes) as there:
                profile = put_under_load(there, rows, load, name="live", candidate=candidate())
            return rows, profile, server

    return make


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_go_out_as_the_protocol_says_and_answers_come_back(run, batch):
    rows, profile, server = run(sound, batch=batch)
    expected = np.array(scores_of(rows.inputs.tolist())).argmax(axis=1)
    assert profile.answers.tolist() == expected[profile.rows].tolist()
    assert profile.errors == {}
    assert server.paths == {"/v2/models/intent/infer"}
    for asked in server.asked:
        (tensor,) = asked["inputs"]
        assert (tensor["name"], tensor["datatype"]) == ("row", "FP32")
        assert tensor["shape"] == [batch, 4]
        assert len(tensor["data"]) == batch * 4
    sent = [tuple(asked["inputs"][0]["data"]) for asked in server.asked[WARM_UP:]]
    wanted = [tuple(rows.inputs[r].astype(float).ravel().tolist()) for r in profile.rows]
    assert sorted(sent) == sorted(wanted)
    assert (profile.runtime, profile.url) == ("", server.url)
    assert np.isnan(profile.cpu_ms).all()
    assert profile.busy > 0


def test_texts_go_out_as_bytes(serving, text_task, candidate):
    rows = text_task.test["main"]

    def answer(_, tensor):
        return outputs([[0.0, 1.0] for _ in tensor["data"]])

    with serving(answer, taking(("text", "BYTES"))) as server:
        load = replace(LOAD, url=server.url)
        with connected(find_endpoint(server.url, rows), rows) as there:
            profile = put_under_load(there, rows, load, name="live", candidate=candidate())
        said = {asked["inputs"][0]["data"][0] for asked in server.asked}
    assert said <= set(rows.inputs.tolist())
    assert server.asked[0]["inputs"][0]["shape"] == [1]
    assert (profile.answers == 1).all()


def test_requests_are_sent_when_due_however_slow_the_answers(run):
    """Each answer takes 0.2 s: one after another 50 would take 10 s, side by side 0.7."""

    def slow(handler, tensor):
        time.sleep(0.2)
        return sound(handler, tensor)

    began = time.monotonic()
    _, profile, _ = run(slow)
    assert time.monotonic() - began < 9
    assert profile.errors == {}
    assert (profile.wall_ms >= 200).all()
    assert np.median(profile.wall_ms) < 4_000
    assert profile.waiting >= 10


def test_a_stream_has_one_request_under_way(run):
    under_way, most = [], []

    def counted(handler, tensor):
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.005)
        under_way.pop()
        return sound(handler, tensor)

    _, profile, _ = run(counted, lanes=1, scenario="single_stream", target_qps=None)
    assert max(most) == 1
    assert 10 < len(profile.wall_ms) <= 100


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda *_: (503, b"{}"), "HTTP 503"),
        (lambda *_: (200, b"<html>"), "not JSON"),
        (lambda *_: (200, b"[1, 2]"), "not an answer of the Open Inference Protocol"),
        (
            lambda *_: (200, b'{"outputs": [{"shape": [1, 3]}]}'),
            ("not an answer of the Open Inference Protocol"),
        ),
        (lambda *_: (200, b'{"error": "no"}'), "not an answer of the Open Inference Protocol"),
        (lambda *_: outputs([[0.1, 0.9]]), "no output of shape [1, 3]"),
        (lambda *_: outputs([0.1, 0.9], [1, 3]), "not an answer of the Open Inference Protocol"),
        (lambda *_: outputs([[0.1, float("nan"), 0.2]]), "a score that is not finite"),
        (lambda *_: outputs([[0.1, None, 0.2]]), "a score that is not finite"),
        (
            lambda *_: outputs([[0.1, 10**400, 0.2]]),
            "not an answer of the Open Inference Protocol",
        ),
        (lambda *_: (200, b"[" * 200_000), "JSON that is nested too deeply"),
        (lambda *_: (200, b" " * (module.LARGEST + 1)), "an answer of more than 16 MB"),
        (lambda h, _: h.wfile.write(b"nonsense\r\n\r\n"), "not HTTP"),
        (lambda h, _: h.connection.shutdown(socket.SHUT_RDWR), "connection closed"),
        (
            lambda h, _: (
                h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
                and h.connection.shutdown(socket.SHUT_RDWR)
            ),
            "connection closed",
        ),
    ],
)
def test_an_error_is_counted_and_infinitely_late(run, answer, reason):
    """Every third request goes wrong; none is dropped, and none is taken for an answer."""
    turn = iter(range(10**6))
    lock = threading.Lock()

    def sometimes(handler, tensor):
        with lock:
            number = next(turn)
        return answer(handler, tensor) if number % 3 == 0 else sound(handler, tensor)

    _, profile, _ = run(sometimes)
    failed = np.isinf(profile.wall_ms)
    assert profile.errors == {reason: failed.sum()}
    assert 15 <= failed.sum() <= 18
    assert (profile.answers[failed] == -1).all()
    assert (profile.answers[~failed] >= 0).all()
    assert len(profile.wall_ms) == 50
    assert profile.achieved_qps < 80


def test_an_answer_that_does_not_come_is_given_up(run, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    turn = iter(range(10**6))

    def hangs(handler, tensor):
        if next(turn) == 20:
            time.sleep(0.5)
        return sound(handler, tensor)

    _, profile, _ = run(hangs)
    assert profile.errors == {"no answer within 0.1 s": 1}


def test_an_endpoint_that_dies_fails_every_later_request(serving, candidate, tree_set):
    rows = tree_set()
    with serving(sound) as server:
        found = find_endpoint(server.url, rows)
        died = []

        def die(handler, tensor):
            if len(server.asked) == 25:
                server.socket.close()
                died.append(True)
            if died:
                handler.connection.shutdown(socket.SHUT_RDWR)
                return None
            return sound(handler, tensor)

        server.answer = die
        with connected(found, rows) as there:
            load = replace(LOAD, url=server.url)
            profile = put_under_load(there, rows, load, name="live", candidate=candidate())
    assert len(profile.wall_ms) == 50
    assert 28 <= sum(profile.errors.values()) <= 32
    assert set(profile.errors) <= {"connection closed", "connection refused"}
    assert np.isinf(profile.wall_ms[-20:]).all()
    assert np.isfinite(profile.wall_ms[:15]).all()


def port_of_nobody():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_an_endpoint_that_is_not_there_is_one_clear_error(tree_set):
    url = f"http://127.0.0.1:{port_of_nobody()}/v2/models/intent"
    with pytest.raises(ModelError) as caught:
        find_endpoint(url, tree_set())
    assert str(caught.value) == (
        f"{url}: does not answer: connection refused; start it, or correct the url"
    )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([], "does not describe a model (HTTP 200)"),
        ({"name": "x"}, "does not describe a model (HTTP 200)"),
        (taking(), "takes nothing, but raw rows are one input of FP32 or FP64"),
        (taking(("ids", "INT64")), "takes ids (INT64), but"),
        (taking(("a", "FP32"), ("b", "FP32")), "takes a (FP32), b (FP32), but"),
    ],
)
def test_an_endpoint_that_takes_something_else_is_refused(serving, tree_set, metadata, message):
    with serving(sound, metadata) as server, pytest.raises(ModelError) as caught:
        find_endpoint(server.url, tree_set())
    assert message in str(caught.value)
    assert server.url in str(caught.value)


def test_images_are_whole_numbers(serving):
    rows = Dataset(
        name="main", ids=np.array(["a", "b"], np.dtypes.StringDType()),
        inputs=np.arange(8, dtype=np.uint8).reshape(2, 2, 2), labels=np.zeros(2, np.int64),
        classes=("x", "y"),
    )  # fmt: skip
    with serving(sound, taking(("pixels", "UINT8"))) as server:
        found = find_endpoint(server.url, rows)
    with connected(found, rows) as there:
        count, body = there.request(np.array([1, 0]))
    (tensor,) = json.loads(body)["inputs"]
    assert (count, tensor["shape"]) == (2, [2, 2, 2])
    assert tensor["data"] == [4, 5, 6, 7, 0, 1, 2, 3]


def drip(handler, head=b""):
    """A byte now and then, for 20 s: each is in time, and all of them are not."""
    handler.wfile.write(head)
    for _ in range(400):
        time.sleep(0.05)
        try:
            handler.wfile.write(b"1")
        except OSError:
            break


OPEN = b"HTTP/1.0 200 OK\r\n\r\n"
"""The head of an answer that ends where the connection does."""


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", OPEN])
def test_an_endpoint_that_drips_is_not_waited_for(tree_set, monkeypatch, head):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.4)

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self):
            drip(self, head)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(ModelError, match=r"does not answer: no answer within 0\.4 s"):
            find_endpoint(f"http://127.0.0.1:{server.server_port}/v2/models/intent", tree_set())
        assert time.monotonic() - began < 15
        server.shutdown()


def test_an_answer_that_drips_is_given_up(run, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.4)
    turn = iter(range(10**6))

    def drips(handler, tensor):
        return drip(handler, OPEN) if next(turn) == 20 else sound(handler, tensor)

    began = time.monotonic()
    _, profile, _ = run(drips)
    assert time.monotonic() - began < 15
    assert profile.errors == {"no answer within 0.4 s": 1}


def test_metadata_that_are_nested_too_deeply_are_refused(serving, tree_set, monkeypatch):
    deep = (200, b"[" * 200_000)
    monkeypatch.setattr(module, "_exchange", lambda *_: deep)
    with serving(sound) as server, pytest.raises(ModelError, match="does not describe a model"):
        find_endpoint(server.url, tree_set())


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from surefoot.core.progress import Silent
from surefoot.evaluate.load.generator import Server, drive

server = Server(
    request=len, ask=lambda sent: sent, read=lambda _: np.zeros(1, int), lanes={lanes}
)
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    drive(server, np.zeros((4, 1), int), np.array([0.0, 20.0, 40.0]), 60.0, Silent())
except KeyboardInterrupt:
    print(time.monotonic() - began)
"""


@pytest.mark.parametrize("lanes", [1, 8])
def test_an_interrupt_ends_a_load_whose_next_request_is_far_away(lanes):
    """In a process of its own: libraries that other tests load have handlers of their own."""
    code = INTERRUPTED.format(lanes=lanes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert float(done.stdout) < 3, done.stderr
