"""What uvicorn's parser does not tell: when a request came; and an end of waiting for its head."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from surefoot.serve.service import ARRIVED, CROWD, GONE, WAITS, WHOLE

HEAD_S = 10.0
"""Seconds within which a connection that is not answered has to have sent the head of a request."""
HEAD_BYTES = 65_536
"""Bytes that the head of a request may have."""
TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    """A connection: its requests tell when they came, and one that never says anything is closed.

    A request may be parsed long before anybody looks at it, while others are answered: that wait
    is part of what its client waits. Who goes before the answer leaves no work behind.
    """

    _head: asyncio.TimerHandle | None = None
    _bytes = 0
    _task: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for a head."""
        super().connection_made(transport)
        self._head = self.loop.call_later(HEAD_S, self._overdue)

    def data_received(self, data: bytes) -> None:
        """Take no head without an end, and none that takes for ever.

        Whatever comes between requests ends the wait of a connection that is kept, in which
        nothing has to come; so it begins one in which a head has to.
        """
        self._bytes += len(data)
        super().data_received(data)
        if self._head is None and not self._answering() and not self.transport.is_closing():
            self._bytes = len(data)
            self._head = self.loop.call_later(HEAD_S, self._overdue)
        if self._head is not None and self._bytes > HEAD_BYTES:
            self.transport.write(TOO_LONG)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._here()
        if self._task:
            self._task.cancel(GONE)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The next request of a connection has as long for its head as the first."""
        super().on_message_begin()
        if self._head is None:
            self._bytes, self._head = 0, self.loop.call_later(HEAD_S, self._overdue)

    def on_headers_complete(self) -> None:
        """Note when."""
        self._here()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[ARRIVED], scope[WAITS] = time.monotonic(), self._waits
        scope[CROWD] = self.tasks.__len__
        super().on_headers_complete()
        cycle = self.cycle
        # Most bodies come with the head, and a wait with a limit costs more than to parse them.
        scope[WHOLE] = lambda: None if cycle.more_body else cycle.body

    def _waits(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _overdue(self) -> None:
        """End a connection; one that is being answered has more time for its next head."""
        if self._answering():
            self._head = self.loop.call_later(HEAD_S, self._overdue)
        else:
            self.transport.close()

    def _here(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
