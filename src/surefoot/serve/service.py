"""The service as a plain ASGI application: no framework stands between a socket and a model."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.core.errors import SurefootError
from surefoot.core.printable import printable
from surefoot.serve.access import Access
from surefoot.serve.deployment import Deployment
from surefoot.serve.flow import Answered, DownError, Flow
from surefoot.serve.journal import Journal
from surefoot.serve.lanes import Busy, Late
from surefoot.serve.limits import CALLS, Patience
from surefoot.serve.meters import Meters
from surefoot.serve.openapi import openapi
from surefoot.serve.readiness import Readiness
from surefoot.serve.requests import REQUEST, Refused, encoded, plain_answer, plain_request
from surefoot.serve.router import Opened
from surefoot.serve.status import Status, page_headers
from surefoot.serve.tensors import VERSION, metadata, server, tensor_answer, tensor_request

if TYPE_CHECKING:
    from surefoot.serve.traces import Traces

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[bytes, bytes]

ARRIVED = "surefoot.arrived"
"""Under this key a scope may hold when the head of the request was there, of `time.monotonic`."""
WAITS = "surefoot.waits"
"""Under this key it may hold whom to tell which task the client waits for; `GONE` cancels it."""
GONE = "the client has gone"
CROWD = "surefoot.crowd"
"""Under this key it may hold what counts the requests of all clients that are under way."""
WHOLE = "surefoot.whole"
"""Under this key it may hold what gives the body, if it has all come; else None."""
HELD_BYTES = 256_000_000
"""Bytes of all bodies that are under way; who sends more is told to come again."""
DEADLINE = b"x-deadline-ms"
"""The header by which a client says how many milliseconds it waits."""
JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
METERS = b"text/plain; version=0.0.4; charset=utf-8"
BINARY, HEADER = b"application/octet-stream", b"inference-header-content-length"
"""The type of a body that goes on behind its JSON, and the header that says where."""
_BROKEN_OFF = (401, 408, 413, 415)  # the rest of the body may still be under way


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
        deployment: How long and how large requests may be.
        access: Who may ask.
    """

    def __init__(
        self,
        opened: Opened,
        flow: Flow,
        readiness: Readiness,
        meters: Meters,
        deployment: Deployment,
        access: Access,
    ) -> None:
        self.readiness, self.meters, self.leaving = readiness, meters, False
        self.deployment, self.access = deployment, access
        self._opened, self._flow, self.name = opened, flow, opened.found.lean
        self.signature, self.verdict = opened.model.signature, opened.verdict
        self.journal: Journal | None = None
        """Who names answers and keeps them, if anybody does."""
        self._patience, self._held = Patience(), 0
        self.traces: Traces | None = None
        """Told of requests, if anybody is."""
        self._inline = opened.stages[0].lane.inline
        self.status = Status(
            opened.found, opened.verdict, opened.model.fingerprint, meters, readiness,
            flow.standing,
        )  # fmt: skip
        limit, keyed = deployment.body_bytes, deployment.api_key_file is not None
        documented = encoded(openapi(self.signature, self.name, body_bytes=limit, keyed=keyed))
        self._pages: dict[str, Callable[[], Reply]] = {
            "/healthz": lambda: Reply(200, b"alive\n", TEXT),
            "/readyz": self._ready,
            "/metrics": lambda: Reply(200, self.meters.page(), METERS),
            "/status": lambda: Reply(200, self.status.page(), HTML, page_headers()),
            "/status.json": lambda: Reply(200, encoded(self.status.data())),
            "/openapi.json": lambda: Reply(200, documented),
            "/v2": lambda: Reply(200, server()),
            "/v2/health/live": lambda: Reply(200, b'{"live":true}'),
            "/v2/health/ready": self._ready,
        }
        self._calls: dict[str, Callable[[Headers, bytes, float], Awaitable[Reply]]] = {
            "/predict": self._predict,
            "/labels": self._labels,
        }
        described = Reply(200, encoded(metadata(self.signature, self.name)))
        for model in (f"/v2/models/{self.name}", f"/v2/models/{self.name}/versions/{VERSION}"):
            self._pages[model] = lambda: described
            self._pages[f"{model}/ready"] = self._ready
            self._calls[f"{model}/infer"] = self._infer

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong is an answer too."""
        if scope["type"] != "http":
            return
        arrived, headers = scope.get(ARRIVED) or time.monotonic(), dict(scope["headers"])
        named: tuple[tuple[bytes, bytes], ...] = ()
        if self.journal is not None:
            headers[REQUEST] = self.journal.request(headers).encode()
            named = ((REQUEST, headers[REQUEST]),)
        work = self._replied(scope, headers, receive, arrived)
        if self.traces is not None and scope["path"] in self._calls:
            name = f"{scope['method']} {scope['path']}"
            told = {"http.request.method": scope["method"], "http.route": scope["path"]}
            work = self.traces.request(name, headers, told, work, attrgetter("status"))
        reply = await work
        self.meters.answered(scope["path"] in self._calls, reply.status, time.monotonic() - arrived)
        fields = [
            (b"content-type", reply.kind),
            (b"content-length", str(len(reply.body)).encode()),
            *reply.headers,
            *named,
        ]
        if reply.status in _BROKEN_OFF or self.leaving:
            fields.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": fields})
        await send({"type": "http.response.body", "body": reply.body})

    async def _replied(
        self, scope: Message, headers: Headers, receive: Receive, arrived: float
    ) -> Reply:
        try:
            return await self._answer(scope, headers, receive, arrived)
        except Refused as refused:
            return Reply(refused.status, _said(str(refused)), headers=self._hints(scope, refused))
        except asyncio.CancelledError as error:
            if error.args == (GONE,):
                return Reply(499, _said(GONE))
            return Reply(503, _said("the service ends"))
        except (Late, Busy, SurefootError) as error:
            return _unanswered(error)
        except Exception as error:  # size: the outermost line, nobody else would answer
            sys.stderr.write(f"surefoot: {type(error).__name__}: {printable(str(error))}\n")
            return Reply(500, _said("internal error"))

    async def _answer(
        self, scope: Message, headers: Headers, receive: Receive, arrived: float
    ) -> Reply:
        path = scope["path"]
        if not self.access.allowed(path, headers):
            raise Refused("a key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY", 401)
        if path not in self._pages and path not in self._calls:
            known = sorted([*self._pages, *self._calls])
            raise Refused(f"no such page; there are {', '.join(known)}", 404)
        if scope["method"] not in self._methods(path):
            raise Refused(f"{path} takes {', '.join(self._methods(path))}", 405)
        if path in self._pages:
            return self._pages[path]()
        waits = scope.get(WAITS)
        if waits is None:
            return await self._called(scope, headers, receive, arrived)
        waits(asyncio.current_task())
        try:
            return await self._called(scope, headers, receive, arrived)
        finally:
            waits(None)

    async def _called(
        self, scope: Message, headers: Headers, receive: Receive, arrived: float
    ) -> Reply:
        now = time.monotonic()
        patient = self._patience.allows(now - arrived, now)
        if not patient and (CROWD not in scope or scope[CROWD]() > CALLS):
            raise Busy(self._patience.after())
        until = arrived + _deadline(headers)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise Refused("a body must come as it is, without a content-encoding", 415)
        body, used = await self._body(scope, headers, receive), time.thread_time()
        reply = await self._calls[scope["path"]](headers, body, until)
        if self._inline:
            self._patience.learn(time.thread_time() - used)
        return reply

    async def _body(self, scope: Message, headers: Headers, receive: Receive) -> bytes:
        """The body, unless it is too long or too slow; no more than may be is ever held."""
        most, seconds = self.deployment.body_bytes, self.deployment.body_seconds
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most:
            raise Refused(f"the body may have {most:,} bytes", 413)
        whole = scope[WHOLE]() if WHOLE in scope else None
        if whole is not None and len(whole) <= most:
            return bytes(whole)
        found, more = bytearray(), True
        try:
            async with asyncio.timeout(seconds):
                while more:
                    more = await self._part(receive, found)
                    if len(found) > most:
                        raise Refused(f"the body may have {most:,} bytes", 413)
                    if self._held > max(HELD_BYTES, most):
                        raise Busy(1)
            return bytes(found)
        except TimeoutError:
            raise Refused(f"the body was not here within {seconds:g} seconds", 408) from None
        finally:
            self._held -= len(found)

    async def _part(self, receive: Receive, into: bytearray) -> bool:
        """Take in the next part of a body; False after the last."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(GONE, 499)
        part = message.get("body", b"")
        into += part
        self._held += len(part)
        return bool(message.get("more_body"))

    def _hints(self, scope: Message, refused: Refused) -> tuple[tuple[bytes, bytes], ...]:
        """Headers that say what a refused request lacks."""
        if refused.status == 401:
            return ((b"www-authenticate", b"Bearer"),)
        if refused.status == 405:
            return ((b"allow", ", ".join(self._methods(scope["path"])).encode()),)
        return ()

    def _methods(self, path: str) -> tuple[str, ...]:
        return ("POST",) if path in self._calls else ("GET", "HEAD")

    def _ready(self) -> Reply:
        if self.readiness.ready:
            return Reply(200, b'{"ready":true}')
        return Reply(503, encoded({"ready": False, "why": self.readiness.why() or "leaving"}))

    async def _labels(self, _: Headers, sent: bytes, __: float) -> Reply:
        if self.journal is None:
            raise Refused("nothing is kept of earlier answers", 409)
        return Reply(202, encoded({"taken": self.journal.labels(sent)}))

    async def _predict(self, headers: Headers, sent: bytes, until: float) -> Reply:
        answered = await self.answered(plain_request(sent, self.signature), until, headers)
        classes, model = self.signature.classes, self._opened.model.fingerprint
        return Reply(200, plain_answer(answered, classes, model, self.verdict))

    async def _infer(self, headers: Headers, sent: bytes, until: float) -> Reply:
        asked = tensor_request(sent, headers.get(HEADER), self.signature)
        answered = await self.answered(asked.rows, until, headers)
        body, ends = tensor_answer(answered, self.signature.classes, self.name, self.verdict, asked)
        if ends is None:
            return Reply(200, body)
        return Reply(200, body, BINARY, ((HEADER, str(ends).encode()),))

    async def answered(
        self, rows: np.ndarray, until: float, headers: Headers = MappingProxyType({})
    ) -> Answered:
        """Answer rows, and count and keep them.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.
            headers: Of the request, which may name it.

        Raises:
            Late: Not even the lean model answered in time.
            Busy: Too many requests wait.
            DownError: No model answered.
        """
        began = time.monotonic()
        answered = await self._flow.answer(rows, until)
        self.meters.routed(answered)
        self.meters.set("fallback_left_alone", float(self._flow.breaker.open))
        if self.journal is not None:
            ms, request = 1000 * (time.monotonic() - began), self.journal.request(headers)
            answered = self.journal.decided(rows, answered, request, ms)
        if self.traces is not None:
            self.traces.answered(answered)
        return answered


def _deadline(headers: Mapping[bytes, bytes]) -> float:
    """Seconds that the client waits; without end where it says nothing."""
    said = headers.get(DEADLINE)
    if said is None:
        return np.inf
    try:
        found = float(said) if b"_" not in said else np.nan
    except ValueError:
        found = np.nan
    if not 0 < found < np.inf:
        raise Refused(f"{DEADLINE.decode()} must be a number of milliseconds above 0")
    return found / 1000


def explained(error: Late | Busy | SurefootError) -> tuple[int, str]:
    """The status of HTTP of a request that no model answered, and what its client is told.

    Args:
        error: Why.
    """
    if isinstance(error, Late):
        return 504, "no model answered before the deadline"
    if isinstance(error, Busy):
        return 503, str(error)
    return 503 if isinstance(error, DownError) else 500, error.what


def _unanswered(error: Late | Busy | SurefootError) -> Reply:
    status, said = explained(error)
    after = error.after if isinstance(error, Busy) else 1
    headers = ((b"retry-after", str(after).encode()),) if status == 503 else ()
    return Reply(status, _said(said), headers=headers)


def _said(text: str) -> bytes:
    return encoded({"error": text})
