"""Which model answers which row, on models that are really open."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.estimate import Estimate
from surefoot.core.serving import Cascade, Tradeoff
from surefoot.models import open_model
from surefoot.serve.router import Router

NOTHING = Estimate(value=0, low=0, high=0, level=0.9, method="none", n=1)


def found(threshold, **changes):
    chosen = Tradeoff(threshold=threshold, share=NOTHING, lost=NOTHING, accuracy=1, shown=True)
    one = Cascade(
        lean="turned", fallback="baseline", max_error=0.02, delta=0.1, slices=(), rows=500,
        needed=114, chosen=chosen, curve=(), fallback_accuracy=0.9, lean_ms=0.1, fallback_ms=1.0,
        fallback_slow_ms=2.0,
    )  # fmt: skip
    return replace(one, **changes)


@pytest.fixture
def models(contents):
    """The lean model, whose answers are all other ones, and the fallback, both open."""
    everyone = {c.name: c.model for c in contents.candidates}
    with ExitStack() as stack:
        yield tuple(stack.enter_context(open_model(everyone[n])) for n in ("turned", "baseline"))


@pytest.fixture
def rows(contents):
    return contents.task.test["main"].inputs


def test_who_is_sure_enough_answers_and_else_the_fallback(models, rows):
    lean, behind = models
    raw = lean.run_batch(rows)
    threshold = float(np.median(raw.max(axis=1)))
    said = Router(found(threshold), lean, behind, {}, "PASS").answer(rows)
    sure = raw.max(axis=1) >= threshold
    assert 0 < sure.sum() < len(rows)
    assert [route == "turned" for route in said.routes] == sure.tolist()
    wanted = np.where(sure[:, None], raw, behind.run_batch(rows))
    assert (said.predicted == wanted.argmax(axis=1)).all()
    assert np.allclose(said.scores, wanted)
    assert set(said.promises) == {"held"}


def test_confidence_is_that_at_the_temperature_of_whoever_answered(models, rows):
    lean, behind = models
    warm = {"turned": 2.0, "baseline": 0.5}
    said = Router(found(0.0), lean, behind, warm, "PASS").answer(rows)
    assert np.allclose(said.scores, stats.apply_temperature(lean.run_batch(rows), 2.0))
    said = Router(found(0.0, chosen=None), lean, behind, warm, "PASS").answer(rows)
    assert set(said.routes) == {"baseline"}
    assert np.allclose(said.scores, stats.apply_temperature(behind.run_batch(rows), 0.5))


def test_the_threshold_is_compared_as_it_was_chosen(models, rows):
    """In 32 bits many thresholds of the grid round down, and let one answer more stand."""
    lean, behind = models
    just = rows[:1]
    confidence = float(lean.run_batch(just).max())
    above = np.nextafter(confidence, 1.0)
    assert np.float32(above) == np.float32(confidence)
    assert Router(found(above), lean, behind, {}, "PASS").answer(just).routes == ("baseline",)
    assert Router(found(confidence), lean, behind, {}, "PASS").answer(just).routes == ("turned",)


def test_where_nobody_stands_behind_it_abstains(models, rows):
    said = Router(found(2.0, fallback="abstain"), models[0], None, {}, "PASS").answer(rows)
    assert set(said.routes) == {"abstain"}
    assert (said.predicted == -1).all()


def test_without_time_for_the_fallback_the_lean_answer_stands_and_promises_nothing(models, rows):
    lean, behind = models
    router = Router(found(2.0), lean, behind, {}, "PASS")
    said = router.answer(rows, until=time.monotonic() + 0.001)
    assert set(said.routes) == {"turned"}
    assert set(said.promises) == {"void: no time for the fallback"}
    assert set(router.answer(rows, until=time.monotonic() + 60).routes) == {"baseline"}


def test_a_fallback_that_fails_voids_its_rows_alone(models, rows):
    lean, behind = models
    raw = lean.run_batch(rows)
    threshold = float(np.median(raw.max(axis=1)))
    # What a broken runtime does: it gives another number of classes.
    broken = type(behind)(behind.model, lambda tensors: np.zeros((1, 1), np.float32))
    said = Router(found(threshold), lean, broken, {}, "PASS").answer(rows)
    void = np.array([promise != "held" for promise in said.promises])
    assert (void == (raw.max(axis=1) < threshold)).all()
    assert said.promises[int(void.argmax())].startswith("void: the fallback failed: gives")
    assert (said.predicted == raw.argmax(axis=1)).all()
