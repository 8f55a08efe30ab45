"""Sends requests when they are due and takes down when each was answered.

There is no thread that generates arrivals: whoever is free waits for the next one that is due. In
process one lane is free whenever the model is not at work, and while it works nothing else runs, so
the generator takes no processor and no interpreter lock from what it measures. Arrivals that come
meanwhile wait in the schedule, exactly as they would in a queue; that is what the open loop of wrk2
(Tene 2013, "How not to measure latency") and of MLPerf LoadGen sees.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.core.progress import Progress, Silent

SPIN = 0.0005
"""Seconds before an arrival from which a single lane no longer sleeps: waking takes that long."""
GRACE = 0.1
"""For how long after the last arrival requests are still sent, as a share of the run."""
LEAST_GRACE = 1.0
"""The same in seconds, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who answers."""

    request: Callable[[np.ndarray], Any]
    """From rows, as positions in the data set, to what is sent; done before it is due."""
    ask: Callable[[Any], Any]
    """From what is sent to what came back; the time it takes is what is measured."""
    read: Callable[[Any], np.ndarray | str]
    """From what came back to the predicted classes, or what is wrong; not timed."""
    lanes: int = 1
    """How many requests may be under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer, in seconds from the start of the run."""

    number: int
    """Its place in the order of arrival."""
    due: float
    """When it was to be sent."""
    sent: float
    """When it was sent."""
    done: float
    """When its answer was there."""
    cpu_s: float
    """CPU time of the whole process meanwhile."""
    answer: np.ndarray | str
    """The predicted classes, or what went wrong."""


class _Run:
    """Requests on their way; every lane takes its turn at the next one."""

    def __init__(
        self, server: Server, rows: np.ndarray, schedule: np.ndarray | None, seconds: float
    ) -> None:
        self.server, self.rows, self.schedule, self.seconds = server, rows, schedule, seconds
        grace = 0.0 if schedule is None else max(GRACE * seconds, LEAST_GRACE)
        self.last = seconds + grace
        self.done: list[Exchange] = []
        self.stopped = threading.Event()
        self.watch: Progress = Silent()
        self.started = time.perf_counter()
        self._told = 0
        self._turn = threading.Lock()
        self._numbers = itertools.count()

    def lane(self) -> None:
        """Send one request after another until nothing is left to send."""
        while (mine := self._next()) is not None:
            number, due, request = mine
            sent, used = time.perf_counter(), time.process_time()
            raw = self.server.ask(request)
            done, cpu = time.perf_counter(), time.process_time() - used
            self.done.append(
                Exchange(
                    number=number,
                    due=due,
                    sent=sent - self.started,
                    done=done - self.started,
                    cpu_s=cpu,
                    answer=self.server.read(raw),
                )
            )

    def _next(self) -> tuple[int, float, Any] | None:
        """The next request, when it is due; None if there is none. One lane waits, others queue."""
        with self._turn:
            number, now = next(self._numbers), time.perf_counter() - self.started
            over = self.schedule is not None and number >= len(self.schedule)
            if over or now > self.last or self.stopped.is_set():
                return None
            request = self.server.request(self.rows[number % len(self.rows)])
            self._tell(now)
            if self.schedule is None:
                return number, time.perf_counter() - self.started, request
            due = float(self.schedule[number])
            if self.server.lanes == 1:
                _wait_until(self.started + due)
            elif self.stopped.wait(max(self.started + due - time.perf_counter(), 0.0)):
                return None
            return number, due, request

    def _tell(self, now: float) -> None:
        whole = min(int(max(now, 0.0)), int(self.seconds))
        if whole > self._told:
            self.watch.advance(whole - self._told)
            self._told = whole


def drive(
    server: Server,
    rows: np.ndarray,
    schedule: np.ndarray | None,
    seconds: float,
    watch: Progress,
) -> list[Exchange]:
    """Run a load from start to end.

    Args:
        server: Who answers.
        rows: (any, batch) positions in the data set; request i takes line i, from the top again
            where they are used up.
        schedule: (requests,) when each is due, in seconds; None sends the next one as soon as the
            one before it is answered.
        seconds: How long requests arrive.
        watch: Told of every second.

    Returns:
        Every request that was sent, in the order of arrival. What was not sent by a tenth of the
        run after its end, and a second at least, never is.
    """
    run = _Run(server, rows, schedule, seconds)
    run.watch = watch
    if server.lanes == 1:
        run.lane()
    else:
        _side_by_side(run)
    return sorted(run.done, key=lambda exchange: exchange.number)


def _side_by_side(run: _Run) -> None:
    with ThreadPoolExecutor(run.server.lanes) as pool:
        try:
            lanes = [pool.submit(run.lane) for _ in range(run.server.lanes)]
            for lane in lanes:
                lane.result()
        finally:
            run.stopped.set()


def _wait_until(moment: float) -> None:
    """Sleep, and look at the clock alone for the last moment, since waking up takes that long.

    For one lane only: several would keep the interpreter from each other.
    """
    rest = moment - time.perf_counter() - SPIN
    if rest > 0:
        time.sleep(rest)
    while time.perf_counter() < moment:
        pass
