"""Accuracy by deadline, counted again by hand and covered by simulation."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.dataset import Dataset
from surefoot.core.evidence import Cell
from surefoot.core.load import Machine, ServedProfile
from surefoot.core.plan import LoadPlan
from surefoot.evaluate.load.deadlines import GRID_MS, _share, by_deadline

ROWS = Dataset(
    name="main", ids=np.array(list("abcd"), np.dtypes.StringDType()),
    inputs=np.zeros((4, 1), np.float32), labels=np.array([0, 1, 0, 1]), classes=("x", "y"),
)  # fmt: skip
# The baseline is right on the first three rows.
BASELINE = Cell(
    candidate="baseline", dataset="main", ids=ROWS.ids, labels=ROWS.labels,
    predicted=np.array([0, 1, 0, 0]), scores=np.zeros((4, 2), np.float32),
)  # fmt: skip


def profile(rows, answers, wall, name="lean", scenario="server"):
    n = len(wall)
    nothing = np.zeros(n)
    return ServedProfile(
        load="peak", candidate=name, scenario=scenario, runtime="", batch=np.shape(rows)[1],
        threads=1, target_qps=5.0, rows=np.array(rows), arrival_ms=nothing, wall_ms=np.array(wall),
        service_ms=nothing, lateness_ms=nothing, cpu_ms=nothing, answers=np.array(answers),
        achieved_qps=5.0, waiting=0, machine=Machine(steal=None, foreign=None), busy=0.0,
        ended_ms=1.0,
    )  # fmt: skip


def loads(*deadlines):
    load = LoadPlan(scenario="server", target_qps=5.0, deadlines_ms=list(deadlines) or None)
    return {"peak": load}


def test_late_answers_are_wrong_or_the_baselines():
    rows, answers = [[0], [1], [2], [3], [3]], [[0], [1], [1], [1], [-1]]
    one = profile(rows, answers, [5.0, 30.0, 5.0, 5.0, np.inf])
    short, long = by_deadline([one], loads(10, 50), ROWS, BASELINE)
    assert (short.deadline_ms, long.deadline_ms) == (10, 50)
    # In time are requests 0, 2 and 3, of which 0 and 3 are right; 1 is late, and the baseline
    # knows it; 4 never comes, and the baseline does not know it either.
    assert short.in_time.value == pytest.approx(3 / 5)
    assert short.accuracy.value == pytest.approx(2 / 5)
    assert short.fallback.value == pytest.approx(3 / 5)
    assert long.in_time.value == pytest.approx(4 / 5)
    assert long.accuracy.value == pytest.approx(3 / 5)
    assert long.fallback.value == pytest.approx(3 / 5)


def test_a_request_of_several_rows_is_late_as_a_whole():
    one = profile([[0, 1], [2, 3]], [[0, 0], [0, 1]], [5.0, 15.0])
    (found,) = by_deadline([one], loads(10), ROWS, BASELINE)
    assert (found.in_time.value, found.accuracy.value) == (0.5, 0.25)
    assert found.fallback.value == pytest.approx((0.5 + 0.5) / 2)
    assert found.accuracy.n == 2


def test_a_load_that_names_no_deadline_has_some_and_the_second_baseline_none():
    one = profile([[0]], [[0]], [5.0])
    again = profile([[0]], [[0]], [5.0], "baseline (again)")
    offline = profile([[0]], [[0]], [5.0], scenario="offline")
    found = by_deadline([one, again, offline], loads(), ROWS, BASELINE)
    assert [d.deadline_ms for d in found] == list(GRID_MS)
    assert {d.candidate for d in found} == {"lean"}


def test_few_requests_have_no_interval_and_many_that_agree_still_one():
    assert (_share(np.ones(50)).low, _share(np.ones(50)).high) == (0, 1)
    # By hand: 0.025 ** (1 / 500).
    assert _share(np.ones(500)).low == pytest.approx(0.025 ** (1 / 500))
    assert _share(np.ones(500)).high == 1


def test_intervals_cover_where_neighbours_are_late_together():
    """Late spells of 20 requests in the mean; 600 runs of 2,000; the nominal level is 95 %."""
    rng, hits = np.random.default_rng(3), 0
    for _ in range(600):
        late = rng.random() < 0.2
        draws = rng.random(2000)
        series = np.empty(2000)
        for i, draw in enumerate(draws):
            late = draw >= 0.05 if late else draw < 0.0125
            series[i] = late
        found = _share(series)
        hits += found.low <= 0.2 <= found.high
    assert 0.92 <= hits / 600 <= 1


@pytest.mark.parametrize("size", [1, 5])
def test_intervals_cover_where_the_same_rows_are_sent_again_and_again(size):
    """5,000 requests of 200 rows that are right with probability 0.9; 300 test sets.

    In groups of five all rows are right or wrong together.
    """
    rng, runs, hits, naive = (
        np.random.default_rng(4),
        300,
        dict.fromkeys(("accuracy", "fallback"), 0),
        0,
    )
    names = np.arange(200)
    rows = replace(
        ROWS, ids=names.astype(np.dtypes.StringDType()), inputs=np.zeros((200, 1), np.float32),
        labels=np.zeros(200, np.int64), groups=names // size if size > 1 else None,
    )  # fmt: skip
    for _ in range(runs):
        right = (rng.random(200 // size) < 0.9).repeat(size)
        sent = rng.integers(0, 200, (5000, 1))
        one = profile(sent, np.where(right, 0, 1)[sent], np.full(5000, 5.0))
        baseline = replace(BASELINE, ids=rows.ids, labels=rows.labels, predicted=rows.labels)
        (found,) = by_deadline([one], loads(10), rows, baseline)
        for name in hits:
            share = getattr(found, name)
            hits[name] += share.low <= 0.9 <= share.high
        alone = _share(right[sent[:, 0]].astype(float))
        naive += alone.low <= 0.9 <= alone.high
        assert found.in_time.low > 0.99  # whether a request is in time is no matter of its row
    assert naive / runs < 0.6
    assert all(0.92 <= hit / runs <= 1 for hit in hits.values()), hits


def test_one_row_alone_says_nothing_of_others():
    one = profile(np.zeros((500, 1), int), np.zeros((500, 1), int), np.full(500, 5.0))
    (found,) = by_deadline([one], loads(10), ROWS, BASELINE)
    assert (found.accuracy.low, found.accuracy.high) == (0, 1)
    assert found.in_time.low > 0.98
