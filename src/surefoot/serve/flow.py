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
from surefoot.core.errors import RemoteError, SurefootError
from surefoot.serve.lanes import Busy, Lane, Late
from surefoot.serve.limits import Breaker
from surefoot.serve.remote import Remote

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
    """(n, classes) probabilities of the model that answered, at its temperature; of an endpoint
    that does not tell its confidence NaN in the class that it named."""
    predicted: np.ndarray
    """(n,) the class with the highest one; -1 where nobody answered."""
    routes: tuple[str, ...]
    """(n,) the name of the model that answered, or `abstain`."""
    promises: tuple[str, ...]
    """(n,) `held`, or `void: ` and the reason."""
    strange: tuple[bool | None, ...] = ()
    """(n,) whether a row looks as if it belonged to no class; None where nobody can tell, and
    empty where nobody ever can."""
    ids: tuple[str, ...] = ()
    """(n,) what a label is told by that comes later; empty until they are given."""
    epoch: int = 0
    """Of the `Standing` that they were answered under."""


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
    """The confidence from which an answer of the lean model stands."""
    between: tuple[float, ...] = ()
    """The same of each model between it and the fallback; where none is told it is the same."""
    promise: str = HELD
    """What is told of an answer that came by the rules."""
    epoch: int = 0
    """Counts the changes."""
    alarm: bool = False
    """Whether every request is a fresh pair: both models answer."""

    def of(self, stage: int) -> float:
        """The confidence from which an answer of a model stands.

        Args:
            stage: In which turn it is asked, from 0.
        """
        return self.between[stage - 1] if stage and self.between else self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A model of the cascade."""

    name: str
    lane: Lane | Remote
    temperature: float = 1.0
    scope: float | None = None
    """The confidence that rows in scope have, where that is known."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How answers are compared with those of the fallback."""

    share: float
    """Of those that stand."""
    pairs: Callable[[Pair], None]
    """Given each pair; does not block."""


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A row that the fallback is asked, too, or that shows whether it answers at all."""

    row: np.ndarray
    confidence: float
    """The lean model's."""
    predicted: int
    """The answer that stands; -1 where nothing is to be compared."""
    standing: Standing


class _Answers:
    """The answers to the rows of a request, as they come together."""

    def __init__(self, rows: int, classes: int, standing: Standing) -> None:
        self.scores = np.zeros((rows, classes))
        self.predicted = np.full(rows, -1)
        self.routes = np.full(rows, "", dtype=object)
        self.promises = np.full(rows, standing.promise, dtype=object)
        self.epoch = standing.epoch
        self.strange = np.full(rows, None, dtype=object)

    def put(self, at: np.ndarray, stage: Stage, raw: np.ndarray) -> None:
        """Let a model's answers to the rows at these places stand, for now."""
        self.scores[at], self.predicted[at] = stage.warmed(raw), raw.argmax(axis=1)
        self.routes[at] = stage.name
        # Each row is held to the scope of whoever answers it; who has none cannot tell.
        known, sure = stage.scope is not None, raw.max(axis=1).astype(np.float64)
        self.strange[at] = sure < stage.scope if known else None

    def done(self, *, scoped: bool) -> Answered:
        """As they are now.

        Args:
            scoped: Whether anybody can tell what is strange.
        """
        return Answered(
            strange=tuple(self.strange.tolist()) if scoped else (),
            scores=self.scores,
            predicted=self.predicted,
            routes=tuple(self.routes),
            promises=tuple(self.promises),
            epoch=self.epoch,
        )


