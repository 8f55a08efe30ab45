"""Slow and failing models behind real sockets: what a client is told, and what is not done."""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.models import open_model
from surefoot.serve.access import Access
from surefoot.serve.board import Board
from surefoot.serve.deployment import Deployment
from surefoot.serve.flow import Flow, Stage, Standing
from surefoot.serve.lanes import Lane
from surefoot.serve.meters import CELLS, Meters
from surefoot.serve.readiness import Readiness
from surefoot.serve.router import Opened
from surefoot.serve.service import Service

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
ROW = {"inputs": [[1.0, 2.0, 3.0, 4.0]]}
UNSURE = Standing(threshold=np.inf)
SURE = Standing(threshold=0.0)


class Moody:
    """A real model that takes its time, or fails, as a test wants it."""

    def __init__(self, predict):
        self.predict, self.seconds, self.ill, self.calls = predict, 0.0, False, 0

    def __call__(self, rows):
        self.calls += 1
        time.sleep(self.seconds)
        if self.ill:
            raise ModelError("is unwell")
        return self.predict(rows)


@pytest.fixture
def moody(contents):
    """The lean model and the fallback."""
    with open_model(contents.candidates[0].model) as predict:
        yield Moody(predict), Moody(predict), contents.candidates[0].model


@contextmanager
def alive(moody, found, standing, deployment=None):
    """Gives the port of a service in a thread of this process, and the service."""
    from surefoot.serve.protocol import Protocol

    lean, behind = (
        Stage(name=name, lane=Lane(one, inline=False))
        for name, one in zip(("lean", "baseline"), moody[:2], strict=True)
    )
    opened = Opened(
        found=found, verdict="PASS", model=moody[2], stages=(lean,), fallback=behind, golden={}
    )
    flow = Flow([lean], behind, 3, standing=lambda: standing)
    meters = Meters(Board(slots=1, cells=CELLS), 0)
    service = Service(opened, flow, Readiness([], {}), meters, deployment or Deployment(), Access())
    settings = uvicorn.Config(service, http=Protocol, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server._serve([listener])))
        thread.start()
        try:
            yield listener.getsockname()[1], service
        finally:
            server.should_exit = True
            thread.join(30)
            lean.lane.close()
            behind.lane.close()


@pytest.fixture
def found(contents):
    from tests.serve.conftest import a_cascade

    return a_cascade()


