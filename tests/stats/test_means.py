"""Means of differences, with and without clusters."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_rel

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def mirrored(values: np.ndarray) -> np.ndarray:
    """Without skewness, where the interval is the plain t interval."""
    return np.concatenate([values, 2 * values.mean() - values])


def test_independent_rows_against_scipy(rng: np.random.Generator) -> None:
    difference = mirrored(rng.normal(-0.01, 0.2, 57))
    reference = ttest_1samp(difference, -0.03, alternative="greater")
    limits = ttest_1samp(difference, 0).confidence_interval(0.9)
    interval = stats.paired_mean(difference, level=0.9)
    assert stats.mean_p_value(difference, margin=0.03) == pytest.approx(reference.pvalue)
    assert (interval.low, interval.high) == pytest.approx((limits.low, limits.high))
    assert interval.value == pytest.approx(difference.mean())


def test_paired_scores_against_scipy(rng: np.random.Generator) -> None:
    difference = mirrored(rng.normal(0.02, 0.1, 40))
    baseline = rng.random(len(difference))
    reference = ttest_rel(baseline + difference, baseline, alternative="greater")
    two_sided = ttest_rel(baseline + difference, baseline).confidence_interval(0.95)
    assert stats.mean_p_value(difference, margin=0.0) == pytest.approx(reference.pvalue)
    interval = stats.paired_mean(difference)
    assert (interval.low, interval.high) == pytest.approx((two_sided.low, two_sided.high))


def test_clusters_of_unequal_size_against_statsmodels(rng: np.random.Generator) -> None:
    groups = rng.permutation(np.repeat(np.arange(14), rng.integers(1, 12, 14)))
    difference = rng.normal(0, 0.1, len(groups)) + rng.normal(0, 0.2, 14)[groups]
    difference, groups = mirrored(difference), np.concatenate([groups, groups + 14])
    fit = sm.OLS(difference, np.ones_like(difference)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    interval = stats.paired_mean(difference, groups=groups)
    assert (interval.low, interval.high) == pytest.approx(tuple(fit.conf_int()[0]))
    one_sided = fit.t_test(([[1]], [-0.05])).pvalue
    p = stats.mean_p_value(difference, margin=0.05, groups=groups)
    assert p == pytest.approx(one_sided / 2 if difference.mean() > -0.05 else 1 - one_sided / 2)


def test_group_labels_may_be_text_and_order_does_not_matter(rng: np.random.Generator) -> None:
    numbers = rng.integers(0, 9, 80)
    difference = rng.normal(size=80)
    names = np.array([f"speaker {i}" for i in numbers])
    order = rng.permutation(80)
    assert stats.mean_p_value(difference, margin=0.1, groups=numbers) == pytest.approx(
        float(stats.mean_p_value(difference[order], margin=0.1, groups=names[order]))
    )


def test_cells_are_judged_each_on_its_own(rng: np.random.Generator) -> None:
    cells, groups = rng.normal(size=(2, 3, 40)), rng.integers(0, 8, 40)
    cells[1, 2] = 0
    cells[0, 0, 0] = 40
    interval = stats.paired_mean(cells, groups=groups)
    p = stats.mean_p_value(cells, margin=0.1, groups=groups)
    for i, j in np.ndindex(2, 3):
        alone = stats.paired_mean(cells[i, j], groups=groups)
        assert interval.low[i, j] == pytest.approx(float(alone.low))
        assert interval.high[i, j] == pytest.approx(float(alone.high))
        assert p[i, j] == pytest.approx(
            float(stats.mean_p_value(cells[i, j], margin=0.1, groups=groups))
        )


sparse = st.lists(st.sampled_from([0.0] * 6 + [-1.0, 1.0, -0.4]), min_size=2, max_size=60)
dense = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=2, max_size=60)


@given(sparse | dense, st.floats(0.001, 0.5), st.floats(0.001, 0.4), st.booleans())
def test_p_value_and_interval_say_the_same(
    values: list[float], margin: float, alpha: float, grouped: bool
) -> None:
    groups = np.arange(len(values)) // 2 if grouped and len(values) > 3 else None
    interval = stats.paired_mean(values, groups=groups, level=1 - 2 * alpha)
    p = stats.mean_p_value(values, margin=margin, groups=groups)
    if abs(interval.low + margin) > 1e-6:
        assert (p < alpha) == (interval.low > -margin)


def test_rows_that_do_not_vary_prove_no_more_than_their_number() -> None:
    """A t test would divide by nothing and release after two rows."""
    nothing_changed = np.zeros(100)
    assert stats.mean_p_value(nothing_changed, margin=0.01) == pytest.approx(0.99**100)
    in_clusters = stats.mean_p_value(nothing_changed, margin=0.01, groups=np.arange(100) // 5)
    assert in_clusters == pytest.approx(0.99**20)
    interval = stats.paired_mean(nothing_changed, level=0.9)
    assert interval.low == pytest.approx(-(1 - 0.05 ** (1 / 100)))


def test_a_large_cluster_can_move_the_mean_further() -> None:
    groups = np.repeat([0, 1, 2, 3], [70, 10, 10, 10])
    p = stats.mean_p_value(np.zeros(100), margin=0.28, groups=groups)
    assert p == pytest.approx((1 - 0.28 / 2.8) ** 4)


def flipped_scores(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Differences of a Brier score: all rows move a little, 3 % lose a lot; the mean is -0.015."""
    large = rng.random(shape) < 0.03
    return np.where(large, -rng.beta(2, 2, shape), rng.normal(0, 0.02, shape))


