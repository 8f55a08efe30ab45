"""Files that one process appends lines to, and that others may take when it is done with them.

Whoever writes a segment holds a lock on it. The lock goes with the process, so the segments of one
that was killed are free at once, and no name or number has to tell who is alive.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BYTES = 16_000_000
"""Of a segment; then the next one begins."""
SECONDS = 300.0
"""Age of a segment; then the next one begins."""
SUFFIX = ".jsonl"


class Segments:
    """The segments of one kind of line, one after the other.

    Args:
        folder: Where they lie; made where there is none.
        name: What their names begin with.
        size: Bytes at which the next one begins.
        seconds: Age at which the next one begins.
    """

    def __init__(
        self, folder: Path, name: str, *, size: int = BYTES, seconds: float = SECONDS
    ) -> None:
        self.folder, self.name, self.size, self.seconds = folder, name, size, seconds
        self._file: int | None = None
        self._length, self._began = 0, 0.0

    def append(self, lines: bytes) -> None:
        """Write whole lines: all of them, or none.

        Args:
            lines: Each with its end.

        Raises:
            OSError: The disk is full, or the folder cannot be written to.
        """
        if not lines:
            return
        self.finish(old=True)
        file = self._open()
        try:
            written = 0
            while written < len(lines):
                written += os.write(file, lines[written:])
        except OSError:
            self._undo(file)
            raise
        self._length += len(lines)
        if self._length >= self.size:
            self.finish()

    def finish(self, *, old: bool = False) -> None:
        """Let others have the segment; with `old` only one that has reached its age or is gone."""
        if self._file is None:
            return
        young = time.monotonic() - self._began < self.seconds
        if old and young and os.fstat(self._file).st_nlink:
            return
        file, self._file = self._file, None  # closed it is too where closing fails
        os.close(file)

    def _open(self) -> int:
        while self._file is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The wall clock for the eye, random bytes so that no two processes share a name.
            path = self.folder / f"{self.name}-{time.time_ns():020}-{os.urandom(4).hex()}{SUFFIX}"
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken = not os.fstat(file).st_nlink
            except OSError:
                taken = True
            if taken:  # by somebody who tidies up, before it was locked
                os.close(file)
            else:
                self._file, self._length, self._began = file, 0, time.monotonic()
        return self._file

    def _undo(self, file: int) -> None:
        """Leave no half line; where a file may grow no further, the next one has to begin."""
        try:
            os.ftruncate(file, self._length)
        finally:
            if self._length:
                self.finish()


class Rotation:
    """Has finished segments turned into tables, in a process of its own.

    Args:
        folder: Of a decision log.
        say: Given a line where that cannot be done; once, until it is another.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._process: subprocess.Popen[bytes] | None = None
        self._said = ""

    def begin(self) -> None:
        """Start that process if there is anything to do for it, and none that does it."""
        if self._process is not None and self._process.poll() is None:
            return
        said = ""
        try:
            command = rotation_command(self._folder)
            if command:
                self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        except OSError as error:
            said = f"{error.filename or self._folder}: {error.strerror}"
        if said and said != self._said:
            self._say(f"the decision log cannot be tidied up: {said}; it is tried again")
        self._said = said

    def end(self) -> None:
        """End that process; the next one finishes what it has begun."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def rotation_command(folder: Path) -> list[str]:
    """The command that turns finished segments into tables, in a process of its own.

    Args:
        folder: Of a decision log.

    Returns:
        The command; nothing where no segment is finished.

    Raises:
        OSError: None is finished, as far as can be told, and one cannot be looked at.
    """
    failed: OSError | None = None
    for segment in folder.glob(f"*{SUFFIX}"):
        try:
            with taken(segment) as free:
                if free:
                    return [sys.executable, "-m", "surefoot.serve.rotation", str(folder)]
        except OSError as error:
            error.filename = error.filename or str(segment)
            failed = error
    if failed is not None:
        raise failed
    return []


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Whether nobody writes a segment any more; while the block runs nobody else has it either.

    Args:
        path: The segment; what is no file is nobody's to take.

    Raises:
        OSError: It cannot be opened, or the file system has no lock for it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for who writes to it
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            yield False
        else:
            found = os.fstat(file)
            yield bool(found.st_nlink) and stat.S_ISREG(found.st_mode)
    finally:
        os.close(file)
