"""Whether models answer golden inputs right, in time, and lately: only then is a service ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import numpy as np

from surefoot.core.errors import SurefootError
from surefoot.models import golden_broken
from surefoot.serve.flow import Stage
from surefoot.serve.lanes import Late

EVERY_S = 5.0
"""Seconds between two looks."""
WITHIN_S = 2.0
"""Seconds within which golden inputs must be answered."""
LATELY_S = 30.0
"""Seconds after which good answers count no more."""


class Readiness:
    """Asks models what they must know, again and again.

    Args:
        stages: The models.
        golden: Of each model that has some, inputs and what it says to them.
    """

    def __init__(
        self, stages: Sequence[Stage], golden: Mapping[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self._asked = [(stage, *golden[stage.name]) for stage in stages if stage.name in golden]
        self._good, self.trouble = time.monotonic(), ""
        self.leaving = False
        """Whether the service is told to end."""

    @property
    def ready(self) -> bool:
        """Whether requests are to be sent here."""
        return not self.leaving and not self.why()

    def why(self) -> str:
        """Why it is not ready, if so."""
        if self.trouble:
            return self.trouble
        late = time.monotonic() - self._good
        return f"golden inputs were answered {late:.0f} seconds ago" if late > LATELY_S else ""

    async def watch(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask each model once."""
        self.trouble = "; ".join([said for one in self._asked if (said := await _trouble(*one))])
        if not self.trouble:
            self._good = time.monotonic()


async def _trouble(stage: Stage, inputs: np.ndarray, expected: np.ndarray) -> str:
    try:
        found = await stage.lane(inputs, time.monotonic() + WITHIN_S, first=True)
    except Late:
        return f"{stage.name} does not answer within {WITHIN_S:g} seconds"
    except SurefootError as error:
        return f"{stage.name} fails: {error.what}"
    if golden_broken(found, expected).any():
        return f"{stage.name} gives other answers to golden inputs"
    return ""
