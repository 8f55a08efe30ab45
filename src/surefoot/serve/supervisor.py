"""The process that answers nothing itself: it starts workers, replaces dead ones and ends them all.

It has one loop, over signals, the links to its children and their records, and no thread: so it can
fork at any time. What is heavy, a model or the choice of a threshold, only its children load.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from surefoot.core.errors import BundleError, MismatchError, SurefootError
from surefoot.core.printable import printable
from surefoot.serve.access import read_access, read_certificate
from surefoot.serve.board import Board
from surefoot.serve.children import OWN, Child, Generation, ending, fork
from surefoot.serve.copies import Copy
from surefoot.serve.deployment import Deployment
from surefoot.serve.meters import CELLS, Meters, forget_states, name_models
from surefoot.serve.prepared import Prepared
from surefoot.serve.records import Records
from surefoot.serve.segments import Rotation
from surefoot.serve.sockets import LEAVE_S, QUEUE_S, SETTLE_S, address, refuse_new
from surefoot.serve.watch import Watch, Watching
from surefoot.serve.worker import Post, answer

TRIES = 3
"""Workers that may die without a word before the service has ever answered."""
QUICK_S = 10.0
"""A worker that answered for less died at once: the next one waits for longer."""
PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
"""How long the second one waits that replaces such a worker, twice as long each time, and how long
any waits."""
OPENING_S = 300.0
"""Seconds within which another bundle must be ready."""
HIRE_S = 5.0
"""Until another worker is tried to be started where the system has no room for one."""
ROTATE_S = 60.0
"""Between two looks at the decision log."""
_FILES = 65_536


def supervise(
    bundle: Path,
    deployment: Deployment,
    listener: socket.socket,
    *,
    force: bool,
    tell: Callable[[str], None],
    watch: Watch | None = None,
) -> None:
    """Serve a bundle until SIGINT or SIGTERM; SIGHUP takes what lies there by then.

    Args:
        bundle: The folder of a run or of a bundle, or a zip file.
        deployment: How it runs.
        listener: The socket that it answers on, which is closed in the end.
        force: Whether a model without a PASS may be served.
        tell: Given lines: what is promised, where it listens, and what happens to its workers.
        watch: Makes the guard of the promise.

    Raises:
        SurefootError: It cannot begin.
    """
    with _Supervisor(bundle, deployment, listener, force=force, tell=tell, watch=watch) as one:
        one.run()


class _Supervisor:
    """See `supervise`, whose arguments it takes."""

    def __init__(
        self,
        bundle: Path,
        deployment: Deployment,
        listener: socket.socket,
        *,
        force: bool,
        tell: Callable[[str], None],
        watch: Watch | None,
    ) -> None:
        self._bundle, self._deployment, self._force = bundle, deployment, force
        self._listener, self._tell = listener, tell
        # While a bundle takes the place of another, the workers of both count.
        self._free = list(range(2 * deployment.workers, 0, -1))
        self._board = Board(slots=2 * deployment.workers + 1, cells=CELLS)
        self._meters, self._records = Meters(self._board, 0), Records()
        self._watching = Watching(watch, self._board, self._meters, self._say)
        # Not epoll, which children would share: what one of them lets go would be let go here.
        self._selector = selectors.PollSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._numbers = itertools.count(), itertools.count(1)
        self._current: Generation | None = None
        self._coming: Generation | None = None
        self._leaving: list[Child] = []
        log = deployment.log
        self._rotation = Rotation(log, self._say) if log is not None else None
        self._error: SurefootError | None = None
        self._ending, self._asked, self._deaths = False, False, 0
        self._wakened, self._waker = socket.socketpair()

    def __enter__(self) -> Self:
        """Take the signals."""
        for end in (self._wakened, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in OWN:
            signal.signal(number, lambda *_: None)
        self._selector.register(self._wakened, selectors.EVENT_READ, self._signalled)
        self._selector.register(self._records.reader, selectors.EVENT_READ, self._recorded)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no child and no folder behind."""
        for one in self._children():
            one.kill()
            one.ended(wait=True)
        self._watching.save()
        if self._rotation is not None:
            self._rotation.end()
        signal.set_wakeup_fd(-1)
        for generation in self._generations():
            generation.copy.remove()
        for held in (self._selector, self._wakened, self._waker, self._records, self._listener):
            held.close()

    def run(self) -> None:
        """Serve until told to end.

        Raises:
            SurefootError: It cannot begin.
        """
        self._begin()
        self._later(ROTATE_S, self._rotate)
        while self._error is None and (self._children() or not self._ending):
            for key, _ in self._selector.select(self._until_timer()):
                key.data()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()
            if self._asked and not (self._coming or self._leaving or self._ending):
                self._asked = False
                self._reload()
        if self._error is not None:
            raise self._error

    # A bundle begins.

    def _begin(self) -> None:
        """Start the next generation: its workers load libraries while its bundle is read."""
        self._watching.keep(one.post.generation for one in self._generations())
        deployment = self._deployment
        access = read_access(deployment.api_key_file)
        certificate = read_certificate(deployment.tls_certificate, deployment.tls_key)
        copy = Copy()
        post = Post(
            supervisor=os.getpid(),
            generation=next(self._numbers),
            folder=copy.folder,
            bundle=self._bundle,
            deployment=deployment,
            access=access,
            certificate=certificate,
            listener=self._listener,
            board=self._board,
            records=self._records,
            force=self._force,
        )
        self._coming = generation = Generation(post=post, copy=copy)
        try:
            generation.preparer = preparer = fork(lambda link: _prepare(post, link), self._held())
            self._listen_to(preparer, lambda: self._prepared(generation))
            for _ in range(deployment.workers):
                self._hire(generation)
        except OSError as error:
            self._refuse(generation, _no_process(error))
            return
        self._later(OPENING_S, lambda: self._too_late(generation))

    def _hire(self, generation: Generation) -> None:
        slot = self._free[-1]
        worker = fork(lambda link: answer(generation.post, slot, link), self._held(), slot)
        self._free.remove(slot)
        generation.workers.append(worker)
        self._listen_to(worker, lambda: self._said(generation, worker))
        if generation.prepared is not None:
            worker.send(b"open")

    def _prepared(self, generation: Generation) -> None:
        """Hear what the child found that looked into the bundle."""
        preparer = generation.preparer
        if preparer is None:
            return
        found = preparer.heard()
        how = ending(preparer.ended(wait=True) or 0)
        self._forget(preparer)
        generation.preparer = None
        if found is None:
            found = {"error": f"the process that reads the bundle {how}", "code": 2}
        if "error" in found:
            self._refuse(generation, found)
            return
        generation.prepared = Prepared(
            lean=found["lean"], routes=tuple(found["routes"]), said=tuple(found["said"])
        )
        name_models(self._board, generation.prepared.routes)
        for worker in generation.workers:
            worker.send(b"open")

    def _said(self, generation: Generation, worker: Child) -> bool:
        """Hear a worker; says whether it may say more."""
        if worker.link.closed:  # heard, ended and forgotten in the same round of the loop
            return False
        found = worker.heard()
        if found is None:
            with suppress(KeyError):
                self._selector.unregister(worker.link)  # it has ended, which a signal tells
            return False
        if isinstance(found, dict):
            self._failed(generation, found)
        else:
            steps = {"opened": self._opened, "serving": self._serves, "stopped": self._stopped}
            steps[found](generation, worker)
        return True

    def _failed(self, generation: Generation, found: Mapping[str, Any]) -> None:
        if generation is self._coming:
            self._refuse(generation, found)
        elif generation is self._current:
            self._say(f"a worker cannot begin: {self._named(generation, found)}")

    def _opened(self, generation: Generation, worker: Child) -> None:
        """A worker has its models open; all of a generation begin at once."""
        worker.stage = "opened"
        if self._watching.begun(generation.post.generation):
            worker.send(b"go")
        elif generation is self._coming and generation.all("opened"):
            try:
                self._watching.begin(generation.post.generation, generation.copy.folder)
            except OSError as error:
                what = f"what safe mode starts from cannot be read: {error.strerror}"
                self._refuse(generation, {"error": what, "code": 2})
                return
            for one in generation.workers:
                one.send(b"go")

    def _serves(self, generation: Generation, worker: Child) -> None:
        worker.stage, worker.since = "serving", time.monotonic()
        self._count()
        if generation is self._coming and generation.all("serving"):
            self._take_over(generation)

    def _stopped(self, generation: Generation, worker: Child) -> None:
        """A worker listens no more: it was told to leave, or somebody ended this one alone."""
        if worker.stage == "serving" and not self._ending:
            generation.workers.remove(worker)
            self._leaving.append(worker)
            self._later(self._limit(), worker.kill)
            self._fill(generation)
        worker.stage = "leaving"
        self._count()
        if self._ending and all(one.stage == "leaving" for one in self._children()):
            self._listener.close()

    def _take_over(self, generation: Generation) -> None:
        """Let a generation that answers be the one that stays."""
        before, self._current, self._coming = self._current, generation, None
        self._watching.take_over(generation.post.generation)
        assert generation.prepared is not None
        for line in generation.prepared.said:
            self._tell(line)
        if before is None:
            encrypted = generation.post.certificate is not None
            port = self._deployment.grpc_port
            more = "" if port is None else f", and at port {port} for gRPC"
            self._say(f"listening at {address(self._listener, encrypted=encrypted)}{more}")
            return
        self._meters.add("reloads", 1, "taken")
        self._say(f"answers with {printable(generation.lean)}, as the bundle has it now")
        for worker in before.workers:
            self._retire(worker)
        before.copy.remove()

    def _retire(self, worker: Child) -> None:
        """Let a worker end whose bundle is no more served."""
        if worker.stage == "serving":
            worker.send(b"retire")
        else:
            worker.kill()
        worker.stage = "leaving"
        self._leaving.append(worker)
        self._later(self._limit(), worker.kill)

    def _refuse(self, generation: Generation, found: Mapping[str, Any]) -> None:
        """Give up a generation that cannot begin; the one before it stays, if there is one."""
        text = self._named(generation, found)
        self._give_up(generation)
        if self._current is None:
            self._error = (MismatchError if found["code"] == 4 else BundleError)(text)
        else:
            self._not_taken(text)

    def _not_taken(self, why: str) -> None:
        self._meters.add("reloads", 1, "refused")
        lean = printable(self._current.lean) if self._current else ""
        self._say(f"reload refused: {why}; {lean} answers as before")

    def _give_up(self, generation: Generation) -> None:
        self._coming = None
        if generation.preparer is not None:
            generation.preparer.kill()
            generation.preparer.ended(wait=True)
            self._forget(generation.preparer)
            generation.preparer = None
        for worker in generation.workers:
            worker.kill()
            worker.stage = "leaving"
        self._leaving += generation.workers
        self._watching.keep(one.post.generation for one in self._generations())
        generation.copy.remove()

    def _too_late(self, generation: Generation) -> None:
        if generation is self._coming:
            what = f"the bundle could not be opened within {OPENING_S:g} seconds"
            self._refuse(generation, {"error": what, "code": 2})

    def _reload(self) -> None:
        try:
            self._begin()
        except SurefootError as error:
            self._not_taken(error.line())

    # A worker ends.

    def _reap(self) -> None:
        """See which workers have ended."""
        for worker in self._workers():
            status = worker.ended()
            if status is not None:
                self._ended(worker, status)

    def _ended(self, worker: Child, status: int) -> None:
        generation = next((g for g in self._generations() if worker in g.workers), None)
        if generation is not None and not self._ending:
            while worker.link.poll() and self._said(generation, worker):
                pass  # what it said before it ended
        told = worker.stage == "leaving" or self._ending
        self._forget(worker)
        forget_states(self._board, worker.slot)
        self._free.append(worker.slot)
        for workers in (self._leaving, *(g.workers for g in self._generations())):
            if worker in workers:
                workers.remove(worker)
        self._count()
        if not told and generation is not None:
            self._replace(generation, worker, f"a worker {ending(status)}")

    def _replace(self, generation: Generation, worker: Child, how: str) -> None:
        """Put another worker in the place of one that ended by itself."""
        self._meters.add("workers_died")
        lived = time.monotonic() - worker.since if worker.stage == "serving" else 0.0
        self._deaths = 1 if lived > QUICK_S else self._deaths + 1
        if generation is self._coming:
            if self._current is not None or self._deaths >= TRIES:
                self._refuse(generation, {"error": f"{how} before it answered", "code": 2})
            else:
                try:
                    self._hire(generation)
                except OSError as error:
                    self._refuse(generation, _no_process(error))
            return
        pause = min(PAUSE_S * 2 ** (self._deaths - 2), LONGEST_PAUSE_S) if self._deaths > 1 else 0
        self._say(f"{how}; another takes its place" + (f" in {pause:g} seconds" if pause else ""))
        self._later(pause, lambda: self._fill(generation))

    def _fill(self, generation: Generation) -> None:
        """Hire a worker for a generation that answers, as soon as there is a place for it."""
        if generation is not self._current or self._ending:
            return
        pause = PAUSE_S
        if self._free:
            try:
                self._hire(generation)
            except OSError as error:
                pause = HIRE_S
                self._say(f"{_no_process(error)['error']}; tried again in {pause:g} seconds")
            else:
                return
        self._later(pause, lambda: self._fill(generation))

    # The service ends.

    def _end(self) -> None:
        """Say that it is not ready, answer what is under way, and end."""
        if self._ending:
            return
        self._ending = True
        if self._coming is not None:
            self._give_up(self._coming)
        for worker in self._current.workers if self._current else ():
            if worker.stage == "serving":
                worker.send(b"end")
            else:
                worker.kill()
        self._later(LEAVE_S - 0.1, lambda: refuse_new(self._listener))
        self._later(self._limit(), self._kill)

    def _limit(self) -> float:
        """Seconds after which whoever was told to leave is not waited for."""
        return LEAVE_S + 2 * QUEUE_S + SETTLE_S + self._deployment.grace_seconds + 1.0

    def _kill(self) -> None:
        for one in self._children():
            one.kill()

    # What the loop hears.

    def _signalled(self) -> None:
        numbers = set(self._wakened.recv(4_096))
        if signal.SIGCHLD in numbers:
            self._reap()
        if signal.SIGHUP in numbers:
            self._asked = True
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            self._end()

    def _recorded(self) -> None:
        """Hand the guard what workers found out."""
        for number, record in self._records.receive():
            self._watching.pair(number, record)
        self._watching.heed()

    def _rotate(self) -> None:
        """Let finished segments of the decision log become tables."""
        if self._rotation is not None:
            self._rotation.begin()
            self._later(ROTATE_S, self._rotate)

    def _listen_to(self, one: Child, call: Callable[[], Any]) -> None:
        self._selector.register(one.link, selectors.EVENT_READ, call)

    def _forget(self, one: Child) -> None:
        with suppress(KeyError):
            self._selector.unregister(one.link)
        one.link.close()

    def _count(self) -> None:
        self._meters.set("workers", sum(one.stage == "serving" for one in self._workers()))

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def _until_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _say(self, text: str) -> None:
        self._tell(f"surefoot: {text}")

    @staticmethod
    def _named(generation: Generation, found: Mapping[str, Any]) -> str:
        """An error as the user knows the bundle, of which a copy is served."""
        post = generation.post
        return str(found["error"]).replace(str(post.folder), str(post.bundle))

    def _held(self) -> list[Any]:
        """What no child may hold open: who waits for its end would wait for that child too."""
        return [self._wakened, self._waker, *(one.link for one in self._children())]

    def _generations(self) -> Iterator[Generation]:
        yield from (one for one in (self._current, self._coming) if one is not None)

    def _workers(self) -> list[Child]:
        return [*self._leaving, *(one for g in self._generations() for one in g.workers)]

    def _children(self) -> list[Child]:
        preparers = [g.preparer for g in self._generations() if g.preparer]
        return [*preparers, *self._workers()]


def _no_process(error: OSError) -> dict[str, Any]:
    return {"error": f"no process can be started: {error.strerror}", "code": 2}


def _prepare(post: Post, link: Connection) -> None:
    """What the child does that looks into the bundle, and takes its libraries with it."""
    from surefoot.serve.prepare import prepare

    try:
        link.send_bytes(json.dumps(asdict(prepare(post.bundle, post.folder))).encode())
    finally:
        post.clear()
