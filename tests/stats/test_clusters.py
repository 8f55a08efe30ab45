"""Right and wrong answers in groups."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from surefoot import stats
from surefoot.core.errors import DataError
from surefoot.stats.means import cluster_sums


def grouped(
    rng: np.random.Generator, shape: tuple[int, int, int], lost: float, won: float
) -> np.ndarray:
    """(runs, clusters * size) of -1, 0, 1; rows of a cluster correlate at 0.3."""

    def draw(size: tuple[int, ...]) -> np.ndarray:
        uniform = rng.random(size)
        return np.where(uniform < lost, -1, np.where(uniform < lost + won, 1, 0))

    shared = rng.random(shape) < np.sqrt(0.3)
    rows = np.where(shared, draw((*shape[:2], 1)), draw(shape))
    return rows.reshape(shape[0], -1)


def test_error_against_statsmodels_and_never_inside_its_interval() -> None:
    rng = np.random.default_rng(1)
    groups = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 15, 60)))
    shared = rng.choice([-1, 0, 1], 60, p=[0.3, 0.5, 0.2])[groups]
    rows = np.where(rng.random(len(groups)) < 0.4, shared, 0)
    fit = sm.OLS(rows.astype(float), np.ones(len(rows))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    assert cluster_sums(rows, groups, usual=0.0).error == pytest.approx(fit.bse[0])
    interval = stats.clustered_proportions(rows, groups)
    low, high = fit.conf_int()[0]
    assert interval.value == pytest.approx(fit.params[0])
    assert interval.low <= low + 1e-12
    assert interval.high >= high - 1e-12
    # Wider where the skewness asks for it, not twice as wide.
    assert interval.high - interval.low < 1.2 * (high - low)


@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.0), (0.035, 0.015), (0.06, 0.04)])
@pytest.mark.parametrize("clusters", [40, 200])
def test_false_release_at_the_margin(lost: float, won: float, clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    rows = grouped(rng, (3_000, clusters, 5), lost, won)
    groups = np.repeat(np.arange(clusters), 5)
    released = stats.clustered_noninferiority(rows, groups, 0.02) < 0.05
    failed = stats.clustered_inferiority(rows, groups, 0.02) < 0.05
    assert released.mean() < 0.055 + 2 * np.sqrt(0.05 * 0.95 / 3_000)
    assert failed.mean() < 0.055 + 2 * np.sqrt(0.05 * 0.95 / 3_000)


def test_the_plain_cluster_t_test_releases_too_much() -> None:
    """Why this module exists; if it stops failing, the module can go."""
    rows = grouped(np.random.default_rng(2), (3_000, 200, 5), 0.02, 0.0)
    clusters = rows.reshape(3_000, 200, 5).mean(axis=2)
    plain = ttest_1samp(clusters, -0.02, axis=1, alternative="greater").pvalue
    assert (plain < 0.05).mean() > 0.09


def test_coverage() -> None:
    rows = grouped(np.random.default_rng(3), (3_000, 200, 5), 0.06, 0.04)
    interval = stats.clustered_proportions(rows, np.repeat(np.arange(200), 5))
    inside = (interval.low <= -0.02) & (interval.high >= -0.02)
    assert 0.94 - 0.008 <= inside.mean() <= 0.965 + 0.008


def test_power_where_clusters_are_many() -> None:
    rows = grouped(np.random.default_rng(4), (500, 1_000, 5), 0.02, 0.02)
    p = stats.clustered_noninferiority(rows, np.repeat(np.arange(1_000), 5), 0.02)
    assert (p < 0.05).mean() > 0.95


def test_clusters_of_one_row_are_independent_rows() -> None:
    rng = np.random.default_rng(6)
    rows = rng.choice([-1, 0, 1], 2_000, p=[0.05, 0.91, 0.04])
    lost, won = int((rows < 0).sum()), int((rows > 0).sum())
    p = stats.clustered_noninferiority(rows, np.arange(2_000), 0.02)
    assert p == pytest.approx(float(stats.noninferiority(lost, won, 2_000, 0.02)), rel=0.02)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.005, 0.3), st.floats(0.005, 0.3), st.integers(2, 60))
def test_release_failure_and_interval_agree(
    seed: int, margin: float, alpha: float, clusters: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = grouped(rng, (5, clusters, 4), rng.uniform(0, 0.5), rng.uniform(0, 0.5))
    groups = np.repeat(np.arange(clusters), 4)
    interval = stats.clustered_proportions(rows, groups, level=1 - 2 * alpha)
    released = stats.clustered_noninferiority(rows, groups, margin) < alpha
    clear = np.abs(interval.low + margin) > 1e-6
    assert ((interval.low > -margin) == released)[clear].all()
    failed = stats.clustered_inferiority(rows, groups, margin) < alpha
    assert (interval.high[failed] < -margin + 1e-6).all()
    if (np.abs(rows.reshape(5, clusters, 4)).any(axis=2).sum(axis=1) >= 40).all():
        clear = np.abs(interval.high + margin) > 1e-6
        assert ((interval.high < -margin) == failed)[clear].all()


def test_rows_that_all_agree_within_clusters_count_as_clusters() -> None:
    rows = np.full(200, -1)
    interval = stats.clustered_proportions(rows, np.repeat(np.arange(20), 10))
    assert interval.value == -1
    assert interval.high > -0.95


def test_one_cluster_is_refused() -> None:
    with pytest.raises(DataError, match="all rows belong to one group"):
        stats.clustered_proportions([1, 0, -1], [4, 4, 4])
