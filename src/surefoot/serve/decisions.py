"""The decision log: what was answered, by whom and with which promise; it holds no request up.

A request adds its decisions to a queue of bounded length; a thread writes them to segments. What
finds no room, in the queue or on the disk, is dropped and counted, and the count stands in the log
where the decisions would have stood.
"""

from __future__ import annotations

import errno
import hmac
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from surefoot.core.errors import BundleError
from surefoot.serve.segments import Segments

Inputs = Literal["hashes", "rows"]
"""How inputs are logged: as keyed hashes, or as they are."""

HELD = 10_000
"""Decisions and labels that may wait to be written; more are dropped."""
HELD_BYTES = 32_000_000
"""Of the inputs of those."""
GATHER_S = 0.05
"""A decision may wait so long in memory: what a killed process loses."""
RETRY_S = 1.0
"""Between two attempts to write to a disk that is full."""
BATCH = 16
"""Lines of a write: few, since a request waits while they are put into words."""
KEY = "input-key"
"""The file of the key in the folder of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answered row."""

    id: str
    """Of `DecisionIds`; labels come back by it."""
    time: float
    """Seconds since 1970."""
    request: str
    """The id of the request that it came in."""
    route: str
    """The model that answered, or `abstain`."""
    label: str
    """The answer; empty where nobody answered."""
    confidence: float
    """Of whoever answered, or of the lean model."""
    promise: str
    """`held`, or `void: ` and why."""
    epoch: int
    """Which threshold it was, counted from 0 as safe mode changes it."""
    model: str
    """The fingerprint of the lean model."""
    input: str | np.ndarray
    """The row as it came; what of it is written is the log's business."""
    ms: float
    """Milliseconds from the request to the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What turned out to be true of a decision."""

    id: str
    """The decision's."""
    label: str
    """The true class."""


class DecisionIds:
    """Ids that sort as they were given, also when the clock is set back.

    UUIDs of version 7 (RFC 9562, method 2: within a millisecond, and while the clock shows an
    earlier one, the random part grows by a random step).

    Args:
        clock: Nanoseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock, self._ms, self._tail = clock, -1, 0
        self._random, self._at = b"", 0

    def next(self) -> str:
        """An id that no other process gives, larger than the one before."""
        now = self._clock() // 1_000_000
        tail = self._tail + 1 + self._drawn(4)
        if now > self._ms or tail >> 74:
            self._ms = max(now, self._ms + 1)
            tail = self._drawn(10) >> 7  # 73 bits: there is room to grow
        self._tail = tail
        high = (self._ms << 16) | 0x7000 | (tail >> 62)
        low = (1 << 63) | (tail & ((1 << 62) - 1))
        text = f"{high:016x}{low:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _drawn(self, size: int) -> int:
        """A random number of so many bytes; the system is asked for many at once."""
        if self._at + size > len(self._random):
            self._random, self._at = os.urandom(4_096), 0
        self._at += size
        return int.from_bytes(self._random[self._at - size : self._at])


class DecisionLog:
    """The log of one process: added to by one thread, written by another.

    Args:
        folder: Where segments lie; made where there is none.
        worker: The process's number, for the names of its files.
        inputs: Whether rows are logged as they are.

    Raises:
        BundleError: The folder, or the key in it, cannot be read or written.
    """

    def __init__(self, folder: Path, worker: int, *, inputs: Inputs = "hashes") -> None:
        self.dropped = 0
        _make(folder)
        self._key = read_key(folder) if inputs == "hashes" else None
        self._queue: deque[Decision | Label] = deque()
        self._came = self._gone = self._told = self._lost = 0
        self._wake, self._closing = threading.Event(), threading.Event()
        self._decisions = Segments(folder, f"decisions-{worker}")
        self._labels = Segments(folder, f"labels-{worker}")
        self._thread = threading.Thread(target=self._write, name="decision log", daemon=True)
        self._thread.start()

    @property
    def waits(self) -> bool:
        """Whether a decision is not written yet."""
        return self._gone != self._came

    def add(self, decision: Decision) -> bool:
        """Log a decision; never waits, and says whether there was room."""
        size = _size(decision.input)
        full = len(self._queue) >= HELD or self._came - self._gone + size > HELD_BYTES
        if full or self._closing.is_set():
            self.dropped += 1
            return False
        self._came += size
        self._queue.append(decision)
        if not self._wake.is_set():
            self._wake.set()
        return True

    def add_labels(self, labels: Sequence[Label]) -> bool:
        """Log what turned out to be true: all of it, or nothing where there is no room."""
        if len(self._queue) + len(labels) > HELD or self._closing.is_set():
            return False
        self._queue.extend(labels)
        self._wake.set()
        return True

    def close(self, seconds: float = 5.0) -> int:
        """Write what is held, and end; gives the number of decisions that were dropped.

        Args:
            seconds: How long a disk that does not answer may take.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)
        return self.dropped + self._lost

    def _write(self) -> None:
        ended = False
        while not ended:
            self._wake.wait(self._decisions.seconds)
            self._closing.wait(GATHER_S)
            self._wake.clear()
            while self._queue:
                held = min(len(self._queue), BATCH)
                self._store_or_drop([self._queue.popleft() for _ in range(held)])
            ending = self._closing.is_set()
            with suppress(Exception):  # as below: what ends this thread ends the log
                self._tell_dropped()
            for segments in (self._decisions, self._labels):
                with suppress(Exception):  # its lines were written, and the next segment begins
                    segments.finish(old=not ending)
            ended = ending and not self._queue

    def _store_or_drop(self, batch: Sequence[Decision | Label]) -> None:
        """Write a batch; whatever is wrong with it, the thread goes on."""
        decisions = [one for one in batch if isinstance(one, Decision)]
        try:
            self._store(batch)
        except Exception:  # size: the outermost line of the thread  # noqa: BLE001
            self._lost += len(decisions)
        # Only now, so that what waits for the disk counts as held.
        self._gone += sum(_size(one.input) for one in decisions)

    def _store(self, batch: Sequence[Decision | Label]) -> None:
        """Write a batch; while the disk is full try again, and give up when told to end."""
        decisions = [one for one in batch if isinstance(one, Decision)]
        labels = [one for one in batch if isinstance(one, Label)]
        left = [
            (self._decisions, self._lines(decisions)),
            (self._labels, b"".join(map(_label_line, labels))),
        ]
        while left:
            try:
                self._tell_dropped()
                left[0][0].append(left[0][1])
                left.pop(0)
            except OSError:
                if self._closing.wait(RETRY_S):
                    self._lost += len(decisions) if len(left) > 1 else 0
                    break

    def _tell_dropped(self) -> None:
        """A line where decisions are missing."""
        missing = self.dropped + self._lost - self._told
        if missing:
            line = {"id": "", "time": time.time(), "dropped": missing}
            self._decisions.append(_encoded(line))
            self._told += missing

    def _lines(self, decisions: Sequence[Decision]) -> bytes:
        found = []
        for one in decisions:
            try:
                found.append(self._line(one))
            except ValueError:  # half a character, which no JSON can hold, takes none with it
                self._lost += 1
        return b"".join(found)

    def _line(self, decision: Decision) -> bytes:
        row = decision.input
        if self._key is not None:
            row = input_hash(self._key, row)
        return _encoded(
            {
                "id": decision.id,
                "time": decision.time,
                "request": decision.request,
                "route": decision.route,
                "label": decision.label,
                "confidence": decision.confidence,
                "promise": decision.promise,
                "epoch": decision.epoch,
                "model": decision.model,
                "input": row if isinstance(row, str) else row.tolist(),
                "ms": decision.ms,
            }
        )