def ask(port, deadline_ms=None):
    """Status, body, headers, and seconds."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.monotonic()
    headers = {} if deadline_ms is None else {"x-deadline-ms": str(deadline_ms)}
    link.request("POST", "/predict", json.dumps(ROW), headers)
    answer = link.getresponse()
    body = json.loads(answer.read())
    link.close()
    return answer.status, body, dict(answer.headers), time.monotonic() - began


def test_a_deadline_is_an_answer_whatever_the_model_does(moody, found):
    with alive(moody, found, SURE) as (port, _):
        assert ask(port)[0] == 200
        moody[0].seconds = 3.0
        status, body, _, took = ask(port, 100)
        assert (status, body) == (504, {"error": "no model answered before the deadline"})
        assert 0.1 <= took < 2.5
        calls = moody[0].calls
        assert ask(port, 50)[0] == 504  # it waits for its turn, which never comes
        moody[0].seconds = 0.0
        assert ask(port)[0] == 200
        assert moody[0].calls == calls + 1


def test_a_slow_fallback_costs_the_promise_and_not_the_answer(moody, found):
    moody[1].seconds = 3.0
    with alive(moody, found, UNSURE) as (port, _):
        status, body, _, took = ask(port, 200)
        assert status == 200
        assert body["answers"][0]["route"] == "lean"
        assert body["answers"][0]["promise"] == "void: no time for the fallback"
        assert took < 2.5


def test_a_failing_fallback_is_left_alone_and_both_down_is_said_at_once(moody, found):
    with alive(moody, found, UNSURE) as (port, _):
        assert ask(port)[1]["answers"][0]["promise"] == "held"
        moody[1].ill = True
        promises = [ask(port)[1]["answers"][0]["promise"] for _ in range(8)]
        assert promises[0] == "void: the fallback failed: is unwell"
        assert promises[-1] == "void: the fallback has been failing"
        assert moody[1].calls < 8
        moody[0].ill = True
        status, body, headers, _ = ask(port)
        assert status == 503
        assert body["error"] == "lean failed: is unwell; the fallback has been failing"
        assert int(headers["retry-after"]) >= 1


def test_clients_that_go_leave_no_work_behind(moody, found):
    moody[0].seconds = 0.3
    with alive(moody, found, SURE) as (port, service):
        body = json.dumps(ROW).encode()
        request = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(request + body)
                time.sleep(0.005)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if service.meters.read()["requests"].get("499") == 20:
                break
            time.sleep(0.02)
        assert service.meters.read()["requests"]["499"] == 20
        moody[0].seconds = 0.0
        assert ask(port)[0] == 200
        assert moody[0].calls <= 3


def test_an_overload_is_answered_503_with_when_to_come_again(moody, found):
    moody[0].seconds = 0.05
    with alive(moody, found, SURE) as (port, service), ThreadPoolExecutor(64) as clients:
        said = list(clients.map(lambda _: ask(port), range(128)))
        assert {status for status, *_ in said} == {200, 503}
        refused = [(body, headers) for status, body, headers, _ in said if status == 503]
        assert {body["error"] for body, _ in refused} == {"too many requests are waiting"}
        assert all(int(headers["retry-after"]) >= 1 for _, headers in refused)
        assert ask(port)[0] == 200
        counts = service.meters.read()["requests"]
        assert counts["200"] + counts["503"] == 129


def test_pages_are_answered_while_a_model_is_at_work(moody, found):
    moody[0].seconds = 3.0
    with alive(moody, found, SURE) as (port, _):
        waiting = threading.Thread(target=ask, args=(port, 3_500))
        waiting.start()
        time.sleep(0.1)
        began = time.monotonic()
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        link.request("GET", "/healthz")
        assert link.getresponse().status == 200
        assert time.monotonic() - began < 2.5
        link.close()
        waiting.join()


def closed(link):
    """Whether the other side ends a connection within 20 seconds; what it sends before is read."""
    link.settimeout(20)
    try:
        while link.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("sent", "late"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost:"),
        (b"POST /no HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n", b"abc"),
        (b"POST /no HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n", b"abc"),
    ],
)
def test_no_connection_is_kept_for_ever_by_what_is_no_request(
    moody, found, monkeypatch, sent, late
):
    monkeypatch.setattr("surefoot.serve.protocol.HEAD_S", 0.3)
    there = alive(moody, found, SURE)
    with there as (port, _), socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(sent)
        assert link.recv(65_536)
        link.sendall(late)
        assert closed(link)


def test_a_head_has_an_end(moody, found):
    with alive(moody, found, SURE) as (port, _):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\n")
            took = 0
            with suppress(ConnectionError):
                while took < 5_000_000:
                    took += link.send(b"x-more: " + b"a" * 8_000 + b"\r\n")
                    time.sleep(0.001)
            assert took < 5_000_000
        assert ask(port)[0] == 200


def test_all_bodies_together_are_bounded(moody, found, monkeypatch):
    monkeypatch.setattr("surefoot.serve.service.HELD_BYTES", 0)
    moody[0].seconds = 0.0
    with alive(moody, found, SURE, Deployment(body_bytes=1_000_000)) as (port, service):
        head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n"
        links = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(3)]
        for link in links:
            link.sendall(head + b" " * 600_000)
        said = [link for link in links if b"503" in (link.recv(20) if readable(link) else b"")]
        assert said
        for link in links:
            link.close()
        deadline = time.monotonic() + 20
        while service._held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert service._held == 0
        assert ask(port)[0] == 200


def readable(link):
    """Whether something is there to be read within half a second."""
    return bool(select.select([link], [], [], 0.5)[0])


def test_a_head_that_never_ends_is_not_waited_for(moody, found, monkeypatch):
    monkeypatch.setattr("surefoot.serve.protocol.HEAD_S", 0.2)
    with alive(moody, found, SURE) as (port, _):
        links = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(50)]
        for i, link in enumerate(links):
            link.sendall(b"POST /predict HTTP/1.1\r\nhost:"[: i % 30])
        assert ask(port)[0] == 200
        assert [link.recv(1) for link in links] == [b""] * 50
        for link in links:
            link.close()
