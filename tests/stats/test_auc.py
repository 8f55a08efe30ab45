"""DeLong against its own definition, scikit-learn and simulation."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from surefoot import stats
from surefoot.core.errors import DataError


def scored(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = rng.random(n) < 0.4
    truth = labels + rng.normal(size=n)
    return labels, truth + rng.normal(size=n), np.round(truth + rng.normal(size=n), 1)


def by_definition(
    labels: np.ndarray, baseline: np.ndarray, candidate: np.ndarray
) -> tuple[float, float]:
    """The structural components of DeLong et al. 1988, equations 4 to 6, pair by pair."""
    parts = []
    for scores in (candidate, baseline):
        difference = scores[labels][:, None] - scores[~labels][None]
        wins = (difference > 0) + 0.5 * (difference == 0)
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    s10 = np.cov(np.stack([parts[0][0], parts[1][0]]))
    s01 = np.cov(np.stack([parts[0][1], parts[1][1]]))
    covariance = s10 / labels.sum() + s01 / (~labels).sum()
    contrast = np.array([1, -1])
    difference = parts[0][0].mean() - parts[1][0].mean()
    return float(difference), float(np.sqrt(contrast @ covariance @ contrast))


def test_difference_against_the_definition() -> None:
    labels, baseline, candidate = scored(np.random.default_rng(30), 120)
    difference, error = by_definition(labels, baseline, candidate)
    interval = stats.auc_difference(labels, baseline, candidate, level=0.95)
    assert interval.value == pytest.approx(difference)
    assert interval.high - interval.low == pytest.approx(2 * 1.959964 * error, rel=1e-5)


def test_area_against_scikit_learn() -> None:
    labels, baseline, candidate = scored(np.random.default_rng(31), 90)
    interval = stats.auc_interval(labels, np.stack([baseline, candidate]))
    expected = [roc_auc_score(labels, baseline), roc_auc_score(labels, candidate)]
    assert interval.value == pytest.approx(expected)


def test_coverage_and_false_release() -> None:
    rng = np.random.default_rng(32)
    inside, released = 0, 0
    for _ in range(1_000):
        labels, baseline, candidate = scored(rng, 300)
        interval = stats.auc_difference(labels, baseline, candidate)
        inside += bool(interval.low <= 0 <= interval.high)
        # The candidate is as good as the baseline; made worse by the margin it must not pass.
        low = stats.auc_difference(labels, baseline, candidate, level=0.9).low
        released += bool(low > 0)
    assert 0.93 <= inside / 1_000 <= 0.97
    assert released / 1_000 < 0.07


def test_p_value_and_interval_say_the_same() -> None:
    labels, baseline, candidate = scored(np.random.default_rng(33), 200)
    low = float(stats.auc_difference(labels, baseline, candidate, level=0.9).low)
    assert low < 0
    assert stats.auc_p_value(labels, baseline, candidate, margin=-low) == pytest.approx(0.05)


def test_equal_rankings_prove_nothing() -> None:
    labels, baseline, _ = scored(np.random.default_rng(34), 50)
    assert stats.auc_p_value(labels, baseline, baseline * 2, margin=0.01) == 1


@pytest.mark.parametrize(
    ("labels", "scores", "line"),
    [
        ([1, 0, 0], [0.1, 0.2, 0.3], "1 positive and 2 negative rows"),
        ([1, 1, 0, 0], [0.1, 0.2, float("nan"), 0.4], "the scores is nan at position 2"),
        ([1, 1, 0, 0], [0.1, 0.2], "4 labels for 2 scores"),
    ],
)
def test_rows_without_an_area_are_refused(
    labels: list[int], scores: list[float], line: str
) -> None:
    with pytest.raises(DataError) as error:
        stats.auc_interval(labels, scores)
    assert line in str(error.value)
