"""The service as a plain ASGI application: no framework stands between a socket and a model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.core.errors import SurefootError
from surefoot.core.printable import printable
from surefoot.serve.flow import Answered, DownError, Flow
from surefoot.serve.lanes import Busy, Late
from surefoot.serve.limits import Patience
from surefoot.serve.meters import Meters
from surefoot.serve.readiness import Readiness
from surefoot.serve.requests import (
    Refused,
    decoded,
    metadata,
    plain_answer,
    plain_rows,
    tensor_answer,
    tensor_rows,
)
from surefoot.serve.router import Opened

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY = 16_000_000
"""Bytes of a request at most."""
BODY_S = 10.0
"""Seconds within which a body has to be here."""
ARRIVED = "surefoot.arrived"
"""Under this key a scope may hold when the head of the request was there, of `time.monotonic`."""
WAITS = "surefoot.waits"
"""Under this key it may hold whom to tell which task the client waits for; `GONE` cancels it."""
GONE = "the client has gone"
DEADLINE = b"x-deadline-ms"
"""The header by which a client says how many milliseconds it waits."""
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
METERS = b"text/plain; version=0.0.4; charset=utf-8"
_BROKEN_OFF = (408, 413)  # the rest of the body may still be under way


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Beside the type and the length of the body."""


class Service:
    """Answers requests over HTTP with the models of a bundle.

    Args:
        opened: The models.
        flow: Who asks them.
        readiness: Whether they answer as they must.
        meters: Where it counts.
    """

    def __init__(self, opened: Opened, flow: Flow, readiness: Readiness, meters: Meters) -> None:
        self.readiness, self.meters = readiness, meters
        self._opened, self._flow, self._name = opened, flow, opened.found.lean
        self._signature, self._patience = opened.model.signature, Patience()
        self._inline = opened.stages[0].lane.inline
        name = self._name
        self._pages: Mapping[str, Callable[[], Reply]] = {
            "/healthz": lambda: Reply(200, b"alive\n", TEXT),
            "/readyz": self._ready,
            "/metrics": lambda: Reply(200, self.meters.page(), METERS),
            "/v2": lambda: Reply(200, b'{"name":"surefoot","version":"2","extensions":[]}'),
            "/v2/health/live": lambda: Reply(200, b'{"live":true}'),
            "/v2/health/ready": self._ready,
            f"/v2/models/{name}": lambda: Reply(200, metadata(self._signature, name)),
            f"/v2/models/{name}/ready": self._ready,
        }
        self._calls: Mapping[str, Callable[[bytes, float], Awaitable[bytes]]] = {
            "/predict": self._predict,
            f"/v2/models/{name}/infer": self._infer,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is an answer too."""
        if scope["type"] != "http":
            return
        arrived = scope.get(ARRIVED) or time.monotonic()
        reply = await self._replied(scope, receive, arrived)
        self.meters.answered(scope["path"] in self._calls, reply.status, time.monotonic() - arrived)
        fields = [
            (b"content-type", reply.kind),
            (b"content-length", str(len(reply.body)).encode()),
            *reply.headers,
        ]
        if reply.status in _BROKEN_OFF or self.readiness.leaving:
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": fields})
        await send({"type": "http.response.body", "body": reply.body})

    async def _replied(self, scope: Message, receive: Receive, arrived: float) -> Reply:
        try:
            return await self._answer(scope, receive, arrived)
        except Refused as refused:
            allow = ((b"allow", ", ".join(self._methods(scope["path"])).encode()),)
            headers = allow if refused.status == 405 else ()
            return Reply(refused.status, _said(str(refused)), headers=headers)
        except asyncio.CancelledError as error:
            if error.args == (GONE,):
                return Reply(499, _said(GONE))
            return Reply(503, _said("the service ends"))
        except (Late, Busy, SurefootError) as error:
            return _unanswered(error)
        except Exception as error:  # size: the outermost line, nobody else would answer
            sys.stderr.write(f"surefoot: {type(error).__name__}: {printable(str(error))}\n")
            return Reply(500, _said("internal error"))

    async def _answer(self, scope: Message, receive: Receive, arrived: float) -> Reply:
        path = scope["path"]
        if path not in self._pages and path not in self._calls:
            known = sorted([*self._pages, *self._calls])
            raise Refused(f"no such page; there are {', '.join(known)}", 404)
        if scope["method"] not in self._methods(path):
            raise Refused(f"{path} takes {', '.join(self._methods(path))}", 405)
        if path in self._pages:
            return self._pages[path]()
        waits = scope.get(WAITS)
        if waits is None:
            return await self._called(scope, receive, arrived)
        waits(asyncio.current_task())
        try:
            return await self._called(scope, receive, arrived)
        finally:
            waits(None)

    async def _called(self, scope: Message, receive: Receive, arrived: float) -> Reply:
        path, now, headers = scope["path"], time.monotonic(), dict(scope["headers"])
        if not self._patience.allows(now - arrived, now):
            raise Busy(self._patience.after())
        until = arrived + _deadline(headers)
        body = await _body(headers, receive)
        return Reply(200, await self._calls[path](body, until))

    def _methods(self, path: str) -> tuple[str, ...]:
        return ("POST",) if path in self._calls else ("GET", "HEAD")

    def _ready(self) -> Reply:
        if self.readiness.ready:
            return Reply(200, b'{"ready":true}')
        return Reply(503, _encoded({"ready": False, "why": self.readiness.why() or "leaving"}))

    async def _predict(self, sent: bytes, until: float) -> bytes:
        answered = await self.answered(plain_rows(decoded(sent), self._signature), until)
        model, verdict = self._opened.model, self._opened.verdict
        return plain_answer(answered, self._signature.classes, model.fingerprint, verdict)

    async def _infer(self, sent: bytes, until: float) -> bytes:
        body = decoded(sent)
        answered = await self.answered(tensor_rows(body, self._signature), until)
        classes, verdict = self._signature.classes, self._opened.verdict
        return tensor_answer(answered, classes, self._name, verdict, body.get("id"))

    async def answered(self, rows: np.ndarray, until: float) -> Answered:
        """Answer rows, and count them.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.

        Raises:
            Late: Not even the lean model answered in time.
            Busy: Too many requests wait.
            DownError: No model answered.
        """
        began = time.monotonic()
        answered = await self._flow.answer(rows, until)
        if self._inline:
            self._patience.learn(time.monotonic() - began)
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
                    raise Refused(GONE, 499)
                part = message.get("body", b"")
                size += len(part)
                if size > BODY:
                    raise Refused(f"the body may have {BODY:,} bytes", 413)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(f"the body was not here within {BODY_S:g} seconds", 408) from None


def _unanswered(error: Late | Busy | SurefootError) -> Reply:
    """What a client is told whose request no model answered."""
    if isinstance(error, Late):
        return Reply(504, _said("no model answered before the deadline"))
    if not isinstance(error, Busy | DownError):
        return Reply(500, _said(error.what))
    text, after = (str(error), error.after) if isinstance(error, Busy) else (error.what, 1)
    return Reply(503, _said(text), headers=((b"retry-after", str(after).encode()),))


def _said(text: str) -> bytes:
    return _encoded({"error": text})


def _encoded(said: object) -> bytes:
    import msgspec

    return msgspec.json.encode(said)
