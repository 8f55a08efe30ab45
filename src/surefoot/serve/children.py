"""The children of a supervisor: how they are forked, and what they say."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any, Literal

from surefoot.serve.copies import Copy
from surefoot.serve.prepared import Prepared
from surefoot.serve.worker import Post, child

Stage = Literal["new", "opened", "serving", "leaving"]
"""Loads; has its models open; answers; or was told to leave, or leaves by itself."""
OWN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""What the supervisor is told by."""


@dataclass(slots=True, kw_only=True, eq=False)
class Child:
    """A process that was forked, until it has been waited for."""

    pid: int
    """Its id; 0 from when it was waited for, since another process may have it then."""
    link: Connection
    """To it."""
    slot: int = 0
    """Of a worker: whose numbers are its own."""
    stage: Stage = "new"
    """Of a worker: how far it is."""
    since: float = 0.0
    """Of a worker: from when it has answered."""

    def send(self, word: bytes) -> None:
        """Tell it something; one that has ended is about to be missed anyway."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.link.send_bytes(word)

    def heard(self) -> Any:
        """What it says; None where it says no more."""
        try:
            return json.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            return None

    def kill(self) -> None:
        """End it at once."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def ended(self, *, wait: bool = False) -> int | None:
        """The status with which it ended; None while it runs.

        Args:
            wait: Whether to wait until it has.
        """
        pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        return status


@dataclass(slots=True, kw_only=True, eq=False)
class Generation:
    """One bundle, and those who answer with it."""

    post: Post
    """What they share."""
    copy: Copy
    """The folder of the copy that they open."""
    preparer: Child | None = None
    """Who looks into the bundle, for as long as that takes."""
    prepared: Prepared | None = None
    """What it found."""
    workers: list[Child] = field(default_factory=list)
    """Those who answer, or will."""

    @property
    def lean(self) -> str:
        """The name of its lean model."""
        return self.prepared.lean if self.prepared else ""

    def all(self, stage: Stage) -> bool:
        """Whether all of its workers are as far."""
        return all(one.stage == stage for one in self.workers)


def fork(work: Callable[[Connection], None], close: Iterable[Any], slot: int = 0) -> Child:
    """Fork a process that does some work.

    Args:
        work: Given its link to this process.
        close: What this process has open and that one must not hold open.
        slot: Whose numbers are its own.

    Raises:
        OSError: The system has no room for another process, or none for its link.
    """
    here, there = Pipe()
    # A signal in between would wake the parent by the descriptor that both still share.
    signal.pthread_sigmask(signal.SIG_BLOCK, OWN)
    try:
        pid = os.fork()
        if not pid:
            child(lambda: work(there), there, [here, *close])
    except OSError:
        here.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OWN)
        there.close()
    return Child(pid=pid, link=here, slot=slot)


def ending(status: int) -> str:
    """How a process ended, in words.

    Args:
        status: As the system gives it.
    """
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
