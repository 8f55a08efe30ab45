"""Which model answers a request, and what is promised of the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.evidence import Outcome
from surefoot.core.model import BASELINE, Model, Signature
from surefoot.core.serving import Cascade
from surefoot.models import open_model, read_model
from surefoot.models.open import Predictor

HELD = "held"
"""What stands beside an answer whose promise holds; else it begins with `void: `."""


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


class Router:
    """The models of a bundle, open.

    Args:
        found: What its calibration rows show.
        lean: The lean model.
        fallback: The one behind it; None for `abstain`.
        temperatures: Of each model by name.
        verdict: The lean model's own, which every answer tells.
        batch: Rows of a call, at most.
    """

    def __init__(
        self,
        found: Cascade,
        lean: Predictor,
        fallback: Predictor | None,
        temperatures: Mapping[str, float],
        verdict: Outcome,
        batch: int = 32,
    ) -> None:
        self.found, self.verdict, self._batch = found, verdict, batch
        self._lean, self._fallback = lean, fallback
        self._temperatures = temperatures
        # In 64 bits, as it was chosen: rounded to 32 it would let other answers stand.
        strictest = 0.0 if found.void else np.inf
        self._threshold = np.float64(found.chosen.threshold if found.chosen else strictest)
        self._promise = f"void: {found.void}" if found.void else HELD

    @property
    def signature(self) -> Signature:
        """What a row looks like, and the classes."""
        return self._lean.model.signature

    @property
    def model(self) -> Model:
        """The lean model."""
        return self._lean.model

    def answer(self, inputs: np.ndarray, *, until: float = np.inf) -> Answered:
        """Answer rows: the lean model where it is sure enough, the fallback where it is not.

        Rows share a call as they did when the threshold was chosen: with dynamic int8 an answer
        can depend on that.

        Args:
            inputs: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.

        Raises:
            ModelError: The lean model fails on them.
        """
        raw = self._lean(inputs, batch=self._batch)
        scores, predicted = self._warmed(raw, self.found.lean), raw.argmax(axis=1)
        routes = np.full(len(raw), self.found.lean, dtype=object)
        promises = np.full(len(raw), self._promise, dtype=object)
        unsure = np.flatnonzero(raw.max(axis=1).astype(np.float64) < self._threshold)
        if len(unsure) and self._fallback is None:
            predicted[unsure], routes[unsure] = -1, "abstain"
        elif len(unsure):
            reason = self._behind(inputs, unsure, (scores, predicted, routes), until)
            if reason:
                promises[unsure] = f"void: {reason}"
        return Answered(
            scores=scores, predicted=predicted, routes=tuple(routes), promises=tuple(promises)
        )

    def _behind(
        self,
        inputs: np.ndarray,
        unsure: np.ndarray,
        into: tuple[np.ndarray, np.ndarray, np.ndarray],
        until: float,
    ) -> str:
        """Let the fallback answer in place of the lean model; says why it could not."""
        assert self._fallback is not None
        needed = len(unsure) * (self.found.fallback_slow_ms or 0.0) / 1000
        if time.monotonic() + needed > until:
            return "no time for the fallback"
        try:
            raw = self._fallback(inputs[unsure], batch=self._batch)
        except SurefootError as error:
            return f"the fallback failed: {error.what}"
        scores, predicted, routes = into
        # The classes of all candidates are those of the task, in one order.
        scores[unsure] = self._warmed(raw, BASELINE)
        predicted[unsure], routes[unsure] = raw.argmax(axis=1), BASELINE
        return ""

    def _warmed(self, scores: np.ndarray, name: str) -> np.ndarray:
        temperature = self._temperatures.get(name, 1.0)
        if temperature == 1:
            return scores.astype(np.float64)
        return stats.apply_temperature(scores, temperature)


@contextmanager
def open_router(
    path: Path, data: Mapping[str, Any], found: Cascade, *, threads: int, force: bool
) -> Iterator[Router]:
    """Open the models of a bundle, as their golden answers say they were.

    Args:
        path: The folder of the bundle.
        data: The content of its verdict.json.
        found: What its calibration rows show.
        threads: Threads inside an operator.
        force: Whether a lean model without a PASS may be served; every answer tells its verdict.

    Raises:
        BundleError: The verdict is not PASS, or the bundle does not hold the model.
        ModelError: A model is not what the bundle says it is.
    """
    outcome = next(v["outcome"] for v in data["verdicts"] if v["candidate"] == found.lean)
    if outcome != "PASS" and not force:
        raise BundleError(
            f"the verdict of {found.lean} is {outcome}",
            where=str(path),
            fix="serve one that passed; or --force, and every answer will say so",
        )
    runtimes = {c["name"]: c["runtime"] for c in data["candidates"]}
    with ExitStack() as stack:

        def opened(name: str) -> Predictor:
            folder = path / "models" / name
            if not folder.is_dir():
                raise BundleError(f"holds no model '{name}'", where=str(path))
            model = read_model(folder)
            if model.signature.input == "numeric" and not model.signature.width:
                raise BundleError(
                    f"model '{name}' does not say how many numbers a row has", where=str(folder)
                )
            return stack.enter_context(open_model(model, runtime=runtimes[name], threads=threads))

        yield Router(
            found,
            opened(found.lean),
            opened(BASELINE) if found.fallback == BASELINE else None,
            _temperatures(data),
            outcome,
            data["batch"],
        )


def _temperatures(data: Mapping[str, Any]) -> dict[str, float]:
    fitted = ((data.get("calibration") or {}).get("temperatures") or {}).items()
    return {name: float(one["estimate"]["value"]) for name, one in fitted if one["fitted"]}
