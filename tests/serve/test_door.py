"""Who takes in whom, among workers at one socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.serve.live import ask, clients_of, eventually, served, workers_of

from surefoot.serve.board import Board
from surefoot.serve.door import Door

linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into Linux' /proc")


def connected(stack, port, number):
    links = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(number)]
    for link in links:
        stack.enter_context(link)
    return {link.getsockname()[1] for link in links}


@linux
def test_connections_that_come_at_once_are_shared(run):
    pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

    def shares():
        with ExitStack() as stack:
            clients, workers = connected(stack, port, 60), workers_of(process)
            eventually(lambda: clients <= set.union(*(clients_of(one, port) for one in workers)))
            return sorted(len(clients_of(one, port) & clients) for one in workers)

    with served(run, "--workers", "3") as (process, port, _):
        # Left to the system one takes nearly all. A worker that the machine holds up takes fewer.
        eventually(lambda: shares()[0] >= 15)


@linux
def test_a_worker_that_hangs_does_not_keep_others_from_taking_in(run):
    pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
    with served(run, "--workers", "2") as (process, port, _), ExitStack() as stack:
        first, second = workers_of(process)
        os.kill(first, signal.SIGSTOP)
        try:
            clients = connected(stack, port, 20)
            eventually(lambda: clients <= clients_of(second, port))
            assert ask(port, "GET", "/healthz")[0] == 200
        finally:
            os.kill(first, signal.SIGCONT)


class Silent(asyncio.Protocol):
    """A connection that says nothing."""

    def __init__(self, made):
        self._made = made

    def connection_made(self, transport):
        self._made.set_result(transport)


def test_who_has_more_lets_others_go_first_and_takes_in_after_all():
    async def answer():
        made = asyncio.get_running_loop().create_future()
        door = Door(listener, lambda: Silent(made), lambda: 5, board, 0)
        board.crowd[1] = 3.0  # another worker that has two, and never comes
        door.open(None)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        transport = await made
        assert board.crowd[0] >= 6
        door.close()
        door.close()
        assert board.crowd[0] == 0
        transport.close()
        writer.close()
        await writer.wait_closed()

    board = Board(slots=2, cells=1)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    asyncio.run(asyncio.wait_for(answer(), 60))


def test_a_handshake_that_fails_harms_nobody(tmp_path):
    import ssl

    async def answer():
        door = Door(listener, asyncio.Protocol, lambda: 0, board, 0)
        door.open(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # without a certificate none succeeds
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
        await asyncio.sleep(0.01)
        assert not door._entering
        door.close()

    board = Board(slots=1, cells=1)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    asyncio.run(asyncio.wait_for(answer(), 60))
