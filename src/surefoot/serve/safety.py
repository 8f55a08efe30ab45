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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.hashing import hash_json
from surefoot.core.plan import ServePlan
from surefoot.core.serving import Cascade
from surefoot.data.columns import read_parquet
from surefoot.models.store import SIGNATURE
from surefoot.serve.board import Safety
from surefoot.serve.cascade import GRID
from surefoot.store import whole_file

TERMS, STATE = "safety.json", "safe-mode.json"
"""Files: what it starts from, beside the models; where it stands, beside the decision log."""
BLOCK = 5
"""Pairs of an attempt to open again: so many times those that could show anything at all."""
LEAST = 0.1
"""The share of requests that the lean model has to answer again for it to be worth it."""
RECENT = 200
"""Samples that a reason speaks of."""
SAVED = 50
"""After so many pairs the state is written down; a process that is killed forgets fewer."""
NEVER = math.inf
"""A threshold that no answer reaches."""
_PAIR = struct.Struct("<dI??")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What safe mode starts from, as the bundle has it."""

    key: str
    """Of the models and of what is promised: the state of another one is not gone on with."""
    threshold: float
    """The confidence from which the lean model's answer stands."""
    strict: float | None
    """The one during an alarm; None where everything goes to the fallback then."""
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
    stuck: str
    """Why nothing is promised again after an alarm; empty where it can be."""


def safety_terms(path: Path, plan: ServePlan, found: Cascade) -> tuple[Terms | None, str]:
    """What safe mode of a bundle starts from; or None, and why there is none.

    Args:
        path: The folder of the bundle.
        plan: What is promised.
        found: What its calibration rows show.

    Returns:
        The terms, and why there are none where there are none.

    Raises:
        BundleError: The calibration rows of its models are not the same.
        BudgetError: A share of the plan is not between 0 and 1.
    """
    if plan.shadow == 0:
        return None, "the plan's serve.shadow is 0"
    if found.fallback == "abstain":
        return None, "nobody stands behind the lean model"
    if found.void or found.chosen is None:
        return None, "nothing is promised that could be broken"
    thresholds = (found.chosen.threshold, *getattr(found.chosen, "thresholds", ()))
    names = (found.lean, *getattr(found, "between", ()))
    files = [_calibration(path, name) for name in (*names, found.fallback)]
    if any("predicted" not in file for file in files):
        return None, "the bundle does not hold what both models answered to calibration rows"
    if any(not np.array_equal(file["id"], files[0]["id"]) for file in files):
        raise BundleError("the models answered other calibration rows", where=str(path))
    counted = _one_of_each(files[0])
    stands, differs = _answers(files, thresholds)
    stands, differs = stands[counted], differs[counted]
    accepted, disagreed = int(stands.sum()), int((stands & differs).sum())
    limit = float(stats.highest_rate(disagreed, accepted, plan.false_alarm / 2)) if accepted else 1
    if limit >= 1:
        return None, "on calibration rows the models never agree where the lean one is sure"
    several, slices = len(names) > 1, bool(found.slices)
    strict = None
    if plan.on_alarm == "strict" and not several:
        losses = (files[0]["confidence"][counted][:, None] >= GRID) & differs[:, None]
        strict = _walked(losses.sum(axis=0), len(counted), plan.max_error_over_fallback / 2, plan)
    asked = (thresholds, asdict(plan), [_fingerprint(path, n) for n in (*names, found.fallback)])
    return Terms(
        key=hash_json([*asked, accepted, disagreed]),
        threshold=thresholds[0],
        strict=strict,
        max_error=plan.max_error_over_fallback,
        delta=plan.delta,
        false_alarm=plan.false_alarm,
        accepted=accepted,
        disagreed=disagreed,
        limit=limit,
        stuck="of promised slices requests do not tell" * slices
        or "several models are asked in turn" * several,
    ), ""


def write_terms(folder: Path, terms: Terms) -> None:
    """Keep what safe mode starts from beside the models that are served.

    Args:
        folder: Where they lie.
        terms: Of `safety_terms`.
    """
    (folder / TERMS).write_text(json.dumps(asdict(terms)))