def input_hash(key: bytes, row: str | np.ndarray) -> str:
    """What stands for an input in the log: nobody without the key can tell which it was.

    A keyed hash (HMAC-SHA-256, RFC 2104), since short texts could be guessed from a plain one.

    Args:
        key: Of `read_key`.
        row: A raw input.
    """
    if isinstance(row, str):
        content = row.encode("utf-8", "surrogatepass")
    else:
        content = f"{row.dtype.str}{row.shape}".encode() + row.tobytes()
    return hmac.digest(key, content, "sha256").hex()


def read_key(folder: Path) -> bytes:
    """The key of the hashes in a log; made when it is first needed, for its owner alone.

    Args:
        folder: Of the log.

    Raises:
        BundleError: It cannot be read or written, or is none.
    """
    file, part = folder / KEY, folder / f".{KEY}-{os.getpid()}"
    _make(folder)
    try:
        if not file.exists():
            part.touch(mode=0o600)
            part.write_bytes(os.urandom(32).hex().encode())
            try:
                os.link(part, file)  # whole, and never in place of another process's
            except FileExistsError:
                pass
            finally:
                part.unlink()
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "is no key"
        raise BundleError(
            f"the key of the decision log: {said}", where=str(file), fix="see to its owner and mode"
        ) from error
    if len(key) < 16:
        raise BundleError("is too short for a key", where=str(file))
    return key


def _make(folder: Path) -> None:
    """Make the folder of a log, so that what is wrong with it is said when a service starts."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BundleError(
            f"no folder for a decision log: {error.strerror}",
            where=str(folder),
            fix="name one under log that can be written to",
        ) from error


def _size(row: str | np.ndarray) -> int:
    return 1 + (len(row) if isinstance(row, str) else row.nbytes)


def _label_line(label: Label) -> bytes:
    return _encoded({"id": label.id, "label": label.label, "time": time.time()})


def _encoded(line: dict[str, object]) -> bytes:
    import msgspec

    return msgspec.json.encode(line) + b"\n"
