"""Does a load tell the truth about a service that freezes, and how fast can the generator go?

`python benchmarks/load_truth.py [SECONDS]`: tables in Markdown; about three minutes at 30 seconds.

The service takes 2 ms a request, one after another, and freezes for the last second of every 10.
Requests come 100 a second, evenly or as a Poisson process. The truth is a simulation of events that
knows the arrivals and the rule; of evenly spaced ones in closed form too: the arrival that comes k
gaps into the freeze waits 1,000 - 10 k ms for its end, and then for 2 ms of work of each before it.
The closed loop is what many tools do: four users, each of whom thinks for 38 ms in the mean, sends
a request, and waits for the answer. While the service is frozen nobody counts who would have come.

The generator's own figures: the time from an answer to the next request, the CPU time of a request
with all that the client does for it, and the highest rate, in steps of a half,
at which its latest 1 % of requests are no more than 1 ms late and it takes at most 70 % of a
processor: in process with a call that does nothing, over HTTP with a server in a process of its own
that answers at once.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.load import ServedProfile
from surefoot.core.model import Candidate, Model, Recipe, Signature
from surefoot.core.plan import LoadPlan
from surefoot.core.progress import Silent
from surefoot.evaluate.load.arrivals import poisson
from surefoot.evaluate.load.endpoint import connected, find_endpoint
from surefoot.evaluate.load.generator import Server, drive
from surefoot.evaluate.load.one import put_under_load, serve_load

QPS, WORK, EVERY, FROZEN = 100, 0.002, 10.0, 1.0
USERS, THINK = 4, 0.038
STEP, TRIAL = 1.5, 3.0
ANSWER = b'{"outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[0.1,0.9]}]}'
METADATA = b'{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,1]}],"outputs":[]}'
ROWS = Dataset(
    name="rows",
    ids=np.array([str(i) for i in range(100)], np.dtypes.StringDType()),
    inputs=np.zeros((100, 1), np.float32),
    labels=np.zeros(100, np.int64),
    classes=("a", "b"),
)
SCORES = np.array([[0.1, 0.9]])


def main(seconds: float = 30.0) -> None:
    """Print the tables."""
    print("| arrivals | n | exact p99, ms | measured p99, ms | off by |\n|---|---|---|---|---|")
    even = np.arange(int(QPS * seconds)) / QPS
    chance = poisson(QPS, seconds, np.random.default_rng(0))
    for name, schedule in (("evenly spaced", even), ("Poisson", chance)):
        exact, measured = truth(schedule, seconds)
        off = measured / exact - 1
        print(f"| {name} | {len(schedule)} | {exact:.1f} | {measured:.1f} | {off:+.2%} |")
    closed = closed_loop(seconds)
    print(f"\nclosed loop, {USERS} users: p99 {np.quantile(closed, 0.99):.1f} ms, n {len(closed)}")
    print(f"closed form, evenly spaced, freeze from an arrival on: {closed_form():.1f} ms\n")
    print(
        "| generator | between requests, µs | CPU a request, µs | highest rate | lateness p99, µs |"
    )
    print("|---|---|---|---|---|")
    row("in process", in_process)
    with served() as url:
        row("over HTTP", over_http(url))


def finish(start: float, frozen_from: float) -> float:
    """When 2 ms of work end that begin at `start`; the first freeze begins at `frozen_from`."""
    phase = (start - frozen_from) % EVERY
    if phase < FROZEN:
        return start + (FROZEN - phase) + WORK
    return start + WORK + (FROZEN if phase + WORK > EVERY else 0.0)


def truth(schedule: np.ndarray, seconds: float) -> tuple[float, float]:
    """The exact p99 of a schedule and the measured one, in ms."""
    freeze, began = time.perf_counter() + EVERY - FROZEN, list[float]()

    def call(_: object) -> np.ndarray:
        began.append(time.perf_counter())
        end = finish(began[-1], freeze)
        time.sleep(max(0.0, end - time.perf_counter() - 0.0005))
        while time.perf_counter() < end:
            pass
        return SCORES

    server = Server(request=lambda rows: rows, ask=call, read=lambda scores: scores.argmax(axis=1))
    rows = np.zeros((1, 1), dtype=np.int64)
    found = drive(server, rows, schedule, seconds, Silent())
    frozen_from = freeze - (began[0] - found[0].sent)
    free, exact = 0.0, []
    for due in schedule:
        free = finish(max(free, due), frozen_from)
        exact.append(free - due)
    measured = [e.done - e.due for e in found]
    return _p99(exact) * 1000, _p99(measured) * 1000


def closed_form() -> float:
    """p99 of 1,000 requests a period, 100 of them frozen: the 11th of the longest waits."""
    waits = [FROZEN - k / QPS + WORK * (k + 1) for k in range(int(QPS * FROZEN))]
    return sorted(waits, reverse=True)[int(QPS * EVERY * 0.01)] * 1000


def closed_loop(seconds: float) -> list[float]:
    """Latencies in ms as users see them who wait before they send the next request."""
    lock, found, began = threading.Lock(), list[float](), time.perf_counter()

    def user(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while time.perf_counter() - began < seconds:
            time.sleep(rng.exponential(THINK))
            sent = time.perf_counter()
            with lock:
                end = finish(time.perf_counter(), began + EVERY - FROZEN)
                time.sleep(max(0.0, end - time.perf_counter()))
            found.append((time.perf_counter() - sent) * 1000)

    users = [threading.Thread(target=user, args=(seed,)) for seed in range(USERS)]
    for one in users:
        one.start()
    for one in users:
        one.join()
    return found


def row(name: str, run: Callable[[LoadPlan], ServedProfile]) -> None:
    """Print what one way of asking can do."""
    used = time.process_time()
    stream = run(LoadPlan(scenario="single_stream", seconds=TRIAL))
    cpu = (time.process_time() - used) / len(stream.wall_ms) * 1e6
    whole = np.diff(stream.arrival_ms).mean()
    adds = (whole - stream.service_ms[np.isfinite(stream.service_ms)].mean()) * 1000
    rate, best, late = 100.0, 0.0, 0.0
    while True:
        found = run(LoadPlan(scenario="server", target_qps=rate, seconds=TRIAL))
        lateness = _p99(found.lateness_ms)
        if lateness > 1 or found.busy > 0.7 or found.errors or rate > 2e5:
            break
        best, late, rate = rate, lateness, rate * STEP
    print(f"| {name} | {adds:.0f} | {cpu:.0f} | {best:.0f} | {late * 1000:.0f} |", flush=True)


def in_process(load: LoadPlan) -> ServedProfile:
    """A call that does nothing."""
    return serve_load(lambda _: SCORES, _candidate(), ROWS, load)


def over_http(url: str) -> Callable[[LoadPlan], ServedProfile]:
    """A server that answers at once."""
    endpoint = find_endpoint(url, ROWS)

    def run(load: LoadPlan) -> ServedProfile:
        here = LoadPlan(
            scenario=load.scenario, target_qps=load.target_qps, seconds=load.seconds, url=url
        )
        lanes = {"lanes": 1} if load.target_qps is None else {}
        with connected(endpoint, ROWS, **lanes) as server:
            return put_under_load(server, ROWS, here, name="http", candidate=_candidate())

    return run


@contextmanager
def served() -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v2/models/m"
        finally:
            process.kill()


class Answering(asyncio.Protocol):
    """Answers each request with the same scores; it looks at nothing but where one ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport, self.waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self.waiting += data
        head, found, body = self.waiting.partition(b"\r\n\r\n")
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if found and len(body) >= int(size or 0):
            self.waiting = b""
            said = METADATA if head.startswith(b"GET") else ANSWER
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said
            )


async def serve() -> None:
    """Listen, and say where."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _candidate() -> Candidate:
    signature = Signature(input="numeric", classes=("a", "b"))
    model = Model(
        name="nothing", format="", path=Path(), file="", fingerprint="", size_bytes=0,
        signature=signature,
    )  # fmt: skip
    return Candidate(name="nothing", model=model, runtime="", recipe=Recipe(name="nothing"))


def _p99(values: object) -> float:
    """The smallest value that 99 % are at or below."""
    ordered = np.sort(np.asarray(values))
    return float(ordered[int(np.ceil(0.99 * len(ordered))) - 1])


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main(*map(float, sys.argv[1:]))
