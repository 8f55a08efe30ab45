"""When to say no at once: to a request that waited while others did, and to a failing fallback."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable

SHORT_S, LONG_S = 0.05, 0.5
"""Seconds that a request may wait where others have been waiting for long, and else."""
CALLS = 32
"""As many calls as both are worth at least, whatever a call takes: so many clients, each of which
sends its next request when it has its answer, are never refused."""

WINDOW, FEWEST, MOST_FAILED = 20, 5, 0.5
"""A breaker opens where of the last calls, and at least so many, this share failed."""
PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Seconds before a failing fallback is tried again, twice as many after each try that fails."""
PROBES = 3
"""Tries in a row that have to succeed before requests are sent to it again."""


class Patience:
    """How long a request may have waited for a model, which falls where all of them wait.

    A queue that empties now and then is one that bursts fill, and everybody in it is served in
    time; one that never empties gives each request a wait for nothing. So waits of `LONG_S` are
    allowed as long as some request found nobody before it within that time, else `SHORT_S`, and
    the others are refused while they are young enough to go elsewhere (Nichols and Jacobson 2012,
    "Controlling queue delay"; Maurer 2015, "Fail at scale"). By Little's law a limit on the wait
    is one on the number of requests under way, which follows the model's pace by itself.
    """

    def __init__(self) -> None:
        self._calm = -float("inf")
        self._call_s = 0.0

    def learn(self, seconds: float) -> None:
        """Take in how long a call took."""
        self._call_s += 0.1 * (seconds - self._call_s)

    def allows(self, waited: float, now: float) -> bool:
        """Whether a request may still be answered that has waited so long.

        Args:
            waited: Seconds.
            now: Of `time.monotonic`.
        """
        short = max(SHORT_S, CALLS * self._call_s)
        long = max(LONG_S, short)
        if waited < short / 2:
            self._calm = now
        return waited <= (long if now - self._calm <= long else short)

    def after(self) -> int:
        """Whole seconds after which a refused client may ask again."""
        return max(1, round(CALLS * self._call_s))


class Breaker:
    """Keeps requests from a fallback that fails, until tries of its own have succeeded.

    Nobody waits for the outcome of a try: shadow samples are sent, whose answers no client gets.

    Args:
        clock: Seconds that never go back.
        jitter: Given the pause, gives one a little off it: not all workers are to try at once.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = lambda pause: pause * random.uniform(0.8, 1.2),  # noqa: S311 - no secret
    ) -> None:
        self._clock, self._jitter = clock, jitter
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._pause, self._good, self._again = PAUSE_S, 0, 0.0
        self.open = False
        """Whether no request is to be sent to the fallback."""

    @property
    def probing(self) -> bool:
        """Whether it is open, and a try may be made now."""
        return self.open and self._clock() >= self._again

    def succeeded(self) -> None:
        """A call gave an answer."""
        if not self.open:
            self._last.append(True)
            return
        self._good += 1
        if self._good >= PROBES:
            self.open, self._pause = False, PAUSE_S
            self._last.clear()

    def failed(self) -> None:
        """A call failed by the fallback's own fault: not by the client's deadline or request."""
        if self.open:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
            self._wait()
            return
        self._last.append(False)
        if len(self._last) >= FEWEST and self._last.count(False) >= MOST_FAILED * len(self._last):
            self.open = True
            self._wait()

    def _wait(self) -> None:
        self._good, self._again = 0, self._clock() + self._jitter(self._pause)
