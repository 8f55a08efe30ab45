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
from surefoot.serve.access import Access
from surefoot.serve.deployment import Deployment
from surefoot.serve.meters import Meters
from surefoot.serve.requests import (
    Refused,
    decoded,
    metadata,
    plain_answer,
    plain_rows,
    tensor_answer,
    tensor_rows,
)
from surefoot.serve.router import Answered, Router

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

DEADLINE = b"x-deadline-ms"
"""The header by which a client says how many milliseconds it waits."""
QUICK_MS = 3.0
"""A call of a row that takes no longer is made where the request is received."""
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
METERS = b"text/plain; version=0.0.4; charset=utf-8"
_BROKEN_OFF = (401, 408, 413)  # the rest of the body may still be under way


class Service:
    """Answers requests over HTTP with the models of a bundle.

    Args:
        router: The models.
        name: What the Open Inference Protocol calls the model.
        meters: Where it counts.
        deployment: How long and how large requests may be.
        access: Who may ask.
    """

    def __init__(
        self,
        router: Router,
        name: str,
        meters: Meters,
        deployment: Deployment,
        access: Access,
    ) -> None:
        self.ready, self.leaving, self.meters = True, False, meters
        self._deployment, self._access = deployment, access
        self._router, self._name = router, name
        slowest = max(router.found.lean_ms or np.inf, router.found.fallback_slow_ms or 0.0)
        # A thread for each call costs some 50 µs, and lets others be answered meanwhile.
        self._quick, self._turn = slowest <= QUICK_MS, asyncio.Lock()
        self._pages: Mapping[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/healthz": lambda: (200, TEXT, b"alive\n"),
            "/readyz": self._readiness,
            "/metrics": lambda: (200, METERS, self.meters.page()),
            "/v2": lambda: (200, JSON, b'{"name":"surefoot","version":"2","extensions":[]}'),
            "/v2/health/live": lambda: (200, JSON, b'{"live":true}'),
            "/v2/health/ready": self._readiness,
            f"/v2/models/{name}": lambda: (200, JSON, metadata(router.signature, name)),
            f"/v2/models/{name}/ready": self._readiness,
        }
        self._calls: Mapping[str, Callable[[bytes, float], bytes]] = {
            "/predict": self._predict,
            f"/v2/models/{name}/infer": self._infer,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is an answer too."""
        if scope["type"] != "http":
            return
        began, last = time.monotonic(), False
        try:
            status, kind, body = await self._answer(scope, receive, began)
        except Refused as refused:
            status, kind, body = refused.status, JSON, _said(str(refused))
            last = status in _BROKEN_OFF
        except SurefootError as error:
            status, kind, body = 500, JSON, _said(error.what)
        except Exception as error:  # size: the outermost line, nobody else would answer
            sys.stderr.write(f"surefoot: {type(error).__name__}: {printable(str(error))}\n")
            status, kind, body = 500, JSON, _said("internal error")
        self.meters.answered(scope["path"] in self._calls, status, time.monotonic() - began)
        fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if last or self.leaving:
            fields.append((b"connection", b"close"))
        if status == 401:
            fields.append((b"www-authenticate", b"Bearer"))
        if status == 405:
            fields.append((b"allow", ", ".join(self._methods(scope["path"])).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: Message, receive: Receive, began: float
    ) -> tuple[int, bytes, bytes]:
        path, headers = scope["path"], dict(scope["headers"])
        if not self._access.allowed(path, headers):
            raise Refused("a key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY", 401)
        if path not in self._pages and path not in self._calls:
            known = sorted([*self._pages, *self._calls])
            raise Refused(f"no such page; there are {', '.join(known)}", 404)
        if scope["method"] not in self._methods(path):
            raise Refused(f"{path} takes {', '.join(self._methods(path))}", 405)
        if path in self._pages:
            return self._pages[path]()
        until = began + _deadline(headers)
        body = await _body(headers, receive, self._deployment)
        if self._quick:
            return 200, JSON, self._calls[path](body, until)
        async with self._turn:
            return 200, JSON, await asyncio.to_thread(self._calls[path], body, until)

    def _methods(self, path: str) -> tuple[str, ...]:
        return ("POST",) if path in self._calls else ("GET", "HEAD")

    def _readiness(self) -> tuple[int, bytes, bytes]:
        return (200, JSON, b'{"ready":true}') if self.ready else (503, JSON, b'{"ready":false}')

    def _predict(self, sent: bytes, until: float) -> bytes:
        answered = self._answered(plain_rows(decoded(sent), self._router.signature), until)
        model, verdict = self._router.model, self._router.verdict
        return plain_answer(answered, model.signature.classes, model.fingerprint, verdict)

    def _infer(self, sent: bytes, until: float) -> bytes:
        body = decoded(sent)
        answered = self._answered(tensor_rows(body, self._router.signature), until)
        classes, verdict = self._router.signature.classes, self._router.verdict
        return tensor_answer(answered, classes, self._name, verdict, body.get("id"))

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


async def _body(headers: Mapping[bytes, bytes], receive: Receive, limits: Deployment) -> bytes:
    """The body, unless it is too long or too slow; no more than may be is ever held."""
    most, seconds = limits.body_bytes, limits.body_seconds
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > most:
        raise Refused(f"the body may have {most:,} bytes", 413)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused("the client has gone", 499)
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise Refused(f"the body may have {most:,} bytes", 413)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(f"the body was not here within {seconds:g} seconds", 408) from None


def _said(text: str) -> bytes:
    import msgspec

    return msgspec.json.encode({"error": text})
