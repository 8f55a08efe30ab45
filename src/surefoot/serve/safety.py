"""Safe mode: whether the promise still holds of what is asked now, and what is done if it does not.

A share of all requests is shown to both models. While their answers differ no more often than they
did on the calibration rows, the promise stands. A bet on "more often" (`surefoot.stats.betting`)
raises an alarm, and then nothing is promised until the walk of `thresholds_passed` passes again, on
pairs that came after the alarm. These have no labels, so every difference counts as a loss: what is
lost to the fallback differs from it, so what holds of differences holds of losses.
"""

from __future__ import annotations

import json
import math
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.errors import SurefootError
from surefoot.serve.board import Safety
from surefoot.store import whole_file

TERMS, STATE = "safety.json", "safe-mode.json"
"""Files: what it starts from, beside the models; where it stands, beside the decision log."""
BLOCK = 5
"""Pairs of an attempt to open again: so many times those that could show anything at all."""
LEAST = 0.1
"""The share of requests that the lean model has to answer again for it to be worth it."""
RECENT = 200
"""Samples that a reason speaks of."""
ATTEMPTS = 1000
"""The last attempt's share of delta, 2^-1000, is every later one's: sums to nothing that counts."""
KEPT = 8
"""Promises whose states are kept: who goes back to an earlier bundle finds its alarm again."""
SAVED = 50
"""After so many pairs the state is written down; a process that is killed forgets fewer."""
NEVER = math.inf
"""A threshold that no answer reaches."""
UNREADABLE = (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What a file that holds something else gives."""
_PAIR = struct.Struct("<dI??")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What safe mode starts from, as the bundle has it."""

    key: str
    """Of the models and of what is promised: the state of another one is not gone on with."""
    threshold: float
    """The confidence from which the lean model's answer stands."""
    strict: float | None
    """The least one during an alarm; None where everything goes to the fallback then."""
    max_error: float
    """The most requests, of all, that may be lost."""
    delta: float
    """How often that may be broken."""
    false_alarm: float
    """How often an alarm may come although nothing has changed, from one opening to the next."""
    accepted: int
    """Calibration rows whose answer stands."""
    disagreed: int
    """Of those, rows that the fallback answers otherwise."""
    limit: float
    """The share of them that may differ before it counts as more often."""
    grid: tuple[float, ...]
    """Thresholds that an alarm may end with, from the strictest to the bundle's own."""
    shadow: float
    """The share of requests that both models are to be asked."""
    stuck: str
    """Why nothing is promised again after an alarm; empty where it can be."""


def write_terms(folder: Path, terms: Terms) -> None:
    """Keep what safe mode starts from beside the models that are served.

    Args:
        folder: Where they lie.
        terms: Of `surefoot.serve.terms`.
    """
    (folder / TERMS).write_text(json.dumps(asdict(terms)))


def read_terms(folder: Path) -> Terms | None:
    """What `write_terms` kept; None where it kept nothing.

    Args:
        folder: Where the models lie.
    """
    file = folder / TERMS
    if not file.exists():
        return None
    kept = json.loads(file.read_text())
    return Terms(**{**kept, "grid": tuple(kept["grid"])})


def watching(log: Path | None) -> Callable[[Path, object], Guard | None]:
    """Who makes the guard of a bundle.

    Args:
        log: The folder of the decision log, where its state is kept; None where there is none.

    Returns:
        Makes it from the folder that `write_terms` was given, and gives the guard that watches now
        back where models and promise are the same; None where `write_terms` was given nothing.
    """

    def watch(folder: Path, now: object = None) -> Guard | None:
        terms = read_terms(folder)
        if terms and isinstance(now, Guard) and now.terms.key == terms.key:
            return now  # an alarm does not end because the same was loaded again
        return Guard(terms, log and log / STATE) if terms else None

    return watch


def pair_record(*, confidence: float, agreed: bool, accepted: bool, epoch: int) -> bytes:
    """A pair for the guard, as a worker sends it.

    Which rows are shown to both models is to be drawn before it is known who answers them, each
    with probability `shadow`, and during an alarm too: to open again takes pairs of all requests.

    Args:
        confidence: Of the lean model, as it came: before any temperature.
        agreed: Whether the answer that stands, or would, is the fallback's too.
        accepted: Whether the answer was not the fallback's.
        epoch: Of the `Safety` that the row was answered under.
    """
    return _PAIR.pack(confidence, epoch, agreed, accepted)


class Guard:
    """Keeps the mode of a service; one for all its processes.

    A state that cannot be read may have been an alarm, and is taken for one.

    Args:
        terms: What it starts from.
        file: Where its state is kept from one start to the next; None where it is not.
    """

    def __init__(self, terms: Terms, file: Path | None) -> None:
        self.terms, self._file = terms, file
        self.state, self.late, self.unsaved = Safety(), 0, 0
        self._limit, self._attempt, self._pairs = terms.limit, 1, 0
        self._wealth = stats.first_wealth()
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._grid = np.array(terms.grid)
        self._empty_block()
        if file is not None:
            self._restore(file)

    def pair(self, record: bytes) -> None:
        """Take a pair in; `state` may be another one afterwards.

        Args:
            record: Of `pair_record`. One that was answered under an earlier state is left out.
        """
        confidence, epoch, agreed, accepted = _PAIR.unpack(record)
        before = self.state
        if epoch != before.epoch:
            self.late += 1
            return
        self._pairs += 1
        if before.mode == "alarm":
            self._collect(confidence, differs=not agreed)
        elif accepted:
            self._watch(differs=not agreed)
        if self.state is not before or self._pairs % SAVED == 0:
            self.save()

    def figures(self) -> Mapping[str, float]:
        """What a page of numbers tells: pairs, how many of the last ones differ, the mode."""
        recent = len(self._recent)
        return {
            "shadow_pairs": self._pairs,
            "shadow_disagreement": sum(self._recent) / recent if recent else 0.0,
            "shadow_limit": self._limit,
            "safe_mode": float(self.state.mode == "alarm"),
            "safe_mode_epoch": self.state.epoch,
            "safe_mode_capital": float(np.exp(self._wealth.log)),
        }

    def save(self) -> None:
        """Write the state down; where that cannot be done it goes on, and is counted."""
        if self._file is None:
            return
        kept = {
            "key": self.terms.key, "state": asdict(self.state), "limit": self._limit,
            "attempt": self._attempt, "pairs": self._pairs,
            "wealth": [self._wealth.seen, float(self._wealth.log), float(self._wealth.waiting)],
            "staked": self._wealth.staked.tolist(), "recent": [*self._recent], "n": self._n,
            "stands": self._stands.tolist(), "lost": self._lost.tolist(),
        }  # fmt: skip
        try:
            others = [one for one in _states(self._file) if one["key"] != self.terms.key]
            kept["earlier"] = others[: KEPT - 1]
            with whole_file(self._file) as part:
                part.write_text(json.dumps(kept))
                part.chmod(0o600)
        except (SurefootError, OSError):
            self.unsaved += 1

    def _watch(self, *, differs: bool) -> None:
        terms = self.terms
        self._recent.append(differs)
        alpha = terms.false_alarm / 2  # the other half is the reference's
        self._wealth = stats.next_wealth(self._wealth, differs, rate=self._limit, alpha=alpha)
        if stats.reached(self._wealth, alpha):
            n, found = len(self._recent), sum(self._recent)
            reason = (
                f"of the last {n} answers that were shown to the fallback too it gave {found}"
                f" otherwise, more than the {self._limit:.1%} that may be"
            )
            self._alarm(reason, self.state.threshold or terms.threshold)

    def _collect(self, confidence: float, *, differs: bool) -> None:
        if self.terms.stuck:
            return
        stands = confidence >= self._grid
        self._n += 1
        self._stands += stands
        self._lost += stands & differs
        if self._n < self._needed:
            return
        alpha, delta = self.terms.max_error, self._delta()
        passed = int(stats.thresholds_passed(self._lost, self._n, alpha=alpha, delta=delta))
        # Over the life of the service the deltas add up to the promised one.
        self._attempt = min(self._attempt + 1, ATTEMPTS)
        stood, lost = int(self._stands[passed - 1]), int(self._lost[passed - 1])
        if passed and stood >= LEAST * self._n:
            limit = float(stats.highest_rate(lost, stood, self.terms.false_alarm / 2))
            if limit < 1:
                self._limit = limit
                self._turn(Safety(threshold=float(self._grid[passed - 1])))
        self._empty_block()

    def _alarm(self, reason: str, least: float) -> None:
        """Void the promise.

        Args:
            reason: Why.
            least: The threshold that counted until now: an alarm lets no more answers stand.
        """
        threshold = NEVER if self.terms.strict is None else max(self.terms.strict, least)
        self._turn(Safety(mode="alarm", threshold=threshold, reason=reason))

    def _turn(self, state: Safety) -> None:
        self.state = Safety(
            mode=state.mode, threshold=state.threshold, reason=state.reason,
            epoch=self.state.epoch + 1,
        )  # fmt: skip
        self._wealth = stats.first_wealth()
        self._recent.clear()
        self._empty_block()

    def _delta(self) -> float:
        """What this attempt may take of the promised one."""
        return math.ldexp(self.terms.delta, -self._attempt)

    def _empty_block(self) -> None:
        needed = stats.calibration_rows_needed(self.terms.max_error, self._delta())
        self._needed = BLOCK * int(needed)
        self._n = 0
        self._stands = np.zeros(len(self._grid), dtype=np.int64)
        self._lost = np.zeros(len(self._grid), dtype=np.int64)

    def _restore(self, file: Path) -> None:
        try:
            kept = next((one for one in _read(file) if one["key"] == self.terms.key), None)
            if kept is None:
                return
            state = Safety(**kept["state"])
            seen, log, waiting = kept["wealth"]
            wealth = stats.Wealth(
                seen=int(seen), log=np.array(float(log)), waiting=np.array(float(waiting)),
                staked=np.array(kept["staked"], dtype=np.float64),
            )  # fmt: skip
            block = [np.array(kept[name], dtype=np.int64) for name in ("stands", "lost")]
            numbers = float(kept["limit"]), int(kept["attempt"]), int(kept["pairs"])
            n, recent = int(kept["n"]), [int(one) for one in kept["recent"]]
            sound = wealth.staked.shape == stats.first_wealth().staked.shape
            sound &= all(one.shape == self._grid.shape for one in block)
            sound &= 0 < numbers[0] < 1 and numbers[1] >= 1 and n >= 0
            sound &= state.mode in ("normal", "alarm")
            sound &= state.threshold is None or state.threshold >= 0
        except (FileNotFoundError, NotADirectoryError):
            return
        except UNREADABLE:
            sound = False
        if not sound:
            # Which threshold counted is not known either.
            self._alarm(f"what safe mode knew cannot be read: {file.name}", NEVER)
            return
        self._limit, self._pairs = numbers[0], numbers[2]
        self._attempt = min(numbers[1], ATTEMPTS)
        self._empty_block()
        self.state, self._wealth, self._n = state, wealth, n
        self._stands, self._lost = block
        self._recent.extend(recent)


def _read(file: Path) -> list[dict[str, Any]]:
    """The states that a file holds, the last one that was written first."""
    last = json.loads(file.read_text())
    return [last, *last.pop("earlier", [])]


def _states(file: Path) -> list[dict[str, Any]]:
    """The same; none where they cannot be read, which whoever starts is told of."""
    try:
        return [one for one in _read(file) if isinstance(one["key"], str)]
    except UNREADABLE:
        return []
