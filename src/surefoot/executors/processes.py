"""Independent jobs on local processes; one that takes its process down does not take the others.

A worker is a fresh interpreter that imports what the work names and nothing of the caller's script,
so that a script needs no `if __name__ == "__main__"`. Jobs and results travel pickled, between
processes that this one started itself.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Self

Say = Callable[[Any], None]
"""What a job tells while it runs."""
Work = Callable[[], AbstractContextManager[Callable[[Any, Say], Any]]]
"""Opens what jobs share (models, say) and gives the function that does one job.

A function of a module, or a `functools.partial` of one: it is sent to other processes by name.
"""
WORKER = "surefoot.executors.worker"
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
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
    waiting = list(enumerate(jobs))[::-1]
    with Workers(work, processes=processes, heard=heard) as workers:
        while waiting or workers.busy:
            while waiting and workers.room:
                workers.give(*waiting.pop())
            if not waiting:
                workers.dismiss_idle()
            yield from workers.results()


class Workers:
    """Processes that do jobs as they are handed in; a context manager, at whose end all are gone.

    For work whose later jobs follow from the results of earlier ones; `each` does a fixed list.

    Args:
        work: What does a job.
        processes: How many there may be; with none the jobs are done in this process.
        heard: Called with whatever a job says.
        threads: How many threads OpenMP and BLAS take in each, unless the environment says; None
            leaves it to them.
    """

    def __init__(
        self, work: Work, *, processes: int, heard: Say, threads: int | None = None
    ) -> None:
        self._work, self._processes, self._heard = work, processes, heard
        self._threads = threads
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._here: Callable[[Any, Say], Any] | None = None
        self._done: list[tuple[int, Any]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.kill()

    @property
    def busy(self) -> int:
        """How many jobs were handed in whose results were not taken yet."""
        return len(self._workers) - len(self._idle) + len(self._done)

    @property
    def room(self) -> bool:
        """Whether a job that is handed in now begins at once."""
        return bool(self._idle) or self.busy < max(self._processes, 1)

    def give(self, position: int, job: Any) -> None:
        """Have a job begun.

        Args:
            position: What its result is told by.
            job: What is to be done.
        """
        if not self._processes:
            if self._here is None:
                self._here = self._stack.enter_context(self._work())
            self._done.append((position, self._here(job, self._heard)))
        elif self._idle:
            self._idle.pop().give(position, job)
        else:
            self._workers.append(_Worker.start(self._work, self._threads))
            self._workers[-1].give(position, job)

    def results(self) -> list[tuple[int, Any]]:
        """Wait until something is heard, and give what has ended: the position and the result.

        Raises:
            Exception: Whatever the work raised.
        """
        ended, self._done = self._done, []
        by_pipe = {worker.pipe: worker for worker in self._workers if worker not in self._idle}
        for pipe in wait(list(by_pipe)) if by_pipe else ():
            worker = by_pipe[pipe]  # type: ignore[index]  # wait gives what it was given
            kind, value = worker.listen()
            if kind == "said":
                self._heard(value)
                continue
            if kind == "raised":
                raise value
            ended.append((worker.position, value))
            if kind == "died":
                worker.stop()
                self._workers.remove(worker)
            else:
                self._idle.append(worker)
        return ended

    def dismiss_idle(self) -> None:
        """End the workers that have nothing to do, and free what they hold."""
        while self._idle:
            worker = self._idle.pop()
            self._workers.remove(worker)
            worker.stop()

    def kill(self) -> None:
        """End all workers at once, whatever they do; the next job starts new ones."""
        while self._workers:
            self._workers.pop().kill()
        self._idle.clear()


@dataclass(slots=True, kw_only=True)
class _Worker:
    """One process and the pipe to it."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    position: int = 0
    last: Any = field(default=None)

    @classmethod
    def start(cls, work: Work, threads: int | None) -> _Worker:
        ours, theirs = Pipe()
        limits = {} if threads is None else dict.fromkeys(THREAD_SETTINGS, str(threads))
        with theirs:
            command = [sys.executable, "-P", "-m", WORKER, str(theirs.fileno()), str(os.getpid())]
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**limits, **os.environ},
            )
        worker = cls(process=process, pipe=ours)
        with suppress(BrokenPipeError):  # listening will tell how it died
            ours.send_bytes(pickle.dumps(sys.path))
            ours.send_bytes(pickle.dumps(work, protocol=5))
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
