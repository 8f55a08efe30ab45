"""Puts an endpoint of the Open Inference Protocol, version 2, under load: JSON over HTTP."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError
from surefoot.core.nested import from_json
from surefoot.evaluate.load.generator import Server

TIMEOUT_S = 10.0
"""A request that is not answered to the last byte by then is given up."""
LARGEST = 16_000_000
"""Bytes of an answer; who sends more is not listened to any longer."""
LANES = 256
"""Requests that may be under way at once; what is due beyond waits, and its latency runs."""
KEPT_S = 2.0
"""For how long a connection that nobody uses is used again: servers close idle ones after a while,
and a request sent into a closing one would count as the endpoint's error."""
TYPES = {"T": ("BYTES",), "f": ("FP32", "FP64"), "u": ("UINT8",)}
"""What an endpoint must take for raw rows, by the kind of their array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model at an endpoint, as its metadata describe it."""

    url: str
    """The model, for example `http://127.0.0.1:8000/v2/models/intent`."""
    input: str
    """The name of its input tensor."""
    datatype: str
    """The type of that tensor's values."""
    metadata: str
    """Everything it says of itself, as JSON."""


def find_endpoint(url: str, dataset: Dataset) -> Endpoint:
    """Ask an endpoint what it takes, and whether raw rows are that.

    Args:
        url: The model's address; `/infer` is added for requests.
        dataset: The rows that will be sent.

    Raises:
        ModelError: It does not answer, or takes something else.
    """
    try:
        with _deadlines() as due, closing(_connection(url)) as connection:
            status, body = _exchange(connection, due, "GET", urlsplit(url).path, None)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(
            f"does not answer: {_reason(error)}", where=url, fix="start it, or correct the url"
        ) from error
    try:
        described = from_json(body)
        inputs = {str(one["name"]): str(one["datatype"]) for one in described["inputs"]}
        metadata = json.dumps(described, sort_keys=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"does not describe a model (HTTP {status})",
            where=url,
            fix="the url is that of a model of the Open Inference Protocol: …/v2/models/NAME",
        ) from error
    wanted = TYPES[dataset.inputs.dtype.kind]
    if len(inputs) != 1 or not set(inputs.values()) <= {*wanted}:
        takes = ", ".join(f"{name} ({kind})" for name, kind in inputs.items()) or "nothing"
        raise ModelError(
            f"takes {takes}, but raw rows are one input of {' or '.join(wanted)}",
            where=url,
            fix="serve the model with its preprocessing",
        )
    ((name, datatype),) = inputs.items()
    return Endpoint(url=url, input=name, datatype=datatype, metadata=metadata)


@contextmanager
def connected(endpoint: Endpoint, dataset: Dataset, *, lanes: int = LANES) -> Iterator[Server]:
    """Open an endpoint for as many requests at once as a load may need.

    Whatever goes wrong with a request is its answer: a timeout, a connection that ends, an HTTP
    status other than 200, no JSON, another shape, a score that is not finite.

    Args:
        endpoint: What it takes.
        dataset: The rows that are sent.
        lanes: Requests that may be under way at once.
    """
    idle: list[tuple[float, http.client.HTTPConnection]] = []
    path, classes = urlsplit(endpoint.url).path.rstrip("/") + "/infer", len(dataset.classes)

    def ask(sent: tuple[int, bytes]) -> tuple[int, int, bytes] | str:
        connection = _take(idle) or _connection(endpoint.url)
        try:
            status, body = _exchange(connection, due, "POST", path, sent[1])
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return _reason(error)
        idle.append((time.monotonic(), connection))
        return sent[0], status, body

    with _deadlines() as due:
        try:
            yield Server(
                request=_requests(endpoint, dataset),
                ask=ask,
                read=lambda raw: raw if isinstance(raw, str) else _classes(raw, classes),
                lanes=lanes,
            )
        finally:
            for _, connection in idle:
                connection.close()


