"""One process that listens: it starts ready, and ends without a dropped request."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.serve.service import Service

GRACE_S = 20
"""Seconds that requests under way have when the service is told to end."""
LEAVE_S = 0.5
"""Seconds for which it says that it is not ready before it stops listening."""
WAITING = 256
"""Connections that may wait for an answer; who comes on top of them is told to come again."""


def listen(service: Service, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        service: The application.
        host: The address to listen at.
        port: The port; 0 takes a free one.
        tell: Given the address when it listens.

    Raises:
        BundleError: The port is in use, or the address is none of this machine.
    """
    uvicorn = require("uvicorn", extra="serve", error=BundleError)
    with _bound(host, port) as listener:
        settings = uvicorn.Config(
            service, http="httptools", lifespan="off", log_level="warning", access_log=False,
            limit_concurrency=WAITING, timeout_graceful_shutdown=GRACE_S, server_header=False,
        )  # fmt: skip
        server = uvicorn.Server(settings)
        found = listener.getsockname()
        tell(f"http://{found[0]}:{found[1]}")
        asyncio.run(_served(server, service, listener))


async def _served(server: Any, service: Service, listener: socket.socket) -> None:
    """Run; when told to end, say so to whoever asks for readiness before leaving."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        service.ready = False
        loop.call_later(LEAVE_S, setattr, server, "should_exit", True)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)
    # `serve` would put handlers of its own in their place, which stop listening at once.
    await server._serve([listener])  # noqa: SLF001


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except (OSError, OverflowError) as error:
        raise BundleError(
            f"cannot listen at {host}:{port}: {error}",
            where="--port",
            fix="give another one, or 0 for one that is free",
        ) from error
