"""The socket of a service: bound once, inherited by every worker, and closed without a reset."""

from __future__ import annotations

import ctypes
import socket
import struct
from contextlib import suppress
from importlib.util import find_spec

from surefoot.core.errors import BundleError

LEAVE_S = 0.5
"""Seconds for which it says that it is not ready before it stops listening."""
QUEUE_S = 1.0
"""Seconds at most to take in who has connected, and as many for the handshakes of TLS."""
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
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        raise BundleError(
            f"cannot listen at {host} port {port}: {error}",
            where="--host, --port",
            fix="give an address of this machine, and a port that is free, or 0",
        ) from error
    return listener


def reserved(host: str, port: int) -> socket.socket:
    """A port that is kept for the gRPC of all workers; nobody listens at this socket itself.

    Each worker listens at the port with a socket of its own, and so could any program of the same
    user; so it must be free before.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        BundleError: The extra is missing, the port is in use, or the address is none of this
            machine.
    """
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise BundleError("gRPC is not installed", fix="pip install 'surefoot[grpc]'")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family)
    try:
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
            alone.listen()
            free = alone.getsockname()[1]
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, free))
    except (OSError, OverflowError) as error:
        held.close()
        raise BundleError(
            f"cannot listen at {host} port {port} for gRPC: {error}",
            where="grpc_port",
            fix="give a port that is free",
        ) from error
    return held


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
