"""The road of a request: from the lean model to who stands behind it, and what is promised."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot import stats
from surefoot.core.errors import SurefootError
from surefoot.serve.lanes import Busy, Lane, Late
from surefoot.serve.limits import Breaker

HELD = "held"
"""What stands beside an answer whose promise holds; else it begins with `void: `."""
ABSTAIN = "abstain"
"""Who answers where nobody does."""
MOST_SHADOWS = 64
"""Rows that may wait for the fallback to have nothing else to do."""
IDLE_S = 0.01
"""Seconds until it is looked at again whether it has."""


class DownError(SurefootError):
    """No model answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a request is answered with, row by row."""

    scores: np.ndarray
    """(n, classes) probabilities of the model that answered, at its temperature."""
    predicted: np.ndarray
    """(n,) the class with the highest one; -1 where nobody answered."""
    routes: tuple[str, ...]
    """(n,) the name of the model that answered, or `abstain`."""
    promises: tuple[str, ...]
    """(n,) `held`, or `void: ` and the reason."""
    ids: tuple[str, ...] = ()
    """(n,) what a label is told by that comes later; empty until they are given."""


def named(answered: Answered) -> tuple[str, ...]:
    """(n,) ids of answers; empty ones where none were given.

    Args:
        answered: To the rows of a request.
    """
    return answered.ids or ("",) * len(answered.routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What counts for the requests of this moment."""

    threshold: float
    """The confidence from which an answer stands."""
    promise: str = HELD
    """What is told of an answer that came by the rules."""
    epoch: int = 0
    """Counts the changes."""
    alarm: bool = False
    """Whether every request is a fresh pair: both models answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A model of the cascade."""

    name: str
    lane: Lane
    temperature: float = 1.0

    def warmed(self, scores: np.ndarray) -> np.ndarray:
        """Its probabilities, in 64 bits, at its temperature."""
        if self.temperature == 1:
            return scores.astype(np.float64)
        return stats.apply_temperature(scores, self.temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both models say of one row."""

    confidence: float
    """The lean model's."""
    agree: bool
    accepted: bool
    """Whether the lean model's answer stood."""
    epoch: int


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A row that the fallback is asked, too, or that shows whether it answers at all."""

    row: np.ndarray
    raw: np.ndarray | None
    """What the lean model said; None where nothing is to be compared."""
    standing: Standing


class _Answers:
    """The answers to the rows of a request, as they come together."""

    def __init__(self, rows: int, classes: int, promise: str) -> None:
        self.scores = np.zeros((rows, classes))
        self.predicted = np.full(rows, -1)
        self.routes = np.full(rows, "", dtype=object)
        self.promises = np.full(rows, promise, dtype=object)

    def put(self, at: np.ndarray, stage: Stage, raw: np.ndarray) -> None:
        """Let a model's answers to the rows at these places stand, for now."""
        self.scores[at], self.predicted[at] = stage.warmed(raw), raw.argmax(axis=1)
        self.routes[at] = stage.name

    def done(self) -> Answered:
        """As they are now."""
        return Answered(
            scores=self.scores,
            predicted=self.predicted,
            routes=tuple(self.routes),
            promises=tuple(self.promises),
        )


class Flow:
    """Asks one model after the other until one is sure, and at last the fallback.

    Args:
        stages: The lean model first.
        fallback: None for `abstain`.
        classes: How many there are.
        standing: Gives what counts now.
        shadow: The share of answers that stand to which the fallback's are compared.
        pairs: Given each pair; does not block. Without it nothing is compared.
        fallback_s: Seconds that 95 of 100 calls of a row took of the fallback, until it is known.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        fallback: Stage | None,
        classes: int,
        *,
        standing: Callable[[], Standing],
        shadow: float = 0.0,
        pairs: Callable[[Pair], None] | None = None,
        fallback_s: float = 0.0,
    ) -> None:
        self.breaker = Breaker()
        self._stages, self._fallback, self._classes = stages, fallback, classes
        self._standing, self._shadow, self._pairs = standing, shadow, pairs
        self._fallback_s = fallback_s
        self._shadows: deque[_Shadow] = deque()
        self._at_work: asyncio.Task[None] | None = None

    async def answer(self, rows: np.ndarray, until: float = np.inf) -> Answered:
        """Answer rows.

        Rows of a request share calls as they did when the threshold was chosen: with dynamic int8
        an answer can depend on that.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.

        Raises:
            Late: Not even the lean model answered in time.
            Busy: Too many requests wait for it.
            DownError: No model answered.
        """
        standing = self._standing()
        answers = _Answers(len(rows), self._classes, standing.promise)
        left, first, trouble = np.arange(len(rows)), None, ""
        for stage in self._stages:
            try:
                raw = await stage.lane(rows if len(left) == len(rows) else rows[left], until)
            except SurefootError as error:
                trouble = f"{stage.name} failed: {error.what}"
                continue
            except (Late, Busy):
                if first is None and not trouble:
                    raise
                break
            # In 64 bits, as it was chosen: rounded to 32 it would let other answers stand.
            sure = raw.max(axis=1).astype(np.float64) >= standing.threshold
            answers.put(left, stage, raw)
            if first is None:
                first = (raw, sure, left)
            left = left[~sure]
            if not len(left):
                break
        if len(left):
            await self._behind(rows, left, answers, until, trouble)
        if first is not None:
            self._compare(rows, first, answers, standing)
        return answers.done()

    async def _behind(
        self, rows: np.ndarray, left: np.ndarray, answers: _Answers, until: float, trouble: str
    ) -> None:
        """Let the fallback answer the rows that are left, or say why it could not."""
        if self._fallback is None:
            if trouble:
                raise DownError(trouble)
            answers.predicted[left], answers.routes[left] = -1, ABSTAIN
            return
        reason = await self._asked(rows[left], left, answers, until)
        if not reason:
            return
        if not all(answers.routes[left]):
            raise DownError(f"{trouble or 'the lean model did not answer'}; {reason}")
        answers.promises[left] = f"void: {reason}"

    async def _asked(
        self, rows: np.ndarray, left: np.ndarray, answers: _Answers, until: float
    ) -> str:
        """Ask the fallback; why it gave no answer, if so."""
        assert self._fallback is not None
        if self.breaker.open:
            self._later(_Shadow(rows[:1], None, self._standing()))
            return "the fallback has been failing"
        lane = self._fallback.lane
        needed = len(rows) * (lane.slow() or self._fallback_s)
        if time.monotonic() + needed > until:
            return "no time for the fallback"
        try:
            raw = await lane(rows, until)
        except Late:
            return "no time for the fallback"
        except Busy:
            return "too many wait for the fallback"
        except SurefootError as error:
            self.breaker.failed()
            return f"the fallback failed: {error.what}"
        self.breaker.succeeded()
        answers.put(left, self._fallback, raw)
        return ""

    def _compare(
        self,
        rows: np.ndarray,
        first: tuple[np.ndarray, np.ndarray, np.ndarray],
        answers: _Answers,
        standing: Standing,
    ) -> None:
        """Compare both models: now where both have answered, and a few others in the shadow."""
        if self._fallback is None or self._pairs is None:
            return
        raw, sure, at = first
        for i, place in enumerate(at):
            if answers.routes[place] == self._fallback.name:
                if standing.alarm and self._drawn(standing):
                    agree = raw[i].argmax() == answers.predicted[place]
                    self._pair(raw[i], bool(agree), accepted=False, standing=standing)
            elif sure[i] and random.random() < self._shadow:  # noqa: S311 - a sample, no secret
                self._later(_Shadow(rows[place : place + 1], raw[i], standing))

    def _drawn(self, standing: Standing) -> bool:
        """Whether a row that the fallback answered is compared during an alarm.

        Each, where none but such rows are; else as few as of those that stand, or what is compared
        would be other rows than are asked.
        """
        if standing.threshold == np.inf:
            return True
        return len(self._shadows) < MOST_SHADOWS and random.random() < self._shadow  # noqa: S311

    def _later(self, shadow: _Shadow) -> None:
        """Ask the fallback of one row as soon as it has nothing else to do."""
        if len(self._shadows) >= MOST_SHADOWS or (self.breaker.open and not self.breaker.probing):
            return
        self._shadows.append(shadow)
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.get_running_loop().create_task(self._in_the_shadow())

    async def _in_the_shadow(self) -> None:
        assert self._fallback is not None
        while self._shadows:
            await asyncio.sleep(0 if self._fallback.lane.idle else IDLE_S)
            if self._fallback.lane.idle:
                await self._shadowed(self._fallback, self._shadows.popleft())

    async def _shadowed(self, fallback: Stage, shadow: _Shadow) -> None:
        try:
            other = await fallback.lane(shadow.row)
        except (Busy, Late):
            return
        except SurefootError:
            self.breaker.failed()
            return
        self.breaker.succeeded()
        if shadow.raw is not None:
            agree = bool(shadow.raw.argmax() == other[0].argmax())
            self._pair(shadow.raw, agree, accepted=True, standing=shadow.standing)

    def _pair(self, raw: np.ndarray, agree: bool, *, accepted: bool, standing: Standing) -> None:
        assert self._pairs is not None
        self._pairs(
            Pair(confidence=float(raw.max()), agree=agree, accepted=accepted, epoch=standing.epoch)
        )