@pytest.mark.parametrize("n", [100, 200, 500, 1_000])
def test_false_release_of_a_metric_with_a_long_tail(n: int) -> None:
    rows = flipped_scores(np.random.default_rng(n), (3_000, n))
    released = stats.mean_p_value(rows, margin=0.015) < 0.05
    assert released.mean() < 0.055 + 2 * np.sqrt(0.05 * 0.95 / 3_000)
    plain = ttest_1samp(rows, -0.015, axis=1, alternative="greater").pvalue < 0.05
    assert plain.mean() > 0.065


@pytest.mark.parametrize("clusters", [40, 200])
def test_false_release_of_skewed_clusters(clusters: int) -> None:
    rng = np.random.default_rng(clusters)
    rows = -rng.gamma(0.5, 0.05, (3_000, clusters * 5))
    rows -= np.repeat(rng.gamma(1, 0.05, (3_000, clusters)), 5, axis=1)
    groups = np.repeat(np.arange(clusters), 5)
    released = stats.mean_p_value(rows, margin=0.075, groups=groups) < 0.05
    assert 0.03 < released.mean() < 0.055 + 2 * np.sqrt(0.05 * 0.95 / 3_000)


@pytest.mark.parametrize("n", [10, 30, 300])
def test_rows_without_a_tail_lose_little(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(4_000, n))
    interval = stats.paired_mean(rows)
    assert 0.94 <= ((interval.low <= 0) & (interval.high >= 0)).mean() <= 0.965


@pytest.mark.parametrize(
    ("difference", "groups", "line"),
    [
        ([0.1, float("nan")], None, "the paired difference is nan at position 1"),
        ([], None, "the paired difference has no values"),
        ([0.1], None, "only one row"),
        ([0.1, 0.2], [7, 7], "all rows belong to one group"),
        ([0.1, 0.2], [7], "1 group labels for 2 rows"),
    ],
)
def test_data_that_says_nothing_is_refused(
    difference: list[float], groups: list[int] | None, line: str
) -> None:
    with pytest.raises(DataError) as error:
        stats.paired_mean(difference, groups=groups)
    assert line in str(error.value)


def test_a_margin_that_is_no_number_is_refused() -> None:
    with pytest.raises(BudgetError, match="not a finite number"):
        stats.mean_p_value([0.1, 0.2], margin=float("nan"))
