"""The models of a bundle, open, as the stages of a cascade."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import BundleError
from surefoot.core.evidence import Outcome
from surefoot.core.model import BASELINE, Model
from surefoot.core.plan import ServePlan
from surefoot.core.serving import ENDPOINT, Cascade
from surefoot.models import open_model, read_golden, read_model
from surefoot.models.open import Predictor
from surefoot.serve.flow import HELD, Comparing, Flow, Stage, Standing
from surefoot.serve.lanes import Lane, Share
from surefoot.serve.remote import Remote

QUICK_S = 0.003
"""A call of a row that takes no longer is made where the request is received."""
WARM, WARM_S = 50, 0.2
"""Calls at most that show how quick a model is here, and seconds."""
SHARED_S = 0.1
"""Seconds that a call may take which several requests share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The models of a bundle, ready to be asked."""

    found: Cascade
    """What its calibration rows show."""
    verdict: Outcome
    """The lean model's own, which every answer tells."""
    model: Model
    """The lean model."""
    stages: tuple[Stage, ...]
    """It first, and who is asked next."""
    fallback: Stage | None
    """Who stands behind them; None for `abstain`."""
    golden: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """Of each model that has some, inputs and what it says to them."""

    @property
    def everyone(self) -> tuple[Stage, ...]:
        """All models, in the order in which they are asked."""
        return (*self.stages, *(() if self.fallback is None else (self.fallback,)))

    def flow(
        self,
        standing: Callable[[], Standing] | None = None,
        comparing: Comparing | None = None,
    ) -> Flow:
        """Who asks them.

        Args:
            standing: What counts now; by default what counted when it was prepared.
            comparing: How answers are compared with the fallback's; None if they are not.
        """
        return Flow(
            self.stages,
            self.fallback,
            len(self.model.signature.classes),
            standing=standing or self.standing,
            comparing=comparing,
        )

    def standing(self) -> Standing:
        """What counts as long as nothing has shown otherwise."""
        chosen, strictest = self.found.chosen, 0.0 if self.found.void else np.inf
        return Standing(
            threshold=chosen.threshold if chosen else strictest,
            between=chosen.thresholds if chosen else (),
            promise=f"void: {self.found.void}" if self.found.void else HELD,
        )


@contextmanager
def open_router(
    path: Path,
    data: Mapping[str, Any],
    found: Cascade,
    plan: ServePlan,
    threads: int,
    *,
    force: bool,
) -> Iterator[Opened]:
    """Open the models of a bundle, as their golden answers say they were.

    Args:
        path: The folder of the bundle.
        data: The content of its verdict.json.
        found: What its calibration rows show.
        plan: What was asked of them.
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
    temperatures, alike = _temperatures(data), _batch_invariant(data)
    golden: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    with ExitStack() as stack:

        def opened(name: str) -> tuple[Model, Stage]:
            model = _read(path, name)
            predictor = stack.enter_context(
                open_model(model, runtime=runtimes[name], threads=threads)
            )
            known = read_golden(model)
            if known is not None:
                golden[name] = known
            shared = plan.batch_variant or name in alike
            lane = _lane(predictor, known, data["batch"], shared=shared)
            stack.callback(lane.close)
            warm, scope = temperatures.get(name, 1.0), found.scope.get(name)
            return model, Stage(name=name, lane=lane, temperature=warm, scope=scope)

        models, stages = zip(*map(opened, found.stages), strict=True)
        fallback = opened(BASELINE)[1] if found.fallback == BASELINE else None
        if found.endpoint:
            fallback = _endpoint(plan, found, models[0].signature.classes)
            stack.callback(fallback.lane.close)
        yield Opened(
            found=found,
            verdict=outcome,
            model=models[0],
            stages=stages,
            fallback=fallback,
            golden=golden,
        )


def _endpoint(plan: ServePlan, found: Cascade, classes: tuple[str, ...]) -> Stage:
    from surefoot.evaluate.remote import Remote as Asked

    asked = Asked(found.endpoint, plan.endpoint, classes)
    lane = Remote(asked, len(classes), asked.close)
    return Stage(name=ENDPOINT, lane=lane, scope=found.scope.get(ENDPOINT))


def _read(path: Path, name: str) -> Model:
    folder = path / "models" / name
    if not folder.is_dir():
        raise BundleError(f"holds no model '{name}'", where=str(path))
    model = read_model(folder)
    if model.signature.input == "numeric" and not model.signature.width:
        raise BundleError(
            f"model '{name}' does not say how many numbers a row has", where=str(folder)
        )
    return model


def _lane(
    predictor: Predictor,
    golden: tuple[np.ndarray, np.ndarray] | None,
    batch: int,
    *,
    shared: bool,
) -> Lane:
    """A lane of its own thread, unless the model proves to be quick here."""

    def predict(rows: np.ndarray) -> np.ndarray:
        return predictor(rows, batch=batch)

    slowest = _slowest(predictor, golden)
    share = Share(batch, SHARED_S) if shared else None
    return Lane(predict, inline=slowest <= QUICK_S, share=share, row_s=slowest)


def _slowest(predictor: Predictor, golden: tuple[np.ndarray, np.ndarray] | None) -> float:
    """Seconds that nearly all calls of a row take; the first, which warm up, aside."""
    row = _blank(predictor.model) if golden is None else golden[0][:1]
    times: list[float] = []
    ends = time.monotonic() + WARM_S
    while len(times) < WARM and (len(times) < 3 or time.monotonic() < ends):
        began = time.monotonic()
        predictor.run_batch(row)
        times.append(time.monotonic() - began)
    return float(np.quantile(times[len(times) // 5 :], 0.9))


def _blank(model: Model) -> np.ndarray:
    signature = model.signature
    if signature.input == "text":
        return np.array(["warm up"], np.dtypes.StringDType())
    if signature.input == "image":
        return np.zeros((1, *signature.shape), np.uint8)
    return np.zeros((1, int(signature.width or 0)), np.float32)


def _temperatures(data: Mapping[str, Any]) -> dict[str, float]:
    fitted = ((data.get("calibration") or {}).get("temperatures") or {}).items()
    return {name: float(one["estimate"]["value"]) for name, one in fitted if one["fitted"]}


def _batch_invariant(data: Mapping[str, Any]) -> frozenset[str]:
    """Models whose answers depended in no row on what shared its call, where that was checked."""
    return frozenset(
        one["candidate"]
        for one in data.get("checks") or ()
        if one["check"] == "batch_invariance" and one["asked"] and not one["failed"]
    )
