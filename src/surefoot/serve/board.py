"""Memory that the processes of a service share: numbers that each adds up, and two notices.

It is made before the first fork and has no name that another program could open. No lock guards
it, which a process that is killed could never give back: every cell has one writer, and a notice
that is read while it is written does not fit its checksum.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

NOTICE = 16_384
"""Bytes of a notice at most."""
_HEAD = struct.Struct("=II")  # how long the text is, and its CRC-32


@dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """What every worker heeds in every request."""

    mode: Literal["normal", "alarm"] = "normal"
    """Whether the promise is kept."""
    threshold: float | None = None
    """The confidence from which answers stand, in place of the bundle's; None for the bundle's."""
    reason: str = ""
    """Why the promise is void; empty where it is not."""
    epoch: int = 0
    """How often that has changed since the service started."""


class Notice:
    """A text in shared memory that one process writes and any reads.

    Args:
        memory: Where it lies.
        at: Its first byte.
    """

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory, self._at = memory, at
        self._turn = memoryview(memory)[at : at + 8].cast("Q")
        self._seen, self._value = 0, None

    def write(self, value: Any) -> None:
        """Put another text in its place.

        Args:
            value: What JSON can hold.

        Raises:
            ValueError: It is too long.
        """
        text = json.dumps(value).encode()
        if len(text) > NOTICE - 8 - _HEAD.size:
            raise ValueError(f"a notice of {len(text):,} bytes, more than {NOTICE:,}")
        _HEAD.pack_into(self._memory, self._at + 8, len(text), zlib.crc32(text))
        begin = self._at + 8 + _HEAD.size
        self._memory[begin : begin + len(text)] = text
        self._turn[0] += 1

    def read(self) -> Any:
        """What it says; None before anything was written. It costs nothing until that changes."""
        turn = self._turn[0]
        if turn == self._seen:
            return self._value
        length, crc = _HEAD.unpack_from(self._memory, self._at + 8)
        begin = self._at + 8 + _HEAD.size
        text = self._memory[begin : begin + min(length, NOTICE)]
        if zlib.crc32(text) == crc:  # else it is being written, and the next look will see it
            self._value, self._seen = json.loads(text), turn
        return self._value


class Board:
    """The memory of one service.

    Args:
        slots: How many processes may write numbers.
        cells: How many numbers each has.
    """

    def __init__(self, slots: int, cells: int) -> None:
        self.slots, self.cells = slots, cells
        memory = mmap.mmap(-1, 2 * NOTICE + 8 * slots * (cells + 1))
        self.names = Notice(memory, NOTICE)
        """Texts that the numbers of every process are named by."""
        self._state = Notice(memory, 0)
        self._raw: Any = None
        self._nothing = Safety()
        self._states: Mapping[int, Safety] = {}
        numbers = memoryview(memory)[2 * NOTICE :].cast("d")
        self._numbers, self.crowd = numbers[: slots * cells], numbers[slots * cells :]
        """Of each process one more than it has connections; 0 where it takes none."""

    def slot(self, number: int) -> memoryview[float]:
        """The numbers of one process, eight bytes each, that are zero at first.

        Whoever takes the place of a process that ended goes on with its numbers, so that no sum of
        all ever goes back.
        """
        return self._numbers[number * self.cells : (number + 1) * self.cells]

    def sums(self) -> list[float]:
        """The sum of each cell over all processes."""
        numbers = self._numbers.tolist()
        return [sum(numbers[cell :: self.cells]) for cell in range(self.cells)]

    def publish(self, states: Mapping[int, Safety]) -> None:
        """Let every process know what the guards say; for the supervisor alone.

        Args:
            states: What they say, by the number of the bundle that they watch over.
        """
        self._state.write([[generation, asdict(state)] for generation, state in states.items()])

    def state(self, generation: int) -> Safety:
        """What a guard said last.

        Args:
            generation: The number of the bundle that it watches over.
        """
        raw = self._state.read()
        if raw is not self._raw:
            self._raw, self._states = raw, {number: Safety(**state) for number, state in raw}
        return self._states.get(generation, self._nothing)
