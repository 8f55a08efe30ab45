"""Turns, shared calls and refusals, with threads that really wait."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.serve.lanes import FORGET_S, Busy, Lane, Late, Share
from surefoot.serve.limits import CALLS, LONG_S, PROBES, SHORT_S, Breaker, Patience


class Model:
    """Doubles rows, and remembers its calls; `gate` holds it up, `poison` makes it fail."""

    def __init__(self, poison=None):
        self.calls, self.gate, self.poison = [], threading.Event(), poison
        self.gate.set()
        self._inside = 0

    def __call__(self, rows):
        self._inside += 1
        assert self._inside == 1
        self.gate.wait(10)
        self.calls.append(rows.ravel().tolist())
        self._inside -= 1
        if self.poison in self.calls[-1]:
            raise ModelError("poisoned")
        return rows * 2


def row(*values):
    return np.array(values, np.float32)[:, None]


def lives(lane, work):
    """Run something in a loop, and end the lane's thread."""
    try:
        return asyncio.run(work())
    finally:
        lane.close()


@pytest.mark.parametrize("inline", [True, False])
def test_rows_are_answered_one_call_after_the_other(inline):
    model = Model()
    lane = Lane(model, inline=inline)

    async def work():
        return await asyncio.gather(*(lane(row(i)) for i in range(20)))

    found = lives(lane, work)
    assert [f.item() for f in found] == [2 * i for i in range(20)]
    assert model.calls == [[i] for i in range(20)]
    assert lane.idle


def held(model, lane, work):
    """Do `work` while the first call does not end."""

    async def live():
        model.gate.clear()
        first = asyncio.create_task(lane(row(100)))
        await asyncio.sleep(0.01)
        assert not lane.idle
        tasks = work()
        await asyncio.sleep(0.01)
        model.gate.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    return lives(lane, live)


def test_who_waits_shares_the_next_call_up_to_what_pays():
    model, share = Model(), Share(8, 1.0)
    for size in (1, 2, 4, 8):
        share.learn(size, 0.01)
    lane = Lane(model, inline=False, share=share)
    found = held(model, lane, lambda: [asyncio.create_task(lane(row(i))) for i in range(10)])
    assert [f.item() for f in found] == [200, *(2 * i for i in range(10))]
    assert [len(call) for call in model.calls] == [1, 8, 2]


def test_without_leave_to_share_nobody_does():
    model = Model()
    lane = Lane(model, inline=False)
    held(model, lane, lambda: [asyncio.create_task(lane(row(i))) for i in range(5)])
    assert {len(call) for call in model.calls} == {1}


def test_a_request_that_breaks_a_shared_call_breaks_its_own_alone():
    model, share = Model(poison=3), Share(8, 1.0)
    for size in (1, 2, 4, 8):
        share.learn(size, 0.01)
    lane = Lane(model, inline=False, share=share)
    found = held(model, lane, lambda: [asyncio.create_task(lane(row(i))) for i in range(6)])
    wrong = [i for i, one in enumerate(found[1:]) if isinstance(one, ModelError)]
    assert wrong == [3]
    assert [one.item() for i, one in enumerate(found[1:]) if i != 3] == [0, 2, 4, 8, 10]


def test_what_is_late_while_it_waits_is_never_begun():
    model = Model()
    lane = Lane(model, inline=False)

    def work():
        late = asyncio.create_task(lane(row(7), time.monotonic() + 0.001))
        return [late, asyncio.create_task(lane(row(8)))]

    found = held(model, lane, work)
    assert isinstance(found[1], Late)
    assert model.calls == [[100], [8]]


def test_golden_rows_go_first_and_are_never_refused():
    model = Model()
    lane = Lane(model, inline=False)

    def work():
        lane.patience.allows = lambda waited, now: waited < 0
        others = [asyncio.create_task(lane(row(i))) for i in range(CALLS + 3)]
        return [*others, asyncio.create_task(lane(row(50), first=True))]

    found = held(model, lane, work)
    assert [isinstance(one, Busy) for one in found[1:]] == [True] * 3 + [False] * (CALLS + 1)
    assert model.calls == [[100], [50], *([i] for i in range(3, CALLS + 3))]


def test_many_rows_are_handed_to_the_thread_even_of_a_quick_model():
    threads = []
    lane = Lane(lambda rows: (threads.append(threading.current_thread()), rows)[1], inline=True,
                row_s=0.001)  # fmt: skip

    async def work():
        await lane(row(1))
        lane._row_s = 0.001
        await asyncio.gather(lane(row(*range(50))), lane(row(2)))

    lives(lane, work)
    own = threading.current_thread()
    # The last one waits for its turn: a model is called by one thread at a time.
    assert [one is own for one in threads] == [True, False, False]


@pytest.mark.parametrize("inline", [True, False])
def test_who_has_no_time_left_is_told_so_before_anything_is_begun(inline):
    model = Model()
    lane = Lane(model, inline=inline)

    async def work():
        with pytest.raises(Late):
            await lane(row(1), time.monotonic() - 1)

    lives(lane, work)
    assert model.calls == []


