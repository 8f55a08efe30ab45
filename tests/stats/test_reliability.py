"""Reliability diagrams by brute force, and whether their bars hold what they promise."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from surefoot import stats
from surefoot.core.errors import DataError


def calibrated(rng, n):
    confidence = rng.uniform(0.5, 1, n)
    return confidence, rng.random(n) < confidence


def test_bins_by_brute_force():
    confidence, right = calibrated(np.random.default_rng(0), 103)
    found = stats.reliability_bins(confidence, right, 4)
    ranked = sorted(zip(confidence.tolist(), right.tolist(), strict=True))
    parts = [[row for i, row in enumerate(ranked) if i * 4 // 103 == b] for b in range(4)]
    assert found.n.tolist() == [len(part) for part in parts]
    assert found.confidence == pytest.approx([np.mean([c for c, _ in part]) for part in parts])
    assert found.accuracy == pytest.approx([np.mean([r for _, r in part]) for part in parts])


@pytest.mark.parametrize(("n", "bins"), [(300, 15), (2_000, 15), (60, 3)])
def test_bars_hold_what_they_promise_for_a_calibrated_model(n, bins):
    rng, inside = np.random.default_rng(1), []
    for _ in range(200):
        found = stats.reliability_bins(*calibrated(rng, n), bins)
        inside.append((found.low <= found.accuracy) & (found.accuracy <= found.high))
    assert 0.945 <= np.mean(inside) <= 0.99


def test_bars_show_a_model_that_is_too_sure():
    confidence, _ = calibrated(np.random.default_rng(2), 3_000)
    right = np.random.default_rng(3).random(3_000) < confidence - 0.15
    found = stats.reliability_bins(confidence, right, 15)
    assert ((found.accuracy < found.low).sum()) >= 13


def test_bars_of_rows_in_groups():
    rng, inside, naive = np.random.default_rng(4), [], []
    for _ in range(200):
        confidence, right = (np.repeat(x, 5) for x in calibrated(rng, 200))
        for groups, hits in ((np.repeat(np.arange(200), 5), inside), (None, naive)):
            found = stats.reliability_bins(confidence, right, 10, groups=groups)
            hits.append((found.low <= found.accuracy) & (found.accuracy <= found.high))
    assert np.mean(inside) >= 0.93
    assert np.mean(naive) < 0.8


def test_certain_answers_leave_no_room():
    found = stats.reliability_bins(np.ones(40), np.arange(40) > 0, 2)
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1], [1, 1])
    assert found.accuracy[0] < 1


def test_more_bins_than_rows_are_refused():
    with pytest.raises(DataError, match="5 bins of 3 rows"):
        stats.reliability_bins(np.full(3, 0.6), np.ones(3), 5)


def test_a_share_is_that_of_statsmodels():
    found = stats.share_interval(np.arange(50) < 41)
    assert (found.low, found.high) == pytest.approx(proportion_confint(41, 50, method="beta"))


def test_the_share_of_copied_rows_covers():
    rng, inside = np.random.default_rng(5), 0
    for _ in range(300):
        right = np.repeat(rng.random(100) < 0.8, 3)
        found = stats.share_interval(right, groups=np.repeat(np.arange(100), 3))
        assert found.value == pytest.approx(right.mean())
        inside += bool(found.low <= 0.8 <= found.high)
    assert inside / 300 >= 0.92
