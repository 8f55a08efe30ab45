"""The other end of `processes`: a process that does jobs until no more come through its pipe."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from surefoot.core.errors import SurefootError

PR_SET_PDEATHSIG = 1
"""Of Linux's `sys/prctl.h`."""
OOM_SCORE = Path("/proc/self/oom_score_adj")
FIRST = 500
"""Of 1000: half of the machine's memory is added to what a process is judged to take."""


def _main() -> None:
    # Ctrl-C reaches the whole group; the process that started this one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(int(sys.argv[2]))
    _die_first()
    gone = suppress(EOFError, BrokenPipeError, ConnectionResetError)
    with Connection(int(sys.argv[1])) as pipe, gone:
        _serve(pipe)
    # Runtimes can hang in the destructors of their thread pools; there is nothing left to lose.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _die_with(parent: int) -> None:
    """End with the process that started this one, however it ends.

    Left alone, a long job would go on for nobody, and write beside a run that was begun again. The
    end of the pipe is seen only between two jobs; elsewhere than on Linux that has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before this was said
            os._exit(1)


def _die_first() -> None:
    """Where memory runs out, have the system end this process and not the one that started it."""
    with suppress(OSError, ValueError):
        if int(OOM_SCORE.read_text()) < FIRST:
            OOM_SCORE.write_text(str(FIRST))


def _serve(pipe: Connection) -> None:
    """Do what comes through the pipe until it ends."""
    # Code that the caller can import has to be found here too.
    known = pickle.loads(pipe.recv_bytes())  # noqa: S301  (from the process that started this)
    sys.path += [place for place in known if place not in sys.path]
    work = pickle.loads(pipe.recv_bytes())  # noqa: S301  (from the process that started this)
    try:
        with work() as do:
            while True:
                job = pickle.loads(pipe.recv_bytes())  # noqa: S301
                pipe.send(("done", do(job, lambda value: pipe.send(("said", value)))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    # size: whatever it is, it is raised again where the jobs came from
    except Exception as error:  # noqa: BLE001
        pipe.send(("raised", _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """The error, or one of the same text where it cannot be made again from what it holds.

    An exception is sent as its type and the arguments that it gave to `Exception`; one whose own
    arguments are others would end as a TypeError at the other end, and its reason would be lost.
    """
    try:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  (just made)
    # size: what a third party's error raises here may be anything
    except Exception:  # noqa: BLE001
        again = None
    if type(again) is type(error) and str(again) == str(error):
        return error
    if isinstance(error, SurefootError):
        return SurefootError(error.what, where=error.where, fix=error.fix)
    return RuntimeError(f"{type(error).__qualname__}: {error}")


if __name__ == "__main__":
    _main()
