"""Independent jobs on local processes; one that takes its process down does not take the others.

A worker is a fresh interpreter that imports what the work names and nothing of the caller's script,
so that a script needs no `if __name__ == "__main__"`. Jobs and results travel pickled, between
processes that this one started itself.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

Say = Callable[[Any], None]
"""What a job tells while it runs."""
Work = Callable[[], AbstractContextManager[Callable[[Any, Say], Any]]]
"""Opens what jobs share (models, say) and gives the function that does one job.

A function of a module, or a `functools.partial` of one: it is sent to other processes by name.
"""
WORKER = "surefoot.executors.worker"
GRACE_S = 5.0
"""How long a worker that is told to stop may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job whose process ended before the job did."""

    how: str
    """For people: `was killed by signal 9` or `exited with code 1`."""
    last: Any
    """What the job said last; None if it said nothing."""


def each(
    work: Work, jobs: Sequence[Any], *, processes: int, heard: Say
) -> Iterator[tuple[int, Any]]:
    """Do every job, and give the results as they come.

    Args:
        work: What does a job.
        jobs: What is to be done, in the order in which jobs are handed out.
        processes: How many workers; with none the jobs are done in this process.
        heard: Called with whatever a job says.

    Yields:
        The position of a job and its result, or `Ended` if its process died.

    Raises:
        Exception: Whatever the work raised; the other jobs are given up.
    """
    if not processes:
        with work() as do:
            for position, job in enumerate(jobs):
                yield position, do(job, heard)
        return
    waiting = list(enumerate(jobs))[::-1]
    workers: list[_Worker] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                workers.append(_Worker.start(work, *waiting.pop()))
            by_pipe = {worker.pipe: worker for worker in workers}
            for pipe in wait(list(by_pipe)):
                worker = by_pipe[pipe]  # type: ignore[index]  # wait gives what it was given
                kind, value = worker.listen()
                if kind == "said":
                    heard(value)
                    continue
                if kind == "raised":
                    raise value
                yield worker.position, value
                if kind == "died" or not waiting:
                    worker.stop()
                    workers.remove(worker)
                else:
                    worker.give(*waiting.pop())
    finally:
        for worker in workers:
            worker.kill()


@dataclass(slots=True, kw_only=True)
class _Worker:
    """One process and the pipe to it."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    position: int = 0
    last: Any = field(default=None)

    @classmethod
    def start(cls, work: Work, position: int, job: Any) -> _Worker:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-P", "-m", WORKER, str(theirs.fileno())]
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        worker = cls(process=process, pipe=ours)
        with suppress(BrokenPipeError):  # listening will tell how it died
            ours.send_bytes(pickle.dumps(work))
        worker.give(position, job)
        return worker

    def give(self, position: int, job: Any) -> None:
        self.position, self.last = position, None
        with suppress(BrokenPipeError):
            self.pipe.send_bytes(pickle.dumps(job, protocol=5))

    def listen(self) -> tuple[str, Any]:
        try:
            kind, value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return "died", Ended(how=_how(self.process.wait()), last=self.last)
        if kind == "said":
            self.last = value
        return kind, value

    def stop(self) -> None:
        self.pipe.close()  # a worker that waits for a job ends at the end of the pipe
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
