"""The loop of a worker: it answers on a socket until it is told to leave."""

from __future__ import annotations

import asyncio
import math
import select
import signal
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.serve.board import Board
from surefoot.serve.door import Door
from surefoot.serve.service import Service
from surefoot.serve.sockets import LEAVE_S, QUEUE_S, SETTLE_S

CONNECTIONS = 2_048
"""Connections of a worker that may be open; who comes on top of them is sent a 503."""


class Listening:
    """One process that answers on a socket it was given.

    Args:
        service: The application.
        listener: The socket.
        certificate: What connections are encrypted with; None where they are not.
        board: The memory of all workers.
        slot: Which of them this is.
    """

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        certificate: ssl.SSLContext | None,
        board: Board,
        slot: int,
    ) -> None:
        uvicorn = require("uvicorn", extra="serve", error=BundleError)
        from surefoot.serve.protocol import Protocol

        self._config = uvicorn.Config(
            service, http=Protocol, ws="none", lifespan="off", log_level="error",
            access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=math.ceil(service.deployment.grace_seconds),
        )  # fmt: skip
        self._service, self._listener, self._certificate = service, listener, certificate
        self._board, self._slot = board, slot
        self._server = uvicorn.Server(self._config)
        self._leaving: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._grpc: Any = None
        self._grpc_ends: asyncio.Future[None] | None = None

    def run(self, began: Callable[[], None], stopped: Callable[[], None], told: Any) -> None:
        """Answer until told to leave.

        Args:
            began: Called when it listens.
            stopped: Called when it listens no more.
            told: A connection to the supervisor, which says `end` or `retire`, or has gone.
        """
        with asyncio.Runner(loop_factory=self._config.get_loop_factory()) as runner:
            runner.run(self._answer(began, stopped, told))

    async def _answer(
        self, began: Callable[[], None], stopped: Callable[[], None], told: Any
    ) -> None:
        loop, server = asyncio.get_running_loop(), self._server

        def leave(*, ready: bool) -> None:
            self._service.leaving = True
            if not ready:
                self._service.readiness.leaving = True
            if self._leaving is None:
                self._leaving = loop.create_task(self._leave(stopped))

        def heard() -> None:
            try:
                word = told.recv_bytes()
            except (EOFError, OSError):  # the supervisor is dead, and nobody else would end this
                word = b"end"
                loop.remove_reader(told.fileno())
            leave(ready=word == b"retire")

        loop.add_reader(told.fileno(), heard)
        # Somebody who ends one worker means this one alone: the others are ready.
        loop.add_signal_handler(signal.SIGTERM, lambda: leave(ready=True))
        self._config.load()
        server.lifespan = self._config.lifespan_class(self._config)
        # `serve` would put handlers of its own in their place, which stop listening at once.
        await server.startup(sockets=[])
        door = self._door = self._made_door()
        door.open(self._certificate)
        self._grpc = await self._open_grpc()
        watched = (self._service.readiness, self._service.status)
        watches = [loop.create_task(one.watch()) for one in watched]
        began()
        await server.main_loop()
        for watch in watches:
            watch.cancel()
        door.close()
        await server.shutdown(sockets=[])
        if self._grpc_ends is not None:
            await self._grpc_ends

    def _made_door(self) -> Door:
        state, loop = self._server.server_state, asyncio.get_running_loop()
        connection = partial(
            self._config.http_protocol_class,
            config=self._config,
            server_state=state,
            app_state={},
            _loop=loop,
        )
        held = partial(len, state.connections)
        return Door(self._listener, connection, held, self._board, self._slot)

    async def _open_grpc(self) -> Any:
        """The other server, where there is to be one: `grpc.aio.Server`."""
        port = self._service.deployment.grpc_port
        if port is None:
            return None
        from surefoot.serve.grpc import open_grpc

        return await open_grpc(self._service, port)

    async def _leave(self, stopped: Callable[[], None]) -> None:
        """Step back in an order in which no client that behaves is cut off."""
        if self._service.readiness.leaving:
            await asyncio.sleep(LEAVE_S)
            await self._take_in()
        if self._door is not None:
            self._door.close()
        if self._grpc is not None:  # it takes nobody new from now on, and ends what it has
            ends = self._grpc.stop(self._service.deployment.grace_seconds)
            self._grpc_ends = asyncio.ensure_future(ends)
        stopped()
        if self._door is not None:
            await self._door.settled(QUEUE_S)
        await asyncio.sleep(SETTLE_S)
        self._server.should_exit = True

    async def _take_in(self) -> None:
        """Wait until nobody is left in the queue of the socket."""
        queue = select.poll()
        queue.register(self._listener, select.POLLIN)
        for _ in range(int(QUEUE_S / 0.01)):
            if not queue.poll(0):
                return
            await asyncio.sleep(0.01)
