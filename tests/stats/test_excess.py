"""More events inside than outside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from statsmodels.api import OLS, add_constant

from surefoot import stats
from surefoot.core.errors import DataError


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_independent_rows_against_scipy(seed, inside, rate):
    rng = np.random.default_rng(seed)
    part, events = rng.random(60) < inside, rng.random(60) < rate
    table = [[np.sum(part & events), np.sum(part & ~events)],
             [np.sum(~part & events), np.sum(~part & ~events)]]  # fmt: skip
    expected = fisher_exact(table, alternative="greater").pvalue
    assert stats.excess_p_value(events, part) == pytest.approx(expected)


def test_groups_against_the_cluster_robust_regression_of_statsmodels():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 20)
    part = np.tile(np.arange(20) < 6, 30)  # every group lies on both sides
    events = rng.random(600) < 0.1 + 0.1 * part + 0.1 * (groups < 8)
    fit = OLS(events.astype(float), add_constant(part.astype(float))).fit(
        cov_type="cluster",
        cov_kwds={"groups": groups, "use_correction": False},
    )
    found = float(stats.excess_p_value(events, part, groups=groups))
    from scipy.stats import t

    z = fit.tvalues[1] * np.sqrt(29 / 30)
    design = fit.model.exog
    pull = (design * fit.resid[:, None] @ np.linalg.inv(design.T @ design))[:, 1]
    sums = np.bincount(groups, weights=pull)
    skew = np.sum(sums**3) / np.sum(sums**2) ** 1.5
    hall = z + skew * (2 * z**2 + 1) / 6 + skew**2 * z**3 / 27  # Hall 1992, in full
    assert found == pytest.approx(float(t.sf(min(z, hall), 29)), rel=1e-6)


def test_several_parts_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(1)
    parts, events = rng.random((4, 200)) < 0.3, rng.random(200) < 0.1
    groups = rng.integers(0, 20, 200)
    for given_ in (None, groups):
        together = stats.excess_p_value(events, parts, groups=given_)
        alone = [stats.excess_p_value(events, part, groups=given_) for part in parts]
        assert together == pytest.approx(np.array(alone))


def test_groups_keep_the_error_where_rows_alone_do_not():
    """Whole groups have more events, and a part is a few whole groups: nothing to be found."""
    rng = np.random.default_rng(2)
    runs, by_row, by_group = 300, 0, 0
    groups = np.repeat(np.arange(60), 20)
    for _ in range(runs):
        rate = rng.choice([0.0, 0.4], 60, p=[0.75, 0.25])
        events = rng.random(1200) < rate[groups]
        part = (rng.random(60) < 0.3)[groups]
        by_row += float(stats.excess_p_value(events, part)) < 0.05
        by_group += float(stats.excess_p_value(events, part, groups=groups)) < 0.05
    assert by_row / runs > 0.15
    assert by_group / runs < 0.08


@pytest.mark.parametrize(
    ("few", "outside", "most"),
    [(1, False, 0.05), (2, False, 0.05), (3, False, 0.05), (5, False, 0.05), (10, False, 0.05),
     (20, False, 0.05), (1, True, 0.05), (5, True, 0.05), (10, True, 0.07), (20, True, 0.05)],
)  # fmt: skip
def test_few_groups_on_a_side_are_not_taken_for_an_excess(few, outside, most):
    """60 groups of 20 rows, an intraclass correlation of 0.25: nothing to be found at 5 %."""
    rng, runs, found = np.random.default_rng(3), 1_000, 0
    groups = np.repeat(np.arange(60), 20)
    part = (groups < few) != outside
    for _ in range(runs):
        # Of Beta(a, b) rates the correlation is 1 / (a + b + 1).
        events = rng.random(1200) < rng.beta(0.6, 2.4, 60)[groups]
        found += float(stats.excess_p_value(events, part, groups=groups)) < 0.05
    assert found / runs <= most + 2 * np.sqrt(most * (1 - most) / runs)


def test_an_excess_of_many_groups_is_still_found():
    rng, found = np.random.default_rng(4), 0
    groups = np.repeat(np.arange(60), 20)
    for _ in range(100):
        rate = rng.beta(0.6, 2.4, 60) * 0.3 + 0.3 * (np.arange(60) < 15)
        events = rng.random(1200) < rate[groups]
        found += float(stats.excess_p_value(events, groups < 15, groups=groups)) < 0.05
    assert found >= 90


@pytest.mark.parametrize(
    ("events", "part"),
    [
        ([0, 0, 0], [1, 0, 1]),
        ([1, 1, 1], [1, 0, 0]),
        ([1, 0, 1], [0, 0, 0]),
        ([1, 0, 1], [1, 1, 1]),
    ],
)
def test_nothing_to_compare_is_no_excess(events, part):
    assert stats.excess_p_value(events, part) == pytest.approx(1)
    assert stats.excess_p_value(events, part, groups=["a", "b", "c"]) == pytest.approx(1)


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="3 events"):
        stats.excess_p_value([1, 0, 1], [1, 0])
    with pytest.raises(DataError, match="2 group labels"):
        stats.excess_p_value([1, 0, 1], [1, 0, 1], groups=["a", "b"])