def test_a_call_that_cannot_be_begun_stops_nobody_else(monkeypatch):
    model = Model()
    lane = Lane(model, inline=False)
    submit, refused = lane._pool.submit, [True]

    def once(*given):
        if refused:
            refused.clear()
            raise RuntimeError("can't start new thread")
        return submit(*given)

    monkeypatch.setattr(lane._pool, "submit", once)

    async def work():
        found = await asyncio.gather(*(lane(row(i)) for i in range(3)), return_exceptions=True)
        assert [type(one) is RuntimeError for one in found] == [True, False, False]

    lives(lane, work)
    assert lane.idle


def test_a_hiccup_does_not_end_sharing_for_good():
    share = Share(32, 1.0)
    share.learn(1, 0.010)
    share.learn(2, 0.9)
    assert share.rows() == 1
    share._took[2] = (0.9, time.monotonic() - FORGET_S - 1)
    assert share.rows() == 2


def test_inline_calls_are_timed_and_never_late_when_begun():
    lane = Lane(Model(), inline=True)
    with pytest.raises(Late):
        asyncio.run(lane(row(1), time.monotonic() - 1))
    for i in range(30):
        asyncio.run(lane(row(i)))
    assert 0 < lane.slow() < 1


def test_rows_are_put_together_as_long_as_that_pays():
    share = Share(32, 0.1)
    assert share.rows() == 1
    share.learn(1, 0.010)
    assert share.rows() == 2  # tried, nobody knows
    share.learn(2, 0.012)
    share.learn(4, 0.016)
    assert share.rows() == 8
    share.learn(8, 0.032)  # a row takes as long as it did
    assert share.rows() == 4
    bound = Share(32, 0.015)
    for size, seconds in ((1, 0.010), (2, 0.012), (4, 0.016)):
        bound.learn(size, seconds)
    assert bound.rows() == 2


def test_waits_are_long_where_a_queue_empties_and_short_where_it_never_does():
    patience, now = Patience(), 100.0
    assert patience.allows(0.0, now)
    assert patience.allows(LONG_S * 0.9, now + 0.1)
    assert not patience.allows(LONG_S * 1.1, now + 0.2)
    later = now + 2 * LONG_S
    assert not patience.allows(SHORT_S * 1.5, later)
    assert patience.allows(SHORT_S * 0.9, later)
    assert patience.allows(0.0, later)
    assert patience.allows(SHORT_S * 1.5, later + 0.1)


def test_a_few_clients_that_wait_for_each_other_are_never_refused():
    """Each sends its next request when it has its answer, so that some always wait."""
    lane = Lane(lambda rows: (time.sleep(0.02), rows)[1], inline=False)
    lane.patience.allows = lambda waited, now: False

    async def client(i):
        for _ in range(4):
            assert await lane(row(i)) == i

    async def work():
        await asyncio.gather(*(client(i) for i in range(CALLS)))

    lives(lane, work)


def test_slow_models_are_waited_for_longer():
    patience = Patience()
    for _ in range(100):
        patience.learn(0.1)
    assert patience.allows(CALLS * 0.099, 1e6)
    assert not patience.allows(CALLS * 0.11, 1e6)
    assert patience.after() == 3


def test_an_overload_is_refused_fast_and_the_rest_is_served():
    """Twice as many arrive as a model of 5 ms can take: about half of them is served."""
    lane = Lane(lambda rows: (time.sleep(0.005), rows)[1], inline=False)
    waits, refused = [], []

    async def one(i):
        began = time.monotonic()
        try:
            await lane(row(i))
            waits.append(time.monotonic() - began)
        except Busy as busy:
            refused.append(busy.after)

    async def work():
        tasks = []
        for i in range(1_600):
            tasks.append(asyncio.create_task(one(i)))
            await asyncio.sleep(0.0025)
        await asyncio.gather(*tasks)

    lives(lane, work)
    assert len(waits) + len(refused) == 1_600
    assert len(refused) > 80
    assert min(refused) >= 1
    assert len(waits) > 200


def test_a_breaker_opens_on_failures_and_closes_on_good_tries():
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0], jitter=lambda pause: pause)
    for _ in range(20):
        breaker.succeeded()
    for _ in range(9):
        breaker.failed()
    assert not breaker.open
    breaker.failed()
    assert breaker.open
    assert not breaker.probing
    now[0] = 1.0
    assert breaker.probing
    breaker.failed()  # a try: the pause doubles
    assert not breaker.probing
    now[0] = 2.9
    assert not breaker.probing
    now[0] = 3.0
    for _ in range(PROBES):
        assert breaker.open
        breaker.succeeded()
    assert not breaker.open


def test_a_few_calls_open_no_breaker_and_pauses_have_an_end():
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0], jitter=lambda pause: pause)
    for _ in range(4):
        breaker.failed()
    assert not breaker.open
    for _ in range(20):
        breaker.failed()
    now[0] = 60.0
    assert breaker.probing