class Flow:
    """Asks one model after the other until one is sure, and at last the fallback.

    Args:
        stages: The lean model first.
        fallback: None for `abstain`.
        classes: How many there are.
        standing: Gives what counts now.
        comparing: How answers are compared with the fallback's; None if they are not.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        fallback: Stage | None,
        classes: int,
        *,
        standing: Callable[[], Standing],
        comparing: Comparing | None = None,
    ) -> None:
        self.breaker = Breaker()
        self._stages, self._fallback, self._classes = stages, fallback, classes
        self.standing, self._comparing = standing, comparing
        everyone = (*stages, *(() if fallback is None else (fallback,)))
        self._scoped = any(stage.scope is not None for stage in everyone)
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
        standing = self.standing()
        answers = _Answers(len(rows), self._classes, standing)
        left, lean, trouble = np.arange(len(rows)), None, ""
        for turn, stage in enumerate(self._stages):
            try:
                raw = await stage.lane(rows if len(left) == len(rows) else rows[left], until)
            except SurefootError as error:
                trouble = f"{stage.name} failed: {error.what}"
                continue
            except (Late, Busy):
                if lean is None and not trouble:
                    raise
                break
            answers.put(left, stage, raw)
            # In 64 bits, as it was chosen: rounded to 32 it would let other answers stand.
            confidence = raw.max(axis=1).astype(np.float64)
            if not turn:
                lean = (confidence, answers.predicted.copy())
            sure = confidence >= standing.of(turn)
            if trouble:  # its threshold was shown for rows that whoever failed leaves over
                answers.promises[left[sure]] = f"void: {trouble}"
            left = left[~sure]
            if not len(left):
                break
        if len(left):
            await self._behind(rows, left, answers, until, trouble)
        if lean is not None:
            self._compare(rows, lean, left, answers, standing)
        return answers.done(scoped=self._scoped)

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
        left = left[answers.routes[left] != self._fallback.name]
        if not all(answers.routes[left]):
            raise DownError(f"{trouble or 'the lean model did not answer'}; {reason}")
        answers.promises[left] = f"void: {reason}"

    async def _asked(
        self, rows: np.ndarray, left: np.ndarray, answers: _Answers, until: float
    ) -> str:
        """Ask the fallback; why it gave no answer to some row, if so."""
        assert self._fallback is not None
        if self.breaker.open:
            self._later(_Shadow(rows[:1], 0.0, -1, self.standing()))
            return "the fallback has been failing"
        lane = self._fallback.lane
        needed = len(rows) * lane.slow()
        if time.monotonic() + needed > until:
            return "no time for the fallback"
        try:
            raw = await lane(rows, until)
        except (Late, Busy) as error:
            late = isinstance(error, Late)
            return "no time for the fallback" if late else "too many wait for the fallback"
        except SurefootError as error:
            self._failed(error)
            return f"the fallback failed: {error.what}"
        self.breaker.succeeded()
        known = raw.any(axis=1)  # a model of chat may say anything
        answers.put(left[known], self._fallback, raw[known])
        return "" if known.all() else "the fallback named no class that it stands by"

    def _compare(
        self,
        rows: np.ndarray,
        lean: tuple[np.ndarray, np.ndarray],
        left: np.ndarray,
        answers: _Answers,
        standing: Standing,
    ) -> None:
        """Compare with the fallback: now where it has answered, and a few others in the shadow.

        Args:
            rows: Of the request.
            lean: The lean model's confidence and answers.
            left: Rows whose answer no model was sure of.
            answers: As they are given.
            standing: What counted for them.
        """
        if self._fallback is None or self._comparing is None:
            return
        confidence, predicted = lean
        stood = np.ones(len(rows), dtype=bool)
        stood[left] = False
        for i in range(len(rows)):
            if answers.routes[i] == self._fallback.name:
                if standing.alarm and self._drawn(standing):
                    agree = bool(predicted[i] == answers.predicted[i])
                    self._pair(confidence[i], agree, accepted=False, standing=standing)
            elif stood[i] and random.random() < self._comparing.share:  # noqa: S311 - a sample, no secret
                answer = int(answers.predicted[i])
                self._later(_Shadow(rows[i : i + 1], float(confidence[i]), answer, standing))

    def _drawn(self, standing: Standing) -> bool:
        """Whether a row that the fallback answered is compared during an alarm.

        Each, where none but such rows are; else as few as of those that stand, or what is compared
        would be other rows than are asked.
        """
        if standing.threshold == np.inf:
            return True
        share = self._comparing.share if self._comparing else 0.0
        return len(self._shadows) < MOST_SHADOWS and random.random() < share  # noqa: S311

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
                shadow = self._shadows.popleft()
                if not self.breaker.open or self.breaker.probing:
                    await self._shadowed(self._fallback, shadow)

    async def _shadowed(self, fallback: Stage, shadow: _Shadow) -> None:
        try:
            other = await fallback.lane(shadow.row)
        except (Busy, Late):
            return
        except SurefootError as error:
            self._failed(error)
            return
        self.breaker.succeeded()
        if shadow.predicted >= 0 and other.any():
            agree = bool(other[0].argmax() == shadow.predicted)
            self._pair(shadow.confidence, agree, accepted=True, standing=shadow.standing)

    def _pair(self, confidence: float, agree: bool, *, accepted: bool, standing: Standing) -> None:
        assert self._comparing is not None
        self._comparing.pairs(
            Pair(
                confidence=float(confidence),
                agree=agree,
                accepted=accepted,
                epoch=standing.epoch,
            )
        )

    def _failed(self, error: SurefootError) -> None:
        """Remember a failure, unless whoever asked is at fault."""
        if not isinstance(error, RemoteError) or error.is_its_own:
            self.breaker.failed()