def _requests(endpoint: Endpoint, dataset: Dataset) -> Callable[[np.ndarray], tuple[int, bytes]]:
    """From positions of rows to how many they are, and the body of a request for them."""
    kind = {"FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8}.get(endpoint.datatype)

    def request(rows: np.ndarray) -> tuple[int, bytes]:
        values = dataset.inputs[rows] if kind is None else dataset.inputs[rows].astype(kind)
        tensor = {
            "name": endpoint.input,
            "shape": list(values.shape),
            "datatype": endpoint.datatype,
            "data": values.ravel().tolist(),
        }
        return len(rows), json.dumps({"inputs": [tensor]}).encode()

    return request


def _classes(raw: tuple[int, int, bytes], classes: int) -> np.ndarray | str:
    """The classes that an answer predicts, or what is wrong with it.

    Args:
        raw: Rows of the request, HTTP status, and the body that came back.
        classes: How many there are.
    """
    rows, status, body = raw
    if status != http.client.OK:
        return f"HTTP {status}"
    try:
        outputs = from_json(body)["outputs"]
        fitting = [one for one in outputs if list(one["shape"]) == [rows, classes]]
        if not fitting:
            return f"no output of shape [{rows}, {classes}]"
        scores = np.array(fitting[0]["data"], dtype=np.float64).reshape(rows, classes)
    except json.JSONDecodeError:
        return "not JSON"
    except RecursionError:
        return "JSON that is nested too deeply"
    except (ValueError, KeyError, TypeError, OverflowError):  # of an integer beyond any float
        return "not an answer of the Open Inference Protocol"
    return scores.argmax(axis=1) if np.isfinite(scores).all() else "a score that is not finite"


def _take(
    idle: list[tuple[float, http.client.HTTPConnection]],
) -> http.client.HTTPConnection | None:
    """The connection that was used last, unless that is too long ago."""
    while idle:
        try:
            used, connection = idle.pop()
        except IndexError:  # another lane was faster
            break
        if time.monotonic() - used < KEPT_S:
            return connection
        connection.close()
    return None


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(str(parts.hostname), parts.port, timeout=TIMEOUT_S)


@contextmanager
def _deadlines() -> Iterator[dict[socket.socket, float]]:
    """A table of sockets; each is shut when its moment has come.

    The timeout of a socket begins again with every byte, so that a server which sends one now and
    then would be waited for without end. One thread looks after all of them: one per request would
    take time from what is measured.
    """
    due: dict[socket.socket, float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(TIMEOUT_S / 20):
            now = time.monotonic()
            for link in [link for link, moment in due.copy().items() if moment <= now]:
                with suppress(OSError):  # its other end has shut it
                    socket.socket.shutdown(link, socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield due
    finally:
        over.set()
        watcher.join()


def _exchange(
    connection: http.client.HTTPConnection,
    due: dict[socket.socket, float],
    method: str,
    path: str,
    body: bytes | None,
) -> tuple[int, bytes]:
    """One request and its answer, within `TIMEOUT_S` from connecting to the last byte."""
    headers: Mapping[str, str] = {"Content-Type": "application/json"} if body else {}
    moment = time.monotonic() + TIMEOUT_S
    if connection.sock is None:
        connection.connect()
    link = connection.sock
    due[link] = moment
    try:
        connection.request(method, path, body, dict(headers))
        with connection.getresponse() as response:
            answer = response.status, _body(response)
    except (OSError, http.client.HTTPException):
        if time.monotonic() < moment:
            raise
    finally:
        due.pop(link)
    if time.monotonic() >= moment:
        raise TimeoutError
    return answer


def _body(response: http.client.HTTPResponse) -> bytes:
    content = response.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EMSGSIZE, f"an answer of more than {LARGEST / 1e6:g} MB")
    if response.length:  # a read of so many bytes at most does not look at that
        raise http.client.IncompleteRead(content)
    return content


def _reason(error: Exception) -> str:
    """What happened to a connection, in words that do not differ from request to request."""
    known: tuple[tuple[type[Any], str], ...] = (
        (TimeoutError, f"no answer within {TIMEOUT_S:g} s"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection closed"),  # http.client.RemoteDisconnected is one
        (http.client.IncompleteRead, "connection closed"),
        (http.client.HTTPException, "not HTTP"),
    )
    words = next((words for kind, words in known if isinstance(error, kind)), None)
    return words or getattr(error, "strerror", None) or type(error).__name__
