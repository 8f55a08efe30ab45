"""One process that listens: it starts ready, and answers what it has before it ends."""

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
CONNECTIONS = 2048
"""Connections that may be open, idle ones among them; who comes on top of them is sent a 503."""


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
    from surefoot.serve.protocol import Protocol

    with _bound(host, port) as listener:
        settings = uvicorn.Config(
            service, http=Protocol, ws="none", lifespan="off", log_level="warning",
            access_log=False, server_header=False, limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
        )  # fmt: skip
        server = uvicorn.Server(settings)
        with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
            runner.run(_served(server, service, listener, tell))


async def _served(
    server: Any, service: Service, listener: socket.socket, tell: Callable[[str], None]
) -> None:
    """Run; when told to end, say so to whoever asks for readiness before leaving."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        service.readiness.leaving = True
        loop.call_later(LEAVE_S, setattr, server, "should_exit", True)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)
    watch = loop.create_task(service.readiness.watch())
    host, port = listener.getsockname()[:2]
    tell(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    # `serve` would put handlers of its own in their place, which stop listening at once.
    await server._serve([listener])  # noqa: SLF001
    watch.cancel()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise BundleError(
            f"cannot listen at {host} port {port}: {error}",
            where="--host, --port",
            fix="give an address of this machine, and a port that is free, or 0",
        ) from error
