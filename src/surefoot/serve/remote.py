"""An endpoint where a model would be: asked by many at once, each within its time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import numpy as np

from surefoot.core.errors import RemoteError
from surefoot.serve.lanes import Busy, Late, Recent

if TYPE_CHECKING:
    from surefoot.evaluate.remote import Replied

MOST = 64
"""Requests under way at once; who comes on top of them is refused at once."""
Ask = Callable[[np.ndarray, float], "Awaitable[Replied]"]


class Remote:
    """An endpoint in the place of a lane.

    Args:
        ask: Sends rows, and gives what it says of them.
        classes: How many there are.
        close: Lets go of its connections.
    """

    inline = False

    def __init__(self, ask: Ask, classes: int, close: Callable[[], None]) -> None:
        self._ask, self._classes, self.close = ask, classes, close
        self._under_way, self._recent = 0, Recent()

    @property
    def idle(self) -> bool:
        """Whether nobody asks it."""
        return not self._under_way

    def slow(self) -> float:
        """Seconds of a row that 95 of 100 recent requests stayed below; 0 before there are some."""
        return self._recent.slow()

    async def __call__(
        self, rows: np.ndarray, until: float = np.inf, *, first: bool = False
    ) -> np.ndarray:
        """(n, classes) scores of rows.

        Where it tells labels alone, the class it named has its confidence, NaN if that is not told
        either, and the others 0; all are 0 where it named no class.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.
            first: Whether they are never refused.

        Raises:
            Late: `until` has come.
            Busy: Too many ask.
            RemoteError: It gives no answer.
        """
        if self._under_way >= MOST and not first:
            raise Busy(max(1, round(self.slow())))
        began = time.monotonic()
        self._under_way += 1
        try:
            said = await self._ask(rows, until)
        except RemoteError as error:
            if error.fault == "deadline":
                raise Late from None
            raise
        finally:
            self._under_way -= 1
        self._recent.learn((time.monotonic() - began) / len(rows))
        if said.scores is not None:
            # One that abstains has scores too; it named no class all the same.
            return np.where((said.predicted >= 0)[:, None], said.scores, 0.0)
        scores, known = np.zeros((len(rows), self._classes)), np.flatnonzero(said.predicted >= 0)
        scores[known, said.predicted[known]] = said.confidence[known]
        return scores
