"""The service as a plain ASGI application: no framework stands between a socket and a model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from surefoot.core.errors import SurefootError
from surefoot.core.printable import printable
from surefoot.serve.meters import Meters
from surefoot.serve.requests import Refused, encoded, plain_answer, plain_request
from surefoot.serve.router import Answered, Router
from surefoot.serve.tensors import VERSION, metadata, server, tensor_answer, tensor_request

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[bytes, bytes]
Fields = list[tuple[bytes, bytes]]
Reply = tuple[int, Fields, bytes]
"""Status, content type and further headers, body."""

BODY = 16_000_000
"""Bytes of a request at most."""
BODY_S = 10.0
"""Seconds within which a body has to be here."""
DEADLINE = b"x-deadline-ms"
"""The header by which a client says how many milliseconds it waits."""
QUICK_MS = 3.0
"""A call of a row that takes no longer is made where the request is received."""
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
METERS = b"text/plain; version=0.0.4; charset=utf-8"
BINARY, HEADER = b"application/octet-stream", b"inference-header-content-length"
"""Where JSON ends in a body, and the type of a body that goes on behind it."""
_BROKEN_OFF = (408, 413)  # the rest of the body may still be under way


class Service:
    """Answers requests over HTTP with the models of a bundle.

    Args:
        router: The models.
        name: What the Open Inference Protocol calls the model.
    """

    def __init__(self, router: Router, name: str) -> None:
        self.ready, self.meters = True, Meters()
        self._router, self.name = router, name
        self.signature, self.verdict = router.signature, router.verdict
        slowest = max(router.found.lean_ms or np.inf, router.found.fallback_slow_ms or 0.0)
        # A thread for each call costs some 50 µs, and lets others be answered meanwhile.
        self._quick, self._turn = slowest <= QUICK_MS, asyncio.Lock()
        self._pages: dict[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/healthz": lambda: (200, TEXT, b"alive\n"),
            "/readyz": self._readiness,
            "/metrics": lambda: (200, METERS, self.meters.page()),
            "/v2": lambda: (200, JSON, server()),
            "/v2/health/live": lambda: (200, JSON, b'{"live":true}'),
            "/v2/health/ready": self._readiness,
        }
        self._calls: dict[str, Callable[[Headers, bytes, float], tuple[Fields, bytes]]] = {
            "/predict": self._predict
        }
        for model in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{VERSION}"):
            self._pages[model] = lambda: (200, JSON, encoded(metadata(router.signature, name)))
            self._pages[f"{model}/ready"] = self._readiness
            self._calls[f"{model}/infer"] = self._infer

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is an answer too."""
        if scope["type"] != "http":
            return
        began, last = time.monotonic(), False
        try:
            status, fields, body = await self._answer(scope, receive, began)
        except Refused as refused:
            status, fields, body = refused.status, _typed(JSON), _said(str(refused))
            last = status in _BROKEN_OFF
        except SurefootError as error:
            status, fields, body = 500, _typed(JSON), _said(error.what)
        except Exception as error:  # size: the outermost line, nobody else would answer
            sys.stderr.write(f"surefoot: {type(error).__name__}: {printable(str(error))}\n")
            status, fields, body = 500, _typed(JSON), _said("internal error")
        self.meters.answered(scope["path"] in self._calls, status, time.monotonic() - began)
        fields.append((b"content-length", str(len(body)).encode()))
        if last or not self.ready:
            fields.append((b"connection", b"close"))
        if status == 405:
            fields.append((b"allow", ", ".join(self._methods(scope["path"])).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Receive, began: float) -> Reply:
        path = scope["path"]
        if path not in self._pages and path not in self._calls:
            known = sorted([*self._pages, *self._calls])
            raise Refused(f"no such page; there are {', '.join(known)}", 404)
        if scope["method"] not in self._methods(path):
            raise Refused(f"{path} takes {', '.join(self._methods(path))}", 405)
        if path in self._pages:
            status, kind, page = self._pages[path]()
            return status, _typed(kind), page
        headers = dict(scope["headers"])
        until = began + _deadline(headers)
        body = await _body(headers, receive)
        if self._quick:
            return 200, *self._calls[path](headers, body, until)
        async with self._turn:
            return 200, *await asyncio.to_thread(self._calls[path], headers, body, until)

    def _methods(self, path: str) -> tuple[str, ...]:
        return ("POST",) if path in self._calls else ("GET", "HEAD")

    def _readiness(self) -> tuple[int, bytes, bytes]:
        return (200, JSON, b'{"ready":true}') if self.ready else (503, JSON, b'{"ready":false}')

    def _predict(self, _: Headers, sent: bytes, until: float) -> tuple[Fields, bytes]:
        answered = self._answered(plain_request(sent, self._router.signature), until)
        model, verdict = self._router.model, self._router.verdict
        said = plain_answer(answered, model.signature.classes, model.fingerprint, verdict)
        return _typed(JSON), said

    def _infer(self, headers: Headers, sent: bytes, until: float) -> tuple[Fields, bytes]:
        asked = tensor_request(sent, headers.get(HEADER), self._router.signature)
        answered = self._answered(asked.rows, until)
        classes, verdict = self._router.signature.classes, self._router.verdict
        body, ends = tensor_answer(answered, classes, self.name, verdict, asked)
        if ends is None:
            return _typed(JSON), body
        return [*_typed(BINARY), (HEADER, str(ends).encode())], body

    async def answered(self, rows: np.ndarray, until: float) -> Answered:
        """Answer rows that came by another protocol.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.

        Raises:
            SurefootError: The lean model fails on them.
        """
        if self._quick:
            return self._answered(rows, until)
        async with self._turn:
            return await asyncio.to_thread(self._answered, rows, until)

    def _answered(self, rows: np.ndarray, until: float) -> Answered:
        answered = self._router.answer(rows, until=until)
        self.meters.routed(answered)
        return answered


def _deadline(headers: Mapping[bytes, bytes]) -> float:
    """Seconds that the client waits; without end where it says nothing."""
    said = headers.get(DEADLINE)
    if said is None:
        return np.inf
    try:
        found = float(said)
    except ValueError:
        found = np.nan
    if not 0 < found < np.inf:
        raise Refused(f"{DEADLINE.decode()} must be a number of milliseconds above 0")
    return found / 1000


async def _body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """The body, unless it is too long or too slow; no more than may be is ever held."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > BODY:
        raise Refused(f"the body may have {BODY:,} bytes", 413)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused("the client has gone", 499)
                part = message.get("body", b"")
                size += len(part)
                if size > BODY:
                    raise Refused(f"the body may have {BODY:,} bytes", 413)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(f"the body was not here within {BODY_S:g} seconds", 408) from None


def _typed(kind: bytes) -> Fields:
    return [(b"content-type", kind)]


def _said(text: str) -> bytes:
    return encoded({"error": text})
