"""A numeric task and linear models for it, whose answers a matrix product tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.hashing import hash_arrays
from surefoot.core.model import Candidate, Recipe

TREES = ("ash", "birch", "oak")


class Watch:
    """Progress that remembers; it can stop the work as Ctrl-C does."""

    def __init__(self, stop_at: str = "") -> None:
        self.units: dict[str, int] = {}
        self.totals: dict[str, int] = {}
        self._stop_at, self._title = stop_at, ""

    def start(self, title: str, total: int) -> None:
        self._title = title
        self.units[title], self.totals[title] = 0, total

    def advance(self, units: int = 1) -> None:
        self.units[self._title] += units
        if self._stop_at and self._stop_at in self._title:
            raise KeyboardInterrupt

    def note(self, line: str) -> None:
        raise AssertionError(line)


@pytest.fixture(scope="session")
def watch() -> type[Watch]:
    return Watch


@pytest.fixture(scope="session")
def tree_set() -> Callable[..., Dataset]:
    """Makes a data set of random numbers: `tree_set(rows, seed, name=...)`."""

    def make(rows: int = 100, seed: int = 0, *, name: str = "main", **columns: object) -> Dataset:
        rng = np.random.default_rng(seed)
        ids = np.array([f"{name}-{i}" for i in range(rows)], np.dtypes.StringDType())
        inputs = rng.standard_normal((rows, 4)).astype(np.float32)
        labels = rng.integers(0, 3, rows)
        found = {"ids": ids, "inputs": inputs, "labels": labels, **columns}
        fingerprint = hash_arrays(found["ids"], found["inputs"], found["labels"])
        return Dataset(name=name, classes=TREES, fingerprint=fingerprint, **found)

    return make


@pytest.fixture
def candidate(adopted: Callable, linear: Callable, tmp_path: Path) -> Callable[..., Candidate]:
    """Makes a candidate of a linear model; `turned` gives each class the score of the next."""

    def make(name: str = "baseline", *, runtime: str = "onnxruntime", turned: int = 0) -> Candidate:
        import onnx

        path = linear(tmp_path / f"{name}.onnx")
        proto = onnx.load(path)
        weight = np.roll(weight_of(path), turned, axis=1)
        proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
        onnx.save(proto, path)
        model = adopted(path, "numeric", folder=f"{name}-model", classes=list(TREES))
        return Candidate(name=name, model=model, runtime=runtime, recipe=Recipe(name=name))

    return make


def weight_of(path: Path) -> np.ndarray:
    import onnx

    return onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])


@pytest.fixture(scope="session")
def answers() -> Callable[[Candidate, np.ndarray], np.ndarray]:
    """Probabilities of a linear candidate, by numpy alone in double precision."""

    def compute(candidate: Candidate, inputs: np.ndarray) -> np.ndarray:
        logits = inputs.astype(np.float64) @ weight_of(candidate.model.path / "model.onnx")
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)

    return compute


METADATA = {
    "name": "intent", "versions": ["1"], "platform": "test",
    "inputs": [{"name": "row", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
}  # fmt: skip


def scores_of(rows):
    """Three scores of which the first number of a row says which is highest."""
    return [[1.0 * (int(abs(row[0]) * 100) % 3 == c) for c in range(3)] for row in rows]


class Server(ThreadingHTTPServer):
    """Takes many connections at once, as a real one does."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing: who asked may have gone, and what it wrote would be taken for ours."""


class Model(BaseHTTPRequestHandler):
    """A small endpoint of the Open Inference Protocol; `answer` makes it a bad one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.reply(200, json.dumps(self.server.metadata).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.server.paths.add(self.path)
        answer = self.server.answer(self, asked["inputs"][0])
        if answer is not None:
            self.reply(*answer)

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def sound(_: object, tensor: dict) -> tuple[int, bytes]:
    rows = np.reshape(tensor["data"], tensor["shape"]).tolist()
    data = scores_of(rows)
    shape = [len(data), 3]
    answer = {
        "name": "scores",
        "shape": shape,
        "datatype": "FP32",
        "data": [score for row in data for score in row],
    }
    return 200, json.dumps({"model_name": "intent", "outputs": [answer]}).encode()


@contextmanager
def answering(handler: type, path: str, **told: object) -> Iterator[Server]:
    """A server in a thread, at `.url`, while its block lasts; `told` is what its handler finds."""
    with Server(("127.0.0.1", 0), handler) as server:
        vars(server).update(told, asked=[], paths=set())
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}{path}"
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _serving(answer: Callable = sound, metadata: object = METADATA) -> AbstractContextManager:
    return answering(Model, "/v2/models/intent", answer=answer, metadata=metadata)


@pytest.fixture(scope="session")
def serving() -> Callable:
    """Serves at `.url` while its block lasts: `serving(answer, metadata)`; sound without either."""
    return _serving
