"""Short records from workers to their supervisor, through one pipe that never blocks a worker."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress

SIZE = 64
"""Bytes of a record with its head: far fewer than the system writes in one piece."""
_HEAD = struct.Struct("=IH")  # the generation that it is of, and how long it is
LONGEST = SIZE - _HEAD.size
"""Bytes that a record may hold."""
_ROOM = 1 << 20
_AT_ONCE = 1_024
_SET_ROOM = 1031  # F_SETPIPE_SZ, of Linux alone


class Records:
    """The pipe, made before the first fork.

    A write of so few bytes happens whole or not at all, so that records of several processes never
    mix.
    """

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        for end in (self.reader, self._writer):
            os.set_blocking(end, False)
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.fcntl(self._writer, _SET_ROOM, _ROOM)

    def send(self, generation: int, record: bytes) -> bool:
        """Leave a record; says whether there was room for it.

        Args:
            generation: Which bundle it is of.
            record: At most `LONGEST` bytes.

        Raises:
            ValueError: It is longer.
        """
        if len(record) > LONGEST:
            raise ValueError(f"a record of {len(record)} bytes, more than {LONGEST}")
        whole = _HEAD.pack(generation, len(record)) + record.ljust(LONGEST, b"\0")
        try:
            return os.write(self._writer, whole) == SIZE
        except (BlockingIOError, BrokenPipeError):
            return False

    def receive(self) -> Iterator[tuple[int, bytes]]:
        """The records that are there, at most 1,024, each with its generation."""
        try:
            found = os.read(self.reader, SIZE * _AT_ONCE)
        except BlockingIOError:
            return
        for start in range(0, len(found), SIZE):
            generation, length = _HEAD.unpack_from(found, start)
            begin = start + _HEAD.size
            yield generation, found[begin : begin + length]

    def close(self) -> None:
        """Close both ends in this process."""
        os.close(self.reader)
        os.close(self._writer)
