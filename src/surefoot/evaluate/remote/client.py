"""HTTP/1.1 as a client: requests that can be cancelled, end in time, and are never sent twice."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from surefoot.core.errors import ModelError, RemoteError
from surefoot.core.extras import require

LARGEST = 16_000_000
"""Bytes of an answer, its head too; who sends more is not listened to any longer."""
KEPT_S = 2.0
"""For how long a connection that nobody uses is used again: servers close idle ones after a while,
and a request sent into a closing one would be lost."""
BLOCK = 65_536
_SHUT = "closed the connection"


class Client:
    """Connections to one server. Each belongs to the event loop that it was opened in.

    Args:
        url: Of the server; its path is left to each request.
        timeout_s: An exchange that takes longer is given up.
        headers: Sent with each request.

    Raises:
        ModelError: The extra `serve` is not installed.
    """

    def __init__(self, url: str, timeout_s: float, headers: Mapping[str, str]) -> None:
        require("httptools", extra="serve", error=ModelError)
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        self._host, self._port = str(parts.hostname), parts.port or (443 if tls else 80)
        # Once, since it reads all authorities of the system.
        self._context = ssl.create_default_context() if tls else None
        self._url, self._timeout_s = url, timeout_s
        host = f"[{self._host}]" if ":" in self._host else self._host
        known = {"Host": f"{host}:{self._port}", "Accept": "application/json", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in known.items())
        self._idle: list[tuple[float, _Link]] = []

    async def exchange(
        self, method: str, path: str, body: bytes, until: float
    ) -> tuple[int, bytes]:
        """Send one request and read its answer to the last byte.

        Args:
            method: Of HTTP.
            path: With the query, if there is one.
            body: Empty for none.
            until: When whoever asks must have it, of `time.monotonic`.

        Returns:
            The status and the body.

        Raises:
            RemoteError: It cannot be reached, breaks off, takes too long or speaks no HTTP.
        """
        left = until - time.monotonic()
        if left <= 0:
            raise self._error("deadline", "was not asked: no time is left")
        link = None
        try:
            async with asyncio.timeout(min(left, self._timeout_s)):
                link = self._take() or await self._connect()
                answer = await link.exchange(self._request(method, path, body, left))
        except TimeoutError:
            if left <= self._timeout_s:
                raise self._error("deadline", "did not answer before the deadline") from None
            limit = f"{1000 * self._timeout_s:g} ms"
            raise self._error("slow", f"did not answer within {limit}") from None
        except _NotHTTPError as error:
            raise self._error("rubbish", str(error)) from None
        except OSError as error:
            raise self._error("down", _words(error)) from error
        finally:
            # Also when it was cancelled: an answer that nobody reads must not meet the next one.
            if link is not None and not link.whole:
                link.close()
        if link.whole:
            self._idle.append((time.monotonic(), link))
        return answer

    def close(self) -> None:
        """Close what nobody uses; requests under way end as they end."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self) -> _Link | None:
        """The connection that was used last, unless that is too long ago or it was shut."""
        while self._idle:
            used, link = self._idle.pop()
            if time.monotonic() - used < KEPT_S and link.open:
                return link
            link.close()
        return None

    async def _connect(self) -> _Link:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        return _Link(reader, writer)

    def _request(self, method: str, path: str, body: bytes, left: float) -> bytes:
        told = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        if left < FOREVER:  # another service of ours gives up in time; others ignore it
            told += f"X-Deadline-Ms: {1000 * left:.0f}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{self._head}{told}\r\n".encode() + body

    def _error(self, fault: Any, what: str) -> RemoteError:
        return RemoteError(fault, what, where=self._url)


class _NotHTTPError(Exception):
    """What came is not what a server of HTTP sends."""


class _Link:
    """One connection, and the answer that comes in on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.whole = True
        """Whether the last answer was read to its end, and another may follow."""

    @property
    def open(self) -> bool:
        """Whether the server has not shut it."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self.whole = False
        self._writer.transport.abort()

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        self.whole = False
        self._writer.write(request)
        await self._writer.drain()
        answer, size = _Answer(), 0
        while not answer.complete:
            data = await self._reader.read(BLOCK)
            size += len(data)
            if size > LARGEST:
                raise _NotHTTPError(f"sent more than {LARGEST / 1e6:g} MB")
            if not answer.take(data):
                return answer.status, bytes(answer.body)
        self.whole = answer.keeps
        return answer.status, bytes(answer.body)


class _Answer:
    """What a parser of HTTP is told to remember."""

    def __init__(self) -> None:
        import httptools

        self.body, self.status, self.complete, self.keeps = bytearray(), 0, False, False
        self._bounded, self._broken = False, httptools.HttpParserError
        self._parser: Any = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> bool:
        """Read on; False where the end of the connection is that of the answer."""
        if not data:
            if self.status and not self._bounded:
                return False
            raise ConnectionError(_SHUT)
        try:
            self._parser.feed_data(data)
        except self._broken:
            raise _NotHTTPError("answers something that is not HTTP") from None
        return True

    def on_header(self, name: bytes, _: bytes) -> None:
        self._bounded |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.status = int(self._parser.get_status_code())

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        if self.status < 200:  # the real answer follows
            self.status, self._bounded = 0, False
            return
        self.complete, self.keeps = True, bool(self._parser.should_keep_alive())


def _words(error: OSError) -> str:
    """What happened to a connection, in words that do not differ from request to request."""
    known: tuple[tuple[type[OSError], str], ...] = (
        (ConnectionRefusedError, "cannot be reached: connection refused"),
        (ssl.SSLCertVerificationError, "cannot be trusted: its certificate is not valid here"),
        (ssl.SSLError, "does not speak TLS"),
        (ConnectionError, _SHUT),
    )
    words = next((words for kind, words in known if isinstance(error, kind)), None)
    return words or f"cannot be reached: {error.strerror or type(error).__name__}"


FOREVER = float(np.inf)
"""No deadline."""
