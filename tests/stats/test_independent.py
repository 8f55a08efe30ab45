"""Combining intervals of independent samples, against statsmodels and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from surefoot import stats

shares = st.tuples(st.integers(5, 300), st.floats(0, 1)).map(lambda x: (round(x[0] * x[1]), x[0]))


@given(shares, shares, st.sampled_from([0.8, 0.95, 0.99]))
def test_two_wilson_intervals_make_newcombes(one, other, level):
    ours = stats.independent_sum(
        [(1.0, stats.wilson_interval(*one, level)), (-1.0, stats.wilson_interval(*other, level))]
    )
    low, high = confint_proportions_2indep(
        *one, *other, method="newcomb", compare="diff", alpha=1 - level
    )
    assert (float(ours.low), float(ours.high)) == pytest.approx((low, high), abs=1e-9)
    assert ours.value == pytest.approx(one[0] / one[1] - other[0] / other[1])


@pytest.mark.parametrize(("p", "q", "n", "m"), [(0.9, 0.85, 120, 300), (0.5, 0.5, 60, 60)])
def test_the_interval_covers_as_often_as_it_says(p, q, n, m):
    rng = np.random.default_rng(0)
    one = stats.wilson_interval(rng.binomial(n, p, 4000), np.full(4000, n))
    other = stats.wilson_interval(rng.binomial(m, q, 4000), np.full(4000, m))
    found = stats.independent_sum([(1.0, one), (-1.0, other)])
    covered = np.mean((found.low <= p - q) & (p - q <= found.high))
    assert 0.94 <= covered <= 0.965


def test_a_ratio_of_medians_covers_as_often_as_it_says():
    """Two series of calls whose true ratio is 1.2, by the logarithms of their intervals."""
    rng = np.random.default_rng(1)

    def median(scale):
        found = stats.quantile_interval(rng.lognormal(0, 0.3, 200) * scale, 0.5, level=0.95)
        return stats.Interval(
            value=np.log(found.value), low=np.log(found.low), high=np.log(found.high)
        )

    covered = 0
    for _ in range(600):
        found = stats.independent_sum([(1.0, median(1.2)), (-1.0, median(1.0))])
        covered += bool(found.low <= np.log(1.2) <= found.high)
    assert covered / 600 >= 0.94


def test_ends_change_sides_with_the_sign_of_the_weight():
    uneven = stats.Interval(value=np.array(1.0), low=np.array(0.0), high=np.array(3.0))
    found = stats.independent_sum([(-2.0, uneven)])
    assert (float(found.value), float(found.low), float(found.high)) == (-2.0, -6.0, 0.0)
