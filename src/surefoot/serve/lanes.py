"""Calls of one model take turns; requests that wait for their turn may share the next one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from surefoot.core.errors import SurefootError
from surefoot.serve.limits import CALLS, Patience

Predict = Callable[[np.ndarray], np.ndarray]

PAYS = 0.95
"""Rows are put together where a row then takes no more than this share of its time."""
RECENT = 200
"""Calls whose times say what the next one may take."""
FORGET_S = 30.0
"""Seconds after which nothing is concluded from them any more: who is never asked because it was
slow would never be found to be quick again."""
TEXT = 500
"""Characters that count as a row."""
INLINE_S = 0.01
"""Seconds that a call may hold up whoever receives requests."""


class Late(Exception):  # noqa: N818 - the client's own wish, not a fault
    """The client waits no longer."""


class Busy(Exception):  # noqa: N818 - an answer, not a fault
    """Too many wait already; `after` says in how many seconds to ask again."""

    def __init__(self, after: int) -> None:
        super().__init__("too many requests are waiting")
        self.after = after


class Recent:
    """What recent calls took."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=RECENT)
        self._slow, self._unread, self._at = 0.0, 0, -np.inf

    def learn(self, seconds: float) -> None:
        """Take in how long a row took."""
        self._times.append(seconds)
        self._unread, self._at = self._unread + 1, time.monotonic()

    def slow(self) -> float:
        """Seconds that 95 of 100 of them stayed below; 0 if there are few, or none lately."""
        if time.monotonic() - self._at > FORGET_S:
            return 0.0
        if self._unread >= RECENT // 10:
            self._slow, self._unread = float(np.quantile(self._times, 0.95)), 0
        return self._slow


