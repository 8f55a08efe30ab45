"""The loop of a worker: it answers on a socket until it is told to leave."""

from __future__ import annotations

import asyncio
import math
import select
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.serve.deployment import Deployment
from surefoot.serve.service import Service
from surefoot.serve.sockets import BACKLOG, LEAVE_S, QUEUE_S, SETTLE_S

CONNECTIONS = 2_048
"""Connections of a worker that may be open; who comes on top of them is sent a 503."""


class Listening:
    """One process that answers on a socket it was given.

    Args:
        service: The application.
        listener: The socket.
        deployment: How long things may take.
        certificate: What connections are encrypted with; None where they are not.
    """

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        deployment: Deployment,
        certificate: ssl.SSLContext | None,
    ) -> None:
        uvicorn = require("uvicorn", extra="serve", error=BundleError)
        from surefoot.serve.protocol import Protocol

        settings: dict[str, Any] = {}
        if certificate is not None:
            settings["ssl_context_factory"] = lambda _config, _default: certificate
        self._config = uvicorn.Config(
            service, http=Protocol, ws="none", lifespan="off", log_level="warning",
            access_log=False, server_header=False, limit_concurrency=CONNECTIONS, backlog=BACKLOG,
            timeout_graceful_shutdown=math.ceil(deployment.grace_seconds), **settings,
        )  # fmt: skip
        self._service, self._listener = service, listener
        self._server = uvicorn.Server(self._config)
        self._leaving: asyncio.Task[None] | None = None
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
        await server.startup(sockets=[self._listener])
        self._grpc = await self._open_grpc()
        watched = (self._service.readiness, self._service.status)
        watches = [loop.create_task(one.watch()) for one in watched]
        began()
        await server.main_loop()
        for watch in watches:
            watch.cancel()
        await server.shutdown(sockets=[self._listener])
        if self._grpc_ends is not None:
            await self._grpc_ends

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
        for one in self._server.servers:
            one.close()
        if self._grpc is not None:  # it takes nobody new from now on, and ends what it has
            ends = self._grpc.stop(self._service.deployment.grace_seconds)
            self._grpc_ends = asyncio.ensure_future(ends)
        stopped()
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
