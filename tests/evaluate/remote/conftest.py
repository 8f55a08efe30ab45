"""Servers that are asked as a fallback: a chat model, and one that sends whatever it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
from tests.evaluate.conftest import Model, answering
from tests.serve.conftest import certificates

__all__ = ["certificates"]


class Chat(Model):
    """Chat completions, of which `answer` says what the model writes."""

    def do_POST(self):  # noqa: N802 - as the standard library calls it
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.server.paths.add(self.path)
        self.server.keys.add(self.headers["Authorization"])
        said = self.server.answer(asked["messages"][0]["content"])
        with suppress(ConnectionError):  # who asked may have gone
            self.reply(*said)


def _chatting(answer: Callable) -> AbstractContextManager:
    return answering(Chat, "/v1", answer=answer, keys=set())


@pytest.fixture(scope="session")
def chatting() -> Callable:
    """Serves chat completions at `.url`; `answer(prompt)` gives a status and a body."""
    return _chatting


def completion(text, logprobs=None):
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": p} for p in logprobs]}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


@contextmanager
def _wired(*answers: bytes | None, pause: float = 0.0, shut: bool = True) -> Iterator:
    """Sends raw bytes for each request that comes in; None: nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen, over = [], threading.Event()

        def serve() -> None:
            left = list(answers)
            while left:
                try:
                    link, _ = listener.accept()
                except OSError:  # the test is over
                    return
                with link, suppress(OSError):
                    while left and (request := link.recv(1 << 20)):
                        seen.append(request)
                        answer = left.pop(0)
                        if answer is None:
                            over.wait(30)
                            return
                        size = 1 if pause else len(answer)
                        for start in range(0, len(answer), size):
                            link.sendall(answer[start : start + size])
                            time.sleep(pause)
                        if shut:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
            thread.join()


@pytest.fixture(scope="session")
def wired() -> Callable:
    """Gives an address and the requests that came: `wired(b"HTTP/1.1 ...")`."""
    return _wired
