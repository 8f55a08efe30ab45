"""Ready is who answers golden inputs right, in time, and lately."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.models import open_model, read_golden
from surefoot.serve.flow import Stage
from surefoot.serve.lanes import Lane
from surefoot.serve.readiness import Readiness


@pytest.fixture
def watched(contents):
    """Gives the readiness of one model, whose answers pass through `change`."""

    def make(change, *, inline=True):
        lane = Lane(lambda rows: change(predict(rows)), inline=inline)
        return Readiness([Stage(name="lean", lane=lane)], {"lean": read_golden(model)})

    model = contents.candidates[0].model
    with open_model(model) as predict:
        yield make


def test_right_answers_are_ready(watched):
    ready = watched(lambda scores: scores)
    asyncio.run(ready.look())
    assert ready.ready
    ready.leaving = True
    assert not ready.ready
    assert ready.why() == ""


def test_other_answers_are_not(watched):
    ready = watched(lambda scores: scores[:, ::-1])
    asyncio.run(ready.look())
    assert not ready.ready
    assert ready.why() == "lean gives other answers to golden inputs"


def test_an_error_is_not_and_is_forgotten_when_it_is_over(watched):
    ill = [True]

    def change(scores):
        if ill:
            raise ModelError("is unwell")
        return scores

    ready = watched(change)
    asyncio.run(ready.look())
    assert (ready.ready, ready.why()) == (False, "lean fails: is unwell")
    ill.clear()
    asyncio.run(ready.look())
    assert ready.ready


def test_slow_answers_are_not(watched, monkeypatch):
    monkeypatch.setattr("surefoot.serve.readiness.WITHIN_S", 0.05)
    ready = watched(lambda scores: (time.sleep(0.3), scores)[1], inline=False)
    asyncio.run(ready.look())
    assert ready.why() == "lean does not answer within 0.05 seconds"


def test_good_answers_of_long_ago_are_not(watched, monkeypatch):
    ready = watched(lambda scores: scores)
    monkeypatch.setattr("surefoot.serve.readiness.LATELY_S", -1.0)
    assert not ready.ready
    assert ready.why() == "golden inputs were answered 0 seconds ago"


def test_a_model_without_golden_answers_is_not_asked(contents):
    stage = Stage(name="lean", lane=Lane(lambda rows: np.zeros(0), inline=True))
    ready = Readiness([stage], {})
    asyncio.run(ready.look())
    assert ready.ready
