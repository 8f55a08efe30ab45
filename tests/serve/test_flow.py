"""Which model answers which row, on models that are really open."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import ModelError, RemoteError
from surefoot.evaluate.remote import Replied
from surefoot.models import open_model
from surefoot.serve.flow import Comparing, DownError, Flow, Stage, Standing
from surefoot.serve.lanes import FORGET_S, Lane, Late
from surefoot.serve.remote import Remote


@pytest.fixture
def models(contents):
    """The lean model, whose answers are all other ones, and the fallback, both open."""
    everyone = {c.name: c.model for c in contents.candidates}
    with ExitStack() as stack:
        yield tuple(stack.enter_context(open_model(everyone[n])) for n in ("turned", "baseline"))


@pytest.fixture
def rows(contents):
    return contents.task.test["main"].inputs


def stage(name, predict, *, inline=True, **told):
    return Stage(name=name, lane=Lane(predict, inline=inline), **told)


def flow(lean, fallback, threshold, **options):
    """A flow with one lean model, whose standing a test may change."""
    standing = options.pop("standing", lambda: Standing(threshold=threshold))
    stages = lean if isinstance(lean, list) else [lean]
    return Flow(stages, fallback, 3, standing=standing, **options)


def answer(flow, rows, seconds=np.inf):
    return asyncio.run(flow.answer(rows, time.monotonic() + seconds))


def broken(model):
    """What a broken runtime does: it gives another number of classes."""
    return type(model)(model.model, lambda tensors: np.zeros((1, 1), np.float32))


def slowly(predict, seconds):
    def call(rows):
        time.sleep(seconds)
        return predict(rows)

    return call


def test_who_is_sure_enough_answers_and_else_the_fallback(models, rows):
    lean, behind = models
    raw = lean.run_batch(rows)
    threshold = float(np.median(raw.max(axis=1)))
    said = answer(flow(stage("turned", lean), stage("baseline", behind), threshold), rows)
    sure = raw.max(axis=1) >= threshold
    assert 0 < sure.sum() < len(rows)
    assert [route == "turned" for route in said.routes] == sure.tolist()
    wanted = np.where(sure[:, None], raw, behind.run_batch(rows))
    assert (said.predicted == wanted.argmax(axis=1)).all()
    assert np.allclose(said.scores, wanted)
    assert set(said.promises) == {"held"}


def test_confidence_is_that_at_the_temperature_of_whoever_answered(models, rows):
    lean, behind = (
        stage("turned", models[0], temperature=2.0),
        stage("baseline", models[1], temperature=0.5),
    )
    said = answer(flow(lean, behind, 0.0), rows)
    assert np.allclose(said.scores, stats.apply_temperature(models[0].run_batch(rows), 2.0))
    said = answer(flow(lean, behind, np.inf), rows)
    assert set(said.routes) == {"baseline"}
    assert np.allclose(said.scores, stats.apply_temperature(models[1].run_batch(rows), 0.5))


def test_the_threshold_is_compared_as_it_was_chosen(models, rows):
    """In 32 bits many thresholds of the grid round down, and let one answer more stand."""
    lean, behind = stage("turned", models[0]), stage("baseline", models[1])
    just = rows[:1]
    confidence = float(models[0].run_batch(just).max())
    above = np.nextafter(confidence, 1.0)
    assert np.float32(above) == np.float32(confidence)
    assert answer(flow(lean, behind, above), just).routes == ("baseline",)
    assert answer(flow(lean, behind, confidence), just).routes == ("turned",)


def test_where_nobody_stands_behind_it_abstains(models, rows):
    said = answer(flow(stage("turned", models[0]), None, 2.0), rows)
    assert set(said.routes) == {"abstain"}
    assert (said.predicted == -1).all()


def test_who_stands_between_is_asked_before_the_fallback(models, rows):
    lean, behind = models
    raw = lean.run_batch(rows)
    third, two_thirds = np.quantile(raw.max(axis=1), [1 / 3, 2 / 3])
    # The one between is sure of what the first is sure of least.
    unsure = raw.max(axis=1) < third

    def between(asked):
        found = lean(asked).copy()
        known = {row.tobytes() for row in rows[unsure]}
        for i, row in enumerate(asked):
            if row.tobytes() in known:
                found[i] = [0.0, 0.0, 1.0]
        return found

    stages = [stage("turned", lean), stage("between", between)]
    said = answer(flow(stages, stage("baseline", behind), float(two_thirds)), rows)
    sure = raw.max(axis=1) >= two_thirds
    wanted = np.where(sure, "turned", np.where(unsure, "between", "baseline"))
    assert said.routes == tuple(wanted)
    assert (said.predicted[unsure] == 2).all()
    own = Standing(threshold=float(two_thirds), between=(1.5,))
    said = answer(flow(stages, stage("baseline", behind), 0, standing=lambda: own), rows)
    assert said.routes == tuple(np.where(sure, "turned", "baseline"))


def test_a_row_is_strange_to_whoever_answers_it(models, rows):
    lean, behind = models
    raw, other = lean.run_batch(rows).max(axis=1), behind.run_batch(rows).max(axis=1)
    half, third = float(np.median(raw)), float(np.quantile(other, 1 / 3))
    stages = stage("turned", lean, scope=0.0), stage("baseline", behind, scope=third)
    said = answer(flow(*stages, half), rows)
    assert said.strange == tuple(np.where(raw >= half, False, other < third))
    assert 0 < sum(said.strange) < len(rows)
    untold = answer(flow(stage("turned", lean, scope=2.0), stage("baseline", behind), half), rows)
    assert untold.strange == tuple(np.where(raw >= half, True, None))
    unknown = answer(flow(stage("turned", lean), stage("baseline", behind), half), rows)
    assert unknown.strange == ()


def replied(predicted, confidence=np.nan, scores=None):
    predicted = np.array(predicted)
    known = np.full(len(predicted), confidence)
    return Replied(predicted=predicted, confidence=known, scores=scores)


def remote(ask):
    """An endpoint in the place of a model."""

    async def asked(rows, until):
        return ask(rows)

    return Stage(name="fallback", lane=Remote(asked, 3, lambda: None))


def test_an_endpoint_that_names_classes_answers_with_the_confidence_it_tells(models, rows):
    lean = stage("turned", models[0])
    said = answer(flow(lean, remote(lambda asked: replied([2] * len(asked), 0.7)), 2.0), rows)
    assert set(said.routes) == {"fallback"}
    assert set(said.predicted) == {2}
    assert set(said.scores.max(axis=1)) == {0.7}
    said = answer(flow(lean, remote(lambda asked: replied([0] * len(asked))), 2.0), rows)
    assert set(said.predicted) == {0}
    assert np.isnan(said.scores.max(axis=1)).all()
    known = models[1].run_batch(rows)
    scored = remote(lambda asked: replied(known.argmax(axis=1), 0.5, known))
    assert np.allclose(answer(flow(lean, scored, 2.0), rows).scores, known)


def test_an_endpoint_that_abstains_names_no_class_whatever_its_scores(models, rows):
    known = models[1].run_batch(rows)
    said = known.argmax(axis=1)
    said[0] = -1
    abstains = remote(lambda asked: replied(said, 0.5, known))
    found = answer(flow(stage("turned", models[0]), abstains, 2.0), rows)
    assert found.promises[0] == "void: the fallback named no class that it stands by"
    assert found.routes[0] == "turned"
    assert set(found.routes[1:]) == {"fallback"}
    assert set(found.promises[1:]) == {"held"}


@pytest.mark.parametrize(
    ("fault", "opens"), [("refused", False), ("slow", True), ("down", True), ("rubbish", True)]
)
def test_only_an_endpoint_s_own_faults_open_the_breaker(models, rows, fault, opens):
    def ask(asked):
        raise RemoteError(fault, "says nothing")

    one = flow(stage("turned", models[0]), remote(ask), 2.0)
    for _ in range(5):
        said = answer(one, rows)
        assert set(said.promises) == {"void: the fallback failed: says nothing"}
    assert one.breaker.open == opens


def test_an_endpoint_that_names_no_class_or_has_no_time_left_voids_the_promise(models, rows):
    lean = stage("turned", models[0])
    said = answer(flow(lean, remote(lambda asked: replied([1, -1])), 2.0), rows[:2])
    assert said.promises == ("held", "void: the fallback named no class that it stands by")
    assert said.routes == ("fallback", "turned")

    def late(asked):
        raise RemoteError("deadline", "did not answer in time")

    one = flow(lean, remote(late), 2.0)
    for _ in range(6):
        assert set(answer(one, rows).promises) == {"void: no time for the fallback"}
    assert not one.breaker.open


def test_without_time_for_the_fallback_the_lean_answer_stands_and_promises_nothing(models, rows):
    lean, behind = stage("turned", models[0]), stage("baseline", models[1])
    for _ in range(20):
        behind.lane._recent.learn(100.0)
    one = flow(lean, behind, 2.0)
    said = answer(one, rows, seconds=60)
    assert set(said.routes) == {"turned"}
    assert set(said.promises) == {"void: no time for the fallback"}
    assert set(answer(one, rows).routes) == {"baseline"}
    # Who was slow is not slow for ever.
    behind.lane._recent._at -= FORGET_S + 1
    assert set(answer(one, rows, seconds=60).routes) == {"baseline"}


@pytest.mark.parametrize("slow", ["fallback", "between"])
def test_nobody_waits_longer_than_the_deadline_for_who_is_slow(models, rows, slow):
    lean, behind = models
    late = stage(slow, slowly(behind, 1.0), inline=False)
    stages = [stage("turned", lean), *([late] if slow == "between" else [])]
    fallback = late if slow == "fallback" else stage("baseline", behind, inline=False)
    began = time.monotonic()
    one = flow(stages, fallback, 2.0)

    async def ask():
        said = await one.answer(rows, time.monotonic() + 0.1)
        return said, time.monotonic() - began

    said, took = asyncio.run(ask())
    assert took < 0.9
    assert set(said.routes) == {"turned"}
    assert set(said.promises) == {"void: no time for the fallback"}
    assert not one.breaker.open


def test_where_not_even_the_lean_model_is_in_time_nothing_is_answered(models, rows):
    lean = stage("turned", slowly(models[0], 0.3), inline=False)
    with pytest.raises(Late):
        answer(flow(lean, stage("baseline", models[1]), 0.0), rows, seconds=0.05)


def test_a_fallback_that_fails_voids_its_rows_alone(models, rows):
    lean, behind = models
    raw = lean.run_batch(rows)
    threshold = float(np.median(raw.max(axis=1)))
    said = answer(flow(stage("turned", lean), stage("baseline", broken(behind)), threshold), rows)
    void = np.array([promise != "held" for promise in said.promises])
    assert (void == (raw.max(axis=1) < threshold)).all()
    assert said.promises[int(void.argmax())].startswith("void: the fallback failed: gives")
    assert (said.predicted == raw.argmax(axis=1)).all()


def test_a_lean_model_that_fails_leaves_all_to_the_fallback(models, rows):
    lean, behind = stage("turned", broken(models[0])), stage("baseline", models[1])
    said = answer(flow(lean, behind, 0.0), rows)
    assert set(said.routes) == {"baseline"}
    assert set(said.promises) == {"held"}
    with pytest.raises(DownError, match="turned failed: gives"):
        answer(flow(lean, None, 0.0), rows)
    with pytest.raises(DownError, match=r"turned failed: gives .*; the fallback failed: gives"):
        answer(flow(lean, stage("baseline", broken(models[1])), 0.0), rows)


def test_a_failing_fallback_is_left_alone_until_a_sample_shows_that_it_is_well(models, rows):
    lean, behind = models
    ill, calls = [True], []

    def moody(asked):
        calls.append(len(asked))
        if ill:
            raise ModelError("is unwell")
        return behind(asked)

    one = flow(stage("turned", lean), stage("baseline", moody), 2.0)
    one.breaker._jitter = lambda pause: 0.05

    async def live():
        for _ in range(10):
            await one.answer(rows)
        asked = len(calls)
        assert one.breaker.open
        assert asked == 5
        said = await one.answer(rows)
        assert set(said.promises) == {"void: the fallback has been failing"}
        assert len(calls) == asked
        ill.clear()
        for _ in range(200):
            said = await one.answer(rows)
            if not one.breaker.open:
                break
            await asyncio.sleep(0.01)
        assert set((await one.answer(rows)).promises) == {"held"}
        # What showed it were samples of one row, and no client waited for them.
        assert calls[asked : asked + 3] == [1, 1, 1]

    asyncio.run(live())


def test_a_share_of_what_stands_is_compared_in_the_shadow(models, rows):
    lean, behind = models
    pairs, both = [], (stage("turned", lean), stage("baseline", behind))
    one = flow(*both, 0.0, comparing=Comparing(share=1.0, pairs=pairs.append))

    async def live():
        said = await one.answer(rows[:50])
        assert set(said.routes) == {"turned"}
        assert not pairs
        await one._at_work

    asyncio.run(live())
    raw, other = lean.run_batch(rows[:50]), behind.run_batch(rows[:50])
    assert [p.agree for p in pairs] == (raw.argmax(axis=1) == other.argmax(axis=1)).tolist()
    assert np.allclose([p.confidence for p in pairs], raw.max(axis=1))
    assert all(p.accepted for p in pairs)
    pairs.clear()
    none = Comparing(share=0.0, pairs=pairs.append)
    answer(flow(stage("t", lean), stage("b", behind), 0.0, comparing=none), rows)
    assert not pairs


def test_with_a_strict_threshold_pairs_are_drawn_alike_whoever_answers(models, rows):
    """Else rows that the lean model is unsure of would be too many, and the risk look small."""
    lean, behind = models
    raw = lean.run_batch(rows)
    median = float(np.median(raw.max(axis=1)))
    standing = Standing(threshold=median, promise="void: alarm", epoch=1, alarm=True)
    pairs = []
    one = flow(
        stage("turned", lean), stage("baseline", behind), 0, standing=lambda: standing,
        comparing=Comparing(share=0.2, pairs=pairs.append),
    )  # fmt: skip

    async def often():
        for _ in range(20):
            await one.answer(rows)
            while one._shadows:  # noqa: ASYNC110 - nothing tells when they are done
                await asyncio.sleep(0.001)

    asyncio.run(often())
    counts = [sum(p.accepted == stood for p in pairs) for stood in (True, False)]
    drawn = 20 * len(rows) / 2
    for count in counts:
        assert 0.1 * drawn < count < 0.35 * drawn


def test_in_alarm_every_request_is_a_pair(models, rows):
    lean, behind = models
    pairs = []
    standing = Standing(threshold=np.inf, promise="void: alarm", epoch=3, alarm=True)
    one = flow(
        stage("turned", lean), stage("baseline", behind), 0, standing=lambda: standing,
        comparing=Comparing(share=0.0, pairs=pairs.append),
    )  # fmt: skip
    said = answer(one, rows)
    assert set(said.promises) == {"void: alarm"}
    assert len(pairs) == len(rows)
    assert {(p.accepted, p.epoch) for p in pairs} == {(False, 3)}
    assert [p.agree for p in pairs] == (
        lean.run_batch(rows).argmax(axis=1) == said.predicted
    ).tolist()


def test_a_model_that_stands_in_for_one_that_failed_promises_nothing(models, rows):
    """Its threshold was shown for the rows that the one before it leaves over, and no others."""
    lean, behind = models
    raw = behind.run_batch(rows)
    least = float(np.median(raw.max(axis=1)))
    stages = [stage("turned", broken(lean)), stage("baseline", behind)]
    standing = Standing(threshold=2.0, between=(least,))
    said = answer(flow(stages, stage("big", behind), 2.0, standing=lambda: standing), rows)
    sure = raw.max(axis=1).astype(np.float64) >= least
    assert [route == "baseline" for route in said.routes] == sure.tolist()
    void = np.array([one.startswith("void: turned failed: gives") for one in said.promises])
    assert (void == sure).all()
    assert {one for one, is_void in zip(said.promises, void, strict=True) if not is_void} == {
        "held"
    }


def test_a_row_that_the_fallback_names_no_class_for_voids_itself_alone(models, rows):
    lean, behind = models

    def now_and_then(asked):
        return behind.run_batch(asked) * (np.arange(len(asked)) % 3 > 0)[:, None]

    said = answer(flow(stage("turned", lean), stage("big", now_and_then), 2.0), rows)
    named = np.arange(len(rows)) % 3 > 0
    assert [route == "big" for route in said.routes] == named.tolist()
    wanted = np.where(named, "held", "void: the fallback named no class that it stands by")
    assert list(said.promises) == wanted.tolist()
    assert (said.predicted[named] == behind.run_batch(rows).argmax(axis=1)[named]).all()
