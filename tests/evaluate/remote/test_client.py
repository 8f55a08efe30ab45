"""HTTP as a client, against servers that keep to it and against such as do not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from surefoot.core.errors import RemoteError
from surefoot.evaluate.remote.client import FOREVER, LARGEST, Client

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ask(url, *, times=1, timeout_s=5.0, until=FOREVER, headers=None):
    """What a server answers to a few requests over one client."""

    async def main():
        client = Client(url, timeout_s, headers or {})
        try:
            return [await client.exchange("POST", "/a", b"{}", until) for _ in range(times)]
        finally:
            client.close()

    return asyncio.run(main())


def fault(url, **options):
    with pytest.raises(RemoteError) as caught:
        ask(url, **options)
    return caught.value


def test_a_request_is_what_a_server_of_http_expects(wired):
    with wired(OK) as (url, seen):
        assert ask(url, headers={"X-One": "1"}) == [(200, b"ok")]
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a HTTP/1.1"
    assert f"Host: {url.removeprefix('http://')}".encode() in lines
    assert {b"X-One: 1", b"Content-Length: 2", b"Content-Type: application/json"} <= {*lines}
    assert body == b"{}"


def test_a_connection_is_used_again_while_it_stays_open(serving):
    with serving() as server:
        connections = []
        got = server.get_request
        server.get_request = lambda: connections.append(1) or got()
        assert [status for status, _ in ask_rows(server.url, times=5)] == [200] * 5
        assert len(connections) == 1


def ask_rows(url, times):
    async def main():
        client = Client(url, 5.0, {})
        tensor = b'{"inputs":[{"name":"row","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}'
        try:
            path = "/v2/models/intent/infer"
            return [await client.exchange("POST", path, tensor, FOREVER) for _ in range(times)]
        finally:
            client.close()

    return asyncio.run(main())


def test_one_that_the_server_has_shut_is_not(wired):
    with wired(OK, OK) as (url, seen):

        async def main():
            client = Client(url, 5.0, {})
            first = await client.exchange("POST", "/a", b"{}", FOREVER)
            for _ in range(200):  # until the end of the connection has come in
                await asyncio.sleep(0.01)
                if not client._idle[0][1].open:
                    break
            second = await client.exchange("POST", "/a", b"{}", FOREVER)
            client.close()
            return first, second

        assert asyncio.run(main()) == ((200, b"ok"), (200, b"ok"))
    assert len(seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",  # its end is that of the connection
        b"HTTP/1.1 102 Processing\r\n\r\n" + OK,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["chunked", "until the end", "with word before", "1.0"],
)
def test_every_form_of_an_answer_is_read(wired, answer):
    with wired(answer) as (url, _):
        assert ask(url) == [(200, b"ok")]


def test_an_answer_may_come_byte_by_byte(wired):
    with wired(OK, pause=0.002) as (url, _):
        assert ask(url) == [(200, b"ok")]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (b"220 mail.example ESMTP\r\n", "rubbish", "not HTTP"),
        (b"\x00" * 100, "rubbish", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "rubbish", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "down", "closed the connection"),
        (b"HTTP/1.1 20", "down", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", "down", "closed the"),
    ],
)
def test_what_is_no_answer_is_named(wired, answer, kind, said):
    with wired(answer) as (url, seen):
        found = fault(url)
    assert found.fault == kind
    assert said in str(found)
    assert found.is_its_own
    assert len(seen) == 1  # it is never sent twice


def test_who_sends_too_much_is_not_listened_to(wired):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {2 * LARGEST}\r\n\r\n".encode()
    with wired(head + bytes(LARGEST)) as (url, _):
        found = fault(url, timeout_s=60)
    assert found.fault == "rubbish"
    assert "more than 16 MB" in str(found)


def test_heads_have_an_end_too(wired):
    lines = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 60_000) for i in range(300))
    with wired(b"HTTP/1.1 200 OK\r\n" + lines) as (url, _):
        assert fault(url, timeout_s=60).fault == "rubbish"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = fault(f"http://127.0.0.1:{port}")
    assert (found.fault, found.is_its_own) == ("down", True)
    assert "connection refused" in str(found)


def test_a_server_without_tls_is_not_spoken_to_over_it(wired):
    with wired(OK) as (url, _):
        found = fault(url.replace("http", "https"))
    assert found.fault == "down"
    assert "does not speak TLS" in str(found)


@contextmanager
def encrypted(certificates):
    """Answers one request over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "a.pem", certificates / "a.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            link, _ = listener.accept()
            with link, suppress(OSError), context.wrap_socket(link, server_side=True) as safe:
                safe.recv(1 << 16)
                safe.sendall(OK)

        thread = threading.Thread(target=greet)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(certificates):
    with encrypted(certificates) as url:
        found = fault(url)
    assert found.fault == "down"
    assert "certificate is not valid here" in str(found)


def test_one_that_an_authority_of_the_system_vouches_for_is(certificates, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "a.pem"))
    with encrypted(certificates) as url:
        assert ask(url) == [(200, b"ok")]


def test_who_takes_too_long_is_slow(wired):
    with wired(None) as (url, _):
        found = fault(url, timeout_s=0.2)
    assert (found.fault, found.is_its_own) == ("slow", True)
    assert "within 200 ms" in str(found)


def test_a_trickle_does_not_reset_the_clock(wired):
    with wired(OK + b" " * 2_000, pause=0.02) as (url, _), pytest.raises(RemoteError):
        ask_until_it_ends(url)


def ask_until_it_ends(url):
    async def main():
        client = Client(url, 0.3, {})
        await client.exchange("GET", "/", b"", FOREVER)

    asyncio.run(main())


def test_the_deadline_of_whoever_asks_is_not_the_servers_fault(wired):
    with wired(None) as (url, _):
        found = fault(url, timeout_s=30, until=time.monotonic() + 0.2)
    assert (found.fault, found.is_its_own) == ("deadline", False)
    with wired(OK) as (url, seen):
        assert fault(url, until=time.monotonic() - 1).fault == "deadline"
        assert seen == []  # late work is never begun


def test_a_request_that_is_cancelled_leaves_nothing_behind(wired):
    """An answer that comes late must not be taken for that of the next request."""
    with wired(None) as (url, seen):

        async def main():
            client = Client(url, 30.0, {})
            asked = asyncio.create_task(client.exchange("POST", "/a", b"{}", FOREVER))
            while not seen:  # noqa: ASYNC110 - the server is a thread
                await asyncio.sleep(0.005)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            return client._idle

        assert asyncio.run(main()) == []