class Share:
    """How many rows a call is worth taking: as many as pay, within a bound on its time.

    Of each power of two it remembers what a call took, and tries the next one as soon as so many
    rows wait, if the one before paid. What it remembers it forgets after a while: one call that the
    machine held up is not to count for ever.

    Args:
        most: Rows at most.
        bound_s: Seconds that a call may take.
    """

    def __init__(self, most: int, bound_s: float) -> None:
        self._most, self._bound = most, bound_s
        self._took: dict[int, tuple[float, float]] = {}

    def learn(self, rows: int, seconds: float) -> None:
        """Take in what a call took."""
        size = 1 << max(0, rows - 1).bit_length()
        known = self._known(size)
        took = seconds if known is None else known + 0.2 * (seconds - known)
        self._took[size] = (took, time.monotonic())

    def rows(self) -> int:
        """Rows of the next call at most."""
        size = 1
        while 2 * size <= self._most and self._pays(2 * size):
            size *= 2
        return size

    def _pays(self, size: int) -> bool:
        took, half = self._known(size), self._known(size // 2)
        if half is None:
            return False
        if took is None:
            return 2 * half <= self._bound
        return took <= self._bound and took <= 2 * PAYS * half

    def _known(self, size: int) -> float | None:
        took, at = self._took.get(size, (0.0, -np.inf))
        return took if time.monotonic() - at <= FORGET_S else None


@dataclass(slots=True)
class _Waiting:
    rows: np.ndarray
    answer: asyncio.Future[np.ndarray]
    since: float = field(default_factory=time.monotonic)
    alone: bool = False
    """Whether a call that it shared failed."""


class Lane:
    """One model and those who wait for it.

    Args:
        predict: From (n, ...) rows to (n, classes) scores; called by one thread at a time.
        inline: Whether calls of few rows are made where the request is received: for quick models,
            where handing over to a thread would cost more than others' waiting.
        share: Of rows of several requests in a call; None where an answer may depend on them.
        row_s: Seconds that a row takes, until more is known.
    """

    def __init__(
        self, predict: Predict, *, inline: bool, share: Share | None = None, row_s: float = 0.0
    ) -> None:
        self._predict, self.inline, self._share = predict, inline, share
        self._pool, self._row_s = ThreadPoolExecutor(1, thread_name_prefix="model"), row_s
        self._queue: deque[_Waiting] = deque()
        self._running = False
        self._recent = Recent()
        self.patience = Patience()

    @property
    def idle(self) -> bool:
        """Whether nobody is served and nobody waits."""
        return not self._running and not self._queue

    def slow(self) -> float:
        """Seconds of a row that 95 of 100 recent calls stayed below; 0 before there are some."""
        return self._recent.slow()

    def close(self) -> None:
        """End the thread; what it is at comes to its end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def __call__(
        self, rows: np.ndarray, until: float = np.inf, *, first: bool = False
    ) -> np.ndarray:
        """(n, classes) scores of rows.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`; what is late then is never
                begun, and nobody waits for what is.
            first: Whether it is their turn before anybody else's, and they are never refused.

        Raises:
            Late: `until` has come.
            Busy: Too many wait.
            ModelError: The model fails on these rows.
        """
        if time.monotonic() >= until:
            raise Late
        if self.inline and not self._running and _weight(rows) * self._row_s <= INLINE_S:
            return self._timed(rows)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(rows, loop.create_future(), alone=first or self._share is None)
        if first:
            waiting.since = np.inf
            self._queue.appendleft(waiting)
        else:
            self._queue.append(waiting)
        if not self._running:
            self._next(loop)
        left = until - time.monotonic()
        try:
            async with asyncio.timeout(None if left == np.inf else max(0.0, left)):
                return await waiting.answer
        except TimeoutError:
            raise Late from None

    def _timed(self, rows: np.ndarray) -> np.ndarray:
        began = time.monotonic()
        scores = self._predict(rows)
        self._learn(len(rows), time.monotonic() - began)
        return scores

    def _learn(self, rows: int, seconds: float) -> None:
        self._recent.learn(seconds / rows)
        self._row_s += 0.1 * (seconds / rows - self._row_s)
        self.patience.learn(seconds)
        if self._share:
            self._share.learn(rows, seconds)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        taken = self._take()
        self._running = bool(taken)
        if not taken:
            return
        try:
            rows = taken[0].rows if len(taken) == 1 else np.concatenate([w.rows for w in taken])
            call = loop.run_in_executor(self._pool, self._timed, rows)
        except (MemoryError, RuntimeError) as error:  # no room, or no thread to be had
            for one in taken:
                one.answer.set_exception(error)
            loop.call_soon(self._next, loop)
            return
        call.add_done_callback(partial(self._done, taken, loop))

    def _take(self) -> list[_Waiting]:
        """Whose turn it is: the first, and who may share its call; others may be refused now."""
        taken: list[_Waiting] = []
        now, room = time.monotonic(), self._share.rows() if self._share else 1
        while self._queue:
            first = self._queue[0]
            if taken and (first.alone or len(first.rows) > room):
                break
            self._queue.popleft()
            if first.answer.done():  # its client has gone, or waits no longer
                continue
            golden = first.since == np.inf
            patient = golden or self.patience.allows(now - first.since, now)
            if not patient and len(self._queue) >= CALLS:
                first.answer.set_exception(Busy(self.patience.after()))
                continue
            taken.append(first)
            room -= len(first.rows)
            if first.alone or room <= 0:
                break
        return taken

    def _done(
        self,
        taken: list[_Waiting],
        loop: asyncio.AbstractEventLoop,
        call: asyncio.Future[np.ndarray],
    ) -> None:
        error = call.exception()
        if error and len(taken) > 1 and isinstance(error, SurefootError):
            for one in taken:  # one request's rows are not to be the others' fault
                one.alone = True
            self._queue.extendleft(reversed(taken))
        else:
            start = 0
            for one in taken:
                end = start + len(one.rows)
                if not one.answer.done():
                    if error:
                        one.answer.set_exception(error)
                    else:
                        one.answer.set_result(call.result()[start:end])
                start = end
        self._next(loop)


def _weight(rows: np.ndarray) -> float:
    """As how many rows they count: a long text takes long to be taken apart."""
    if rows.dtype.kind != "T":
        return len(rows)
    return max(len(rows), int(np.strings.str_len(rows).sum()) / TEXT)
