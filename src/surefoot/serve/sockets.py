"""The socket of a service: bound once, inherited by every worker, and closed without a reset."""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress

from surefoot.core.errors import BundleError

LEAVE_S = 0.5
"""Seconds for which it says that it is not ready before it stops listening."""
QUEUE_S = 1.0
"""Seconds at most to take in who has connected and was not answered yet."""
SETTLE_S = 0.3
"""Seconds in which who has just connected may send a request, before idle connections end."""
BACKLOG = 2_048
"""Who may wait to be taken in."""
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, of Linux alone


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address; it listens when the first worker does.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        BundleError: The port is in use, or the address is none of this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Two that have bound the same port learn of each other here.
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise BundleError(
            f"cannot listen at {host} port {port}: {error}",
            where="--host, --port",
            fix="give an address of this machine, and a port that is free, or 0",
        ) from error
    return listener


def address(listener: socket.socket, *, encrypted: bool) -> str:
    """The address of a socket as clients write it."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if encrypted else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def refuse_new(listener: socket.socket) -> None:
    """Let nobody else connect, without a word to those who have and were not answered yet.

    To close a socket resets whoever waits in its queue. So who wants to connect is not heard, tries
    again, and finds it closed. Where the system is not Linux, nothing happens.
    """
    program = (
        (0x30, 0, 0, 13),  # the flags of the TCP segment
        (0x54, 0, 0, 0x12),  # of these SYN and ACK
        (0x15, 1, 0, 0x02),  # SYN alone is somebody new
        (0x06, 0, 0, 0xFFFFFFFF),  # the others are heard
        (0x06, 0, 0, 0),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET,
            _ATTACH_FILTER,
            struct.pack("@HP", len(program), ctypes.addressof(code)),
        )
