"""Between the service and its decision log: every answer gets its id, and labels find their way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from surefoot.core.model import Model
from surefoot.serve.board import Board, Safety
from surefoot.serve.decisions import Decision, DecisionIds, DecisionLog
from surefoot.serve.flow import Answered, Pair, Standing
from surefoot.serve.labels import read_labels
from surefoot.serve.meters import Meters
from surefoot.serve.requests import REQUEST, Refused
from surefoot.serve.safety import pair_record

_NAME = re.compile(rb"[!-~]{1,128}")


class Journal:
    """Names what is answered, and keeps it where there is a log.

    Args:
        model: The lean model.
        meters: Where it counts.
        log: None where nothing is kept.
    """

    def __init__(
        self,
        model: Model,
        meters: Meters,
        log: DecisionLog | None,
    ) -> None:
        self._fingerprint, self._classes = model.fingerprint, model.signature.classes
        self._meters, self._log = meters, log
        self._ids = DecisionIds()

    def request(self, headers: Mapping[bytes, bytes]) -> str:
        """What a request is called: as its client does, if that can be written down; else anew.

        Args:
            headers: Of the request.
        """
        said = headers.get(REQUEST, b"")
        return said.decode("ascii") if _NAME.fullmatch(said) else self._ids.next()

    def decided(self, rows: np.ndarray, answered: Answered, request: str, ms: float) -> Answered:
        """The same answers with their ids, after they were logged.

        Args:
            rows: (n, ...) raw inputs.
            answered: What they were answered with.
            request: What their request is called.
            ms: Milliseconds that it took.
        """
        ids = tuple(self._ids.next() for _ in answered.routes)
        if self._log is not None:
            now = time.time()
            columns = zip(
                ids, rows, answered.predicted.tolist(), answered.scores.max(axis=1).tolist(),
                answered.routes, answered.promises, strict=True,
            )  # fmt: skip
            kept = 0
            for number, row, place, confidence, route, promise in columns:
                kept += self._log.add(
                    Decision(
                        id=number, time=now, request=request, route=route,
                        label="" if place < 0 else self._classes[place], confidence=confidence,
                        promise=promise, epoch=answered.epoch, model=self._fingerprint, input=row,
                        ms=ms,
                    )
                )  # fmt: skip
            self._meters.add("decisions", kept)
            self._meters.add("decisions_dropped", len(ids) - kept)
        return replace(answered, ids=ids)

    def labels(self, sent: bytes) -> int:
        """Keep labels that came for earlier decisions; says how many.

        Args:
            sent: The body of a request.

        Raises:
            Refused: It holds no labels; there is no log, or no room in it.
        """
        if self._log is None:
            raise Refused("no decision log is kept, so labels belong to nothing", 409)
        found = read_labels(sent, self._classes)
        if not self._log.add_labels(found):
            raise Refused("the decision log is full; ask again later", 503)
        self._meters.add("labels", len(found))
        return len(found)

    def close(self) -> None:
        """Write down what is held."""
        if self._log is not None:
            lost = self._log.close() - self._log.dropped  # what was dropped is counted already
            self._meters.add("decisions_dropped", lost)


def heeding(first: Standing, board: Board, generation: int) -> Callable[[], Standing]:
    """What counts now, as safe mode has it.

    Args:
        first: What counts as long as it says nothing.
        board: Where it says so.
        generation: The number of the bundle that is answered with.
    """
    known: tuple[Safety | None, Standing] = (None, first)

    def standing() -> Standing:
        nonlocal known
        state = board.state(generation)
        if state is not known[0]:
            now = Standing(
                threshold=first.threshold if state.threshold is None else state.threshold,
                between=first.between if state.threshold is None else (),
                promise=f"void: {state.reason}" if state.reason else first.promise,
                epoch=state.epoch,
                alarm=state.mode == "alarm",
            )
            known = (state, now)
        return known[1]

    return standing


def sender(send: Callable[[bytes], bool], meters: Meters) -> Callable[[Pair], None]:
    """Who hands pairs to the guard.

    Args:
        send: Leaves a record for the supervisor, if there is room.
        meters: Where it is counted that there was none.
    """

    def pair(found: Pair) -> None:
        record = pair_record(
            confidence=found.confidence,
            agreed=found.agree,
            accepted=found.accepted,
            epoch=found.epoch,
        )
        if not send(record):
            meters.add("records_dropped")

    return pair
