"""What the service costs beside its model: CPU time a request, share of raw throughput, memory.

`python benchmarks/serve_speed.py [FOLDER]`. It makes dense ONNX models for 784 numbers whose
`session.run` takes about 0.05, 0.9 and 10 ms here, runs a plan for each, and serves the bundle
with confidence, threshold, metrics and decision log on. The server has one core, the generator the
other.
Raw is `session.run` in a loop on the server's core, in turns with the server in one run. `--beside
NAME=PYTHON` adds another server, of benchmarks/serve_beside/NAME.py, run by that interpreter, for
the model of 0.9 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime

WIDTH, CLASSES, ROWS = 784, 10, 400
CONNECTIONS = 16
SIZES = (("0.05 ms", 512, 3), ("0.9 ms", 1024, 10), ("10 ms", 2048, 20))
"""What `session.run` of one row takes here, width and depth."""
COMMAND = [sys.executable, "-c", "from surefoot.cli import main; main()"]
PLAN = """
[task]
kind = "tabular-classification"
test.main = {{ use = "csv", path = "test.csv", columns = {columns}, label = "label" }}
calibration = {{ use = "csv", path = "own.csv", columns = {columns}, label = "label" }}
[model]
path = "model.onnx"
classes = {classes}
[[candidate]]
name = "same"
steps = []
[evaluate]
latency = {{ batch = [1], calls = 20, seconds = 5 }}
[[budget]]
quantity = "accuracy"
max_drop = 0.1
[serve]
fallback = "abstain"
max_error_over_fallback = 0.05
"""


def dense(path: Path, hidden: int, layers: int) -> None:
    """A dense network with random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, last = np.random.default_rng(0), "input"
    nodes, weights, width = [], [], WIDTH
    for i in range(layers + 1):
        out = CLASSES if i == layers else hidden
        weight = rng.standard_normal((width, out)) / np.sqrt(width) * (4 if i == layers else 1.4)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]))
        last, width = f"m{i}", out
        if i < layers:
            nodes.append(helper.make_node("Relu", [last], [f"r{i}"]))
            last = f"r{i}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dense",
        [value("input", TensorProto.FLOAT, ["n", WIDTH])],
        [value(last, TensorProto.FLOAT, ["n", CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    onnx.save(model, path)


def session(path: Path) -> onnxruntime.InferenceSession:
    """Raw onnxruntime with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def raw_ms(path: Path, seconds: float = 2.0) -> float:
    """CPU milliseconds of `session.run` of one row, on the server's core."""
    os.sched_setaffinity(0, {0})
    one, row = session(path), np.random.default_rng(0).random((1, WIDTH)).astype(np.float32)
    for _ in range(20):
        one.run(None, {"input": row})
    calls, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        one.run(None, {"input": row})
        calls += 1
    return (time.process_time() - cpu) / calls * 1000


def prepare(folder: Path, hidden: int, layers: int) -> Path:
    """A finished run of a plan for such a model."""
    if (folder / "surefoot-run" / "bundle" / "manifest.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    dense(folder / "model.onnx", hidden, layers)
    one, names = session(folder / "model.onnx"), [f"p{i}" for i in range(WIDTH)]
    for name in ("test", "own"):
        rows = np.random.default_rng(len(name)).random((ROWS, WIDTH)).astype(np.float32)
        label = one.run(None, {"input": rows})[0].argmax(axis=1)
        lines = [
            ",".join([*(f"{x:.6f}" for x in row), f"c{k}"])
            for row, k in zip(rows, label, strict=True)
        ]
        (folder / f"{name}.csv").write_text("\n".join([",".join([*names, "label"]), *lines]) + "\n")
    classes = json.dumps([f"c{i}" for i in range(CLASSES)])
    plan = PLAN.format(columns=json.dumps(names), classes=classes)
    (folder / "surefoot.toml").write_text(plan)
    done = subprocess.run(
        [*COMMAND, "run"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 3), done.stderr
    return folder


class Client(asyncio.Protocol):
    """One connection: one request after the other, each read by its content length."""

    def __init__(self, request: bytes) -> None:
        self.request, self.buffer, self.done = request, b"", None
        self.bad = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Remember whom to write to."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take in an answer, or a part of one."""
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = int(re.search(rb"content-length: (\d+)", self.buffer[:head].lower())[1])
        if len(self.buffer) < head + 4 + length:
            return
        if self.buffer[9:12] == b"200":
            self.answered(self.buffer[head + 4 : head + 4 + length])
        else:
            self.bad += 1
        self.buffer = self.buffer[head + 4 + length :]
        done, self.done = self.done, None
        if not done.done():
            done.set_result(None)

    def answered(self, body: bytes) -> None:
        """For whoever keeps answers."""

    async def ask(self) -> None:
        """Send the request, and wait for its answer."""
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(self.request)
        await self.done


async def connected(
    port: int, request: bytes, count: int, kind: type[Client] = Client
) -> list[Client]:
    """Open connections."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: kind(request), "127.0.0.1", port) for _ in range(count)
    ]
    return [client for _, client in made]


async def closed_loop(port: int, request: bytes, seconds: float) -> tuple[int, float]:
    """Requests that were answered, and seconds, with every connection busy all the time."""
    clients = await connected(port, request, CONNECTIONS)
    ends = time.perf_counter() + seconds
    count = 0

    async def run(client: Client) -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await client.ask()
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(run(client) for client in clients))
    assert not sum(client.bad for client in clients)
    return count, time.perf_counter() - began


async def open_loop(port: int, request: bytes, rate: float, seconds: float) -> np.ndarray:
    """Milliseconds from each random arrival to its answer."""
    clients = deque(await connected(port, request, 64))
    rng, loop = np.random.default_rng(0), asyncio.get_running_loop()
    arrivals = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))
    took: list[float] = []
    free = asyncio.Semaphore(len(clients))
    began = loop.time()

    async def one(due: float) -> None:
        async with free:
            client = clients.popleft()
            await client.ask()
            clients.append(client)
        took.append((loop.time() - due) * 1000)

    tasks = []
    for arrival in arrivals:
        wait = began + arrival - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(began + arrival)))
    await asyncio.gather(*tasks)
    return np.array(took)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu_s(pids: list[int]) -> float:
    """Seconds of processor time."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_mb(pids: list[int]) -> float:
    """Of the largest process; one that ends meanwhile does not count."""
    found = [0]
    for pid in pids:
        with suppress(OSError):
            told = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += map(int, re.findall(r"^Rss:\s+(\d+)", told, re.MULTILINE))
    return max(found) / 1024


def request_of(path: str, row: np.ndarray) -> bytes:
    """A whole request of one row."""
    body = json.dumps({"inputs": [[round(float(x), 6) for x in row]]}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Served:
    """A server in a process of its own, on the first core."""

    def __init__(
        self, command: list[str], folder: Path, port: int | None = None, cores: str = "0"
    ) -> None:
        began = time.perf_counter()
        self.process = subprocess.Popen(
            ["/usr/bin/taskset", "-c", cores, *command],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        if port is None:
            said = ""
            while "listening at" not in said:
                said += self.process.stderr.readline()
            port = int(re.search(r"127\.0\.0\.1:(\d+)", said)[1])
        self.port = port
        row = np.random.default_rng(0).random(WIDTH)
        self.request = request_of("/predict", row)
        while True:
            try:
                asyncio.run(self._first())
                break
            except (OSError, AssertionError):
                time.sleep(0.005)
        self.start_s = time.perf_counter() - began

    async def _first(self) -> None:
        (client,) = await connected(self.port, self.request, 1)
        await asyncio.wait_for(client.ask(), 10)
        assert not client.bad

    def most(self, seconds: float = 4.0) -> tuple[float, float]:
        """Requests a second at most, and CPU milliseconds of each."""
        pids = tree(self.process.pid)
        before = cpu_s(pids)
        count, took = asyncio.run(closed_loop(self.port, self.request, seconds))
        return count / took, (cpu_s(pids) - before) / count * 1000

    def at(self, rate: float, seconds: float = 8.0) -> tuple[float, float]:
        """Median and 99th percentile in milliseconds at a rate."""
        took = asyncio.run(open_loop(self.port, self.request, rate, seconds))
        return float(np.quantile(took, 0.5)), float(np.quantile(took, 0.99))

    def end(self) -> float:
        """Stop it; megabytes that its largest process held."""
        memory = rss_mb(tree(self.process.pid))
        self.process.terminate()
        self.process.wait(30)
        return memory


def measured(name: str, served: Served, model: Path) -> None:
    """Measure and print one line."""
    raws, rates, cpus = [], [], []
    for _ in range(3):
        raw = subprocess.run(
            [sys.executable, __file__, "--raw", str(model)],
            check=True,
            capture_output=True,
            text=True,
        )
        raws.append(float(raw.stdout))
        rate, cpu = served.most()
        rates.append(rate)
        cpus.append(cpu)
    raw, rate, cpu = (float(np.median(x)) for x in (raws, rates, cpus))
    half, eighty = served.at(0.5 * rate), served.at(0.8 * rate)
    memory = served.end()
    print(
        f"{name:12} raw {raw:7.3f} ms  {rate:8.0f}/s  of raw {rate * raw / 1000:.2f}"
        f"  cpu over raw {cpu - raw:6.3f} ms  {memory:5.0f} MB  start {served.start_s:.2f} s"
        f"  50 %: p50 {half[0]:.1f} p99 {half[1]:.1f} ms  80 %: p50 {eighty[0]:.1f} p99"
        f" {eighty[1]:.1f} ms",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--raw", type=Path)
    parser.add_argument("--beside", action="append", default=[])
    given = parser.parse_args()
    if given.raw:
        print(raw_ms(given.raw))
        return
    folder = given.folder or Path(tempfile.mkdtemp())
    os.sched_setaffinity(0, {1})
    for label, hidden, layers in SIZES:
        where = prepare(folder / label.replace(" ", ""), hidden, layers)
        print(label, flush=True)
        (where / "serve.toml").write_text('port = 0\nlog = "log"\n')
        served = Served([*COMMAND, "serve", "--config", "serve.toml"], where)
        measured("surefoot", served, where / "model.onnx")
        for one in given.beside if label == SIZES[1][0] else ():
            name, _, python = one.partition("=")
            script = Path(__file__).parent / "serve_beside" / f"{name}.py"
            command = [python, str(script), str(where / "model.onnx"), "8899"]
            measured(name, Served(command, where, 8899), where / "model.onnx")


if __name__ == "__main__":
    main()
