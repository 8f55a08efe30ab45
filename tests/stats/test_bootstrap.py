"""Metrics of a whole set: the bootstrap against scipy, and against what it must cover."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import f1_score

from surefoot import stats
from surefoot.core.errors import DataError


def mean_of(values: np.ndarray) -> stats.bootstrap.Statistic:
    return lambda weights: weights @ values / values.size


def test_bca_against_scipy() -> None:
    values = np.random.default_rng(20).gamma(0.7, 1, 150)
    ours = stats.bca_interval(stats.resample(mean_of(values), 150, draws=20_000))
    reference = scipy_bootstrap(
        (values,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=0.01)
    assert ours.value == pytest.approx(values.mean())


@pytest.mark.parametrize("weights", ["counts", "exponential"])
def test_spread_of_a_mean_is_its_standard_error(weights: str) -> None:
    values = np.random.default_rng(21).normal(size=400)
    found = stats.resample(mean_of(values), 400, draws=4_000, weights=weights)
    assert found.replicates.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_clusters_are_drawn_whole() -> None:
    clusters = np.random.default_rng(22).normal(size=50)
    rows, groups = np.repeat(clusters, 8), np.repeat(np.arange(50), 8)
    found = stats.resample(mean_of(rows), 400, groups=groups, draws=4_000)
    assert found.replicates.std() == pytest.approx(clusters.std() / np.sqrt(50), rel=0.05)


def test_macro_f1_is_recomputed_on_the_drawn_rows() -> None:
    """Whole-number weights are copies: scikit-learn on the copied rows gives the same numbers."""
    rng = np.random.default_rng(23)
    labels, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    seen: list[np.ndarray] = []

    def macro_f1(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        hit, right, said = (
            weights @ np.stack([mask(c) for c in range(3)], axis=1).astype(float)
            for mask in (
                lambda c: (labels == c) & (predicted == c),
                lambda c: labels == c,
                lambda c: predicted == c,
            )
        )
        return (2 * hit / (right + said)).mean(axis=1)

    found = stats.resample(macro_f1, 60, draws=25)
    drawn = next(w for w in seen if len(w) == 25)
    for weights, value in zip(drawn, found.replicates, strict=True):
        copies = np.repeat(np.arange(60), np.rint(weights).astype(int))
        assert value == pytest.approx(f1_score(labels[copies], predicted[copies], average="macro"))


def test_counts_give_what_rows_give() -> None:
    rows = np.repeat([-1.0, 1.0, 0.0], [12, 5, 283])
    by_row = stats.resample(mean_of(rows), 300, draws=20_000)
    by_count = stats.resample_counts(12, 5, 300, draws=20_000)
    assert by_count.value == by_row.value
    assert by_count.replicates.std() == pytest.approx(by_row.replicates.std(), rel=0.03)
    assert by_count.acceleration == pytest.approx(by_row.acceleration, rel=0.15)
    one, other = stats.bca_interval(by_row), stats.bca_interval(by_count)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.004)


def test_counts_are_judged_cell_by_cell() -> None:
    found = stats.resample_counts([3, 50, 0], [9, 50, 0], [100, 5_000, 20], draws=500)
    assert found.replicates.shape == (500, 3)
    assert found.replicates[:, 2].tolist() == [0] * 500
    assert np.isfinite(stats.bca_interval(found).low).all()


def test_p_value_and_interval_say_the_same() -> None:
    values = np.random.default_rng(24).gamma(0.5, 1, 90) - 0.4
    found = stats.resample(mean_of(values), 90, draws=5_000)
    for alpha in (0.01, 0.05, 0.2):
        low = float(stats.bca_interval(found, 1 - 2 * alpha).low)
        assert stats.bca_p_value(found, -(low - 0.01)) < alpha
        assert stats.bca_p_value(found, -(low + 0.01)) > alpha


def test_coverage_and_false_release_of_a_skewed_mean() -> None:
    rng = np.random.default_rng(25)
    inside, plain, released = 0, 0, 0
    for seed in range(400):
        values = rng.gamma(1, 1, 80)
        found = stats.resample(mean_of(values), 80, draws=1_000, seed=seed)
        bca, percentile = stats.bca_interval(found, 0.9), stats.percentile_interval(found, 0.9)
        inside += bool(bca.low <= 1 <= bca.high)
        plain += bool(percentile.low <= 1 <= percentile.high)
        released += bool(stats.bca_p_value(found, -1) < 0.05)
    assert 0.86 <= inside / 400 <= 0.94
    assert plain / 400 < 0.92
    assert released / 400 < 0.08


def test_same_seed_same_replicates() -> None:
    values = np.arange(30.0)
    one, other = (stats.resample(mean_of(values), 30, draws=50, seed=3) for _ in range(2))
    assert one.replicates.tolist() == other.replicates.tolist()


def test_what_cannot_be_resampled_is_refused() -> None:
    with pytest.raises(DataError, match="1 clusters cannot be resampled"):
        stats.resample(mean_of(np.zeros(4)), 4, groups=[1, 1, 1, 1])
    with pytest.raises(DataError, match="not a number on resampled rows"):
        stats.resample(lambda weights: weights[:, 0] * np.nan, 4)
