"""Takes in whoever connects, and leaves them to the worker that has the fewest connections.

All workers wait at one socket, so that nobody is lost who waits there when one of them ends. Left
to the system, the first that wakes takes all who came at once, and the others stay idle for as long
as these connections last.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from surefoot.serve.board import Board

PATIENCE = 3
"""How often somebody is left to a worker that has fewer, which may be busy or gone."""
PAUSE_S = 0.001
"""How long it has to take them."""
MOST_ENTERING = 256
"""Handshakes that may be under way."""
ENTER_S = 10.0
"""Seconds that one may take."""
NO_ROOM_S = 0.1
"""How long nobody is taken in where the system has no file left."""


class Door:
    """The place of one worker at the socket.

    Args:
        listener: The socket, which does not block.
        make: Makes the protocol of a connection.
        held: How many connections there are.
        board: Where workers see how many each of them has.
        slot: Which of them this is.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        held: Callable[[], int],
        board: Board,
        slot: int,
    ) -> None:
        self._listener, self._make, self._held = listener, make, held
        self._board, self._slot = board, slot
        self._loop = asyncio.get_running_loop()
        self._certificate: ssl.SSLContext | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._open, self._left = False, 0

    def open(self, certificate: ssl.SSLContext | None) -> None:
        """Take in whoever comes.

        Args:
            certificate: What connections are encrypted with; None where they are not.
        """
        self._open, self._certificate = True, certificate
        self._board.crowd[self._slot] = 1 + self._inside()
        self._wait()

    def close(self) -> None:
        """Take in nobody any more; who is inside stays."""
        if self._open:
            self._open = False
            self._board.crowd[self._slot] = 0
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    async def settled(self, seconds: float) -> None:
        """Wait for those whose handshake is under way.

        Args:
            seconds: For how long at most.
        """
        if self._entering:
            await asyncio.wait(self._entering, timeout=seconds)

    def _inside(self) -> int:
        return self._held() + len(self._entering)

    def _wait(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener.fileno(), self._knocked)

    def _later(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_later(seconds, self._wait)

    def _knocked(self) -> None:
        """Take in one, and no more, so that others may have the next."""
        inside = self._inside()
        self._board.crowd[self._slot] = 1 + inside
        others = [one - 1 for one in self._board.crowd if one]
        if inside > min(others) and self._left < PATIENCE:
            self._left += 1
            self._later(PAUSE_S)
            return
        if len(self._entering) >= MOST_ENTERING:
            self._later(NO_ROOM_S)
            return
        self._left = 0
        try:
            link, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client has gone
        except OSError:
            self._later(NO_ROOM_S)
            return
        link.setblocking(False)
        with suppress(OSError):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._enter(link))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)
        self._board.crowd[self._slot] = 1 + self._inside()

    async def _enter(self, link: socket.socket) -> None:
        # A client that breaks off, or whose handshake fails, is nobody's mistake here.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._make,
                link,
                ssl=self._certificate,
                ssl_handshake_timeout=ENTER_S if self._certificate else None,
            )
