"""The supervisor's side of safe mode: a guard for each bundle, and what its workers have to heed.

While a bundle takes the place of another, workers of both answer. Each heeds the guard of its own:
a threshold of one bundle promises nothing of another, nor does an alarm of one end with the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from surefoot.serve.board import Board, Safety
from surefoot.serve.meters import Meters


class Guard(Protocol):
    """Who watches whether the promise is kept."""

    @property
    def state(self) -> Safety:
        """What every worker has to heed."""

    def pair(self, record: bytes) -> None:
        """Take what a worker found out."""

    def figures(self) -> Mapping[str, float]:
        """What it knows, by the names of gauges."""

    def save(self) -> None:
        """Keep what it knows for the next start."""


Watch = Callable[[Path, Guard | None], Guard | None]
"""Makes the guard of a bundle from the copy that is served, or gives back the one that watches now
where it would watch over the same; None where nothing can be watched."""


class Watching:
    """The guards of all bundles that workers answer with.

    Args:
        watch: Makes them; None where nothing is watched.
        board: Where workers read what they have to heed.
        meters: Where the numbers of the guard go.
        say: Given a line when the promise ends, and when it holds again.
    """

    def __init__(
        self, watch: Watch | None, board: Board, meters: Meters, say: Callable[[str], None]
    ) -> None:
        self._watch, self._board, self._meters, self._say = watch, board, meters, say
        self._guards: dict[int, Guard | None] = {}
        self._published: dict[int, Safety] = {}
        self._current, self._said = 0, ""
        self._figures: Mapping[str, float] = {}

    def begin(self, generation: int, folder: Path) -> None:
        """Let workers know what to heed before they answer the first request.

        Args:
            generation: Of the bundle.
            folder: The copy of it.

        Raises:
            OSError: What the copy says of it cannot be read.
        """
        before = self._guards.get(self._current)
        self._guards[generation] = self._watch(folder, before) if self._watch else None
        self.heed()

    def begun(self, generation: int) -> bool:
        """Whether workers of a bundle may answer."""
        return generation in self._guards

    def take_over(self, generation: int) -> None:
        """Let the guard of a bundle be the one that is told of and listened to."""
        before, self._current = self._guards.get(self._current), generation
        if before is not None and before is not self._guards[generation]:
            before.save()
        self.heed()

    def keep(self, generations: Iterable[int]) -> None:
        """Forget all but some bundles: nobody answers with the others any more."""
        kept = set(generations)
        self._guards = {one: guard for one, guard in self._guards.items() if one in kept}

    def pair(self, generation: int, record: bytes) -> None:
        """Hand on what a worker found out, if it is about what is watched."""
        guard = self._guards.get(generation)
        if guard is not None and guard is self._guards.get(self._current):
            guard.pair(record)

    def heed(self) -> None:
        """Let every worker know what the guards say, and every page and whoever reads along."""
        states = {one: guard.state for one, guard in self._guards.items() if guard is not None}
        if states != self._published:
            self._board.publish(states)
            self._published = states
        current = self._guards.get(self._current)
        reason = current.state.reason if current is not None else ""
        if reason != self._said and current is not None:
            self._say(f"ALARM: {reason}" if reason else "the promise holds again")
        self._said = reason
        # Where nothing is watched any more, nothing that was found out before still counts.
        gone = dict.fromkeys(self._figures, 0.0)
        self._figures = current.figures() if current is not None else gone
        for name, value in self._figures.items():
            self._meters.set(name, value)

    def save(self) -> None:
        """Keep what is known for the next start."""
        guard = self._guards.get(self._current)
        if guard is not None:
            guard.save()
