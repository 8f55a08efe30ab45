"""One process that answers: from its fork until it is told to leave."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from surefoot.core.errors import MachineError, MismatchError, SurefootError
from surefoot.core.hashing import hash_file
from surefoot.core.printable import printable
from surefoot.serve.access import Access
from surefoot.serve.board import Board
from surefoot.serve.deployment import Deployment
from surefoot.serve.records import Records

if TYPE_CHECKING:
    from surefoot.serve.traces import Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What every worker of a generation has in common, and inherits by its fork."""

    supervisor: int
    """The process that forks them all."""
    generation: int
    """Which bundle, counted from 1."""
    folder: Path
    """The copy of it that is served."""
    bundle: Path
    """What the user calls it."""
    deployment: Deployment
    """How it runs."""
    access: Access
    """Who may ask."""
    certificate: ssl.SSLContext | None
    """What connections are encrypted with."""
    listener: socket.socket
    """Where it listens."""
    board: Board
    """The numbers of all processes."""
    records: Records
    """The pipe to the supervisor."""
    force: bool
    """Whether a model without a PASS may be served."""

    def clear(self) -> None:
        """Remove the copy of the bundle if nobody else is left who would."""
        if os.getppid() != self.supervisor:
            shutil.rmtree(self.folder, ignore_errors=True)


def child(work: Callable[[], None], link: Connection, close: Iterable[Any]) -> NoReturn:
    """Be a forked process: do some work, say what went wrong, and end without a trace of the fork.

    Args:
        work: What it does.
        link: Where it says an error, as `{"error": …, "code": …}`.
        close: What the supervisor has open and it must not hold open.
    """
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # A terminal sends these to every process; what is to be done the supervisor decides.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for one in close:
            one.close()
        gc.freeze()
        work()
        code = 0
    except SurefootError as error:
        code = 4 if isinstance(error, MachineError | MismatchError) else 2
        _say(link, {"error": error.line(), "code": code})
    except BaseException as error:  # size: the outermost line of the process
        what = f"{type(error).__name__}: {printable(str(error))}"
        _say(link, {"error": f"internal error, {what}; please report it", "code": 2})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(post: Post, slot: int, link: Connection) -> None:
    """Open the models, wait for the word to begin, and answer until told to leave.

    What it says on its link: `opened`, `serving`, `stopped`. What it is told: `open`, `go`, and
    then `end` or `retire`.

    Args:
        post: What it shares with the other workers.
        slot: Which numbers are its own.
        link: To the supervisor.

    Raises:
        SurefootError: A model cannot be opened, or is not what the bundle says it is.
    """
    try:
        _answer(post, slot, link)
    finally:
        post.clear()


def _answer(post: Post, slot: int, link: Connection) -> None:
    from surefoot.serve.decisions import DecisionLog
    from surefoot.serve.flow import Comparing
    from surefoot.serve.journal import Journal, heeding, sender
    from surefoot.serve.listen import Listening
    from surefoot.serve.meters import Meters
    from surefoot.serve.prepared import read_prepared
    from surefoot.serve.readiness import Readiness
    from surefoot.serve.router import open_router
    from surefoot.serve.safety import read_terms
    from surefoot.serve.service import Service

    _load()
    if not _told(link, b"open"):
        return
    data = json.loads((post.folder / "verdict.json").read_bytes())
    (found, plan), deployment = read_prepared(post.folder), post.deployment
    opened = open_router(post.folder, data, found, plan, deployment.threads, force=post.force)
    with opened as models:
        traces = _traces(found.lean) if deployment.traces else None
        asked = traces.opened(models) if traces else models
        meters, ready = Meters(post.board, slot), Readiness(models.everyone, models.golden)
        standing = heeding(models.standing(), post.board, post.generation)
        terms = read_terms(post.folder)
        pairs = sender(lambda record: post.records.send(post.generation, record), meters)
        comparing = Comparing(share=terms.shadow, pairs=pairs) if terms else None
        flow = asked.flow(standing, comparing)
        service = Service(asked, flow, ready, meters, deployment, post.access)
        log = None
        if deployment.log is not None:
            log = DecisionLog(deployment.log, slot, inputs=deployment.log_inputs)
        service.status.bundle = hash_file(post.folder / "manifest.json")
        service.journal, service.traces = Journal(models.model, meters, log), traces
        server = Listening(service, post.listener, post.certificate, post.board, slot)
        _say(link, "opened")
        if _told(link, b"go"):
            server.run(lambda: _say(link, "serving"), lambda: _say(link, "stopped"), link)
        service.journal.close()
        if traces:
            traces.close()


def _traces(model: str) -> Traces:
    from surefoot.serve.traces import Traces

    return Traces(model)


def _load() -> None:
    """Import what takes time while the bundle is still being read."""
    import numpy  # noqa: ICN001
    import onnxruntime
    import uvicorn.protocols.http.httptools_impl

    del numpy, onnxruntime, uvicorn


def _told(link: Connection, word: bytes) -> bool:
    """Wait for a word; any other, or a supervisor that has gone, is the end."""
    try:
        return link.recv_bytes() == word
    except (EOFError, OSError):
        return False


def _say(link: Connection, what: Any) -> None:
    try:
        link.send_bytes(json.dumps(what).encode())
    except (BrokenPipeError, ConnectionResetError):
        return  # the supervisor has gone, which the next look at the link tells