def read_terms(folder: Path) -> Terms | None:
    """What `write_terms` kept; None where it kept nothing.

    Args:
        folder: Where the models lie.
    """
    file = folder / TERMS
    return Terms(**json.loads(file.read_text())) if file.exists() else None


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
        self._grid = GRID[terms.threshold <= GRID]
        self._empty_block()
        if file is not None and file.exists():
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
            with whole_file(self._file) as part:
                part.write_text(json.dumps(kept))
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
            self._alarm(reason)

    def _collect(self, confidence: float, *, differs: bool) -> None:
        if self.terms.stuck:
            return
        stands = confidence >= self._grid
        self._n += 1
        self._stands += stands
        self._lost += stands & differs
        delta = self.terms.delta / 2**self._attempt
        if self._n < BLOCK * int(stats.calibration_rows_needed(self.terms.max_error, delta)):
            return
        passed = int(
            stats.thresholds_passed(self._lost, self._n, alpha=self.terms.max_error, delta=delta)
        )
        self._attempt += 1  # over the life of the service the deltas add up to the promised one
        stood, lost = int(self._stands[passed - 1]), int(self._lost[passed - 1])
        if passed and stood >= LEAST * self._n:
            limit = float(stats.highest_rate(lost, stood, self.terms.false_alarm / 2))
            if limit < 1:
                self._limit = limit
                self._turn(Safety(threshold=float(self._grid[passed - 1])))
        self._empty_block()

    def _alarm(self, reason: str) -> None:
        threshold = NEVER if self.terms.strict is None else self.terms.strict
        self._turn(Safety(mode="alarm", threshold=threshold, reason=reason))

    def _turn(self, state: Safety) -> None:
        self.state = Safety(
            mode=state.mode, threshold=state.threshold, reason=state.reason,
            epoch=self.state.epoch + 1,
        )  # fmt: skip
        self._wealth = stats.first_wealth()
        self._recent.clear()
        self._empty_block()

    def _empty_block(self) -> None:
        self._n = 0
        self._stands = np.zeros(len(self._grid), dtype=np.int64)
        self._lost = np.zeros(len(self._grid), dtype=np.int64)

    def _restore(self, file: Path) -> None:
        try:
            kept = json.loads(file.read_text())
            if kept["key"] != self.terms.key:
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
        except (OSError, ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            self._alarm(f"what safe mode knew cannot be read: {file.name}")
            return
        self.state, self._wealth, self._n = state, wealth, n
        self._stands, self._lost = block
        self._limit, self._attempt, self._pairs = numbers
        self._recent.extend(recent)


def _walked(losses: np.ndarray, n: int, alpha: float, plan: ServePlan) -> float | None:
    passed = int(stats.thresholds_passed(losses, n, alpha=alpha, delta=plan.delta))
    return float(GRID[passed - 1]) if passed else None


def _answers(
    files: list[Mapping[str, np.ndarray]], thresholds: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose answer stands, and rows whose answer, or the first model's, is another one's."""
    *stages, behind = files
    answer = stages[0]["predicted"].copy()
    stands = np.zeros(len(answer), dtype=bool)
    for stage, threshold in zip(stages, thresholds, strict=True):
        now = ~stands & (stage["confidence"].astype(np.float64) >= threshold)
        answer[now] = stage["predicted"][now]
        stands |= now
    return stands, answer != behind["predicted"]


def _one_of_each(file: Mapping[str, np.ndarray]) -> np.ndarray:
    """Positions of rows that are independent: one of each group."""
    if "group" not in file:
        return np.arange(len(file["id"]))
    order = np.random.default_rng(0).permutation(len(file["id"]))
    return np.sort(order[np.unique(file["group"][order], return_index=True)[1]])


def _calibration(path: Path, name: str) -> Mapping[str, np.ndarray]:
    file = path / "calibration" / f"{name}.parquet"
    return read_parquet(file) if file.is_file() else {}


def _fingerprint(path: Path, name: str) -> Any:
    """What the seal of a model says; nothing for an endpoint."""
    file = path / "models" / name / SIGNATURE
    return json.loads(file.read_text()).get("fingerprint") if file.is_file() else None
