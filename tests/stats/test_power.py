"""Rows needed, against the power they were promised to give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial, norm

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError


def test_the_formula() -> None:
    z = norm.ppf(0.95) + norm.ppf(0.9)
    expected = np.ceil(z**2 * (0.03 - 0.002**2) / (0.01 - 0.002) ** 2)
    assert stats.rows_needed(0.03, 0.002, 0.01) == expected


@pytest.mark.parametrize(
    ("flips", "drop", "margin"), [(0.03, 0.0, 0.01), (0.05, 0.005, 0.02), (0.1, -0.01, 0.02)]
)
def test_so_many_rows_release_nine_times_in_ten(flips: float, drop: float, margin: float) -> None:
    rng = np.random.default_rng(15)
    n = int(stats.rows_needed(flips, drop, margin, level=0.95, power=0.9))
    shares = [(flips + drop) / 2, (flips - drop) / 2, 1 - flips]
    lost, won, _ = rng.multinomial(n, shares, 4_000).T
    power = (stats.noninferiority(lost, won, n, margin) < 0.05).mean()
    assert 0.87 < power < 0.94


def test_so_many_rows_fail_a_candidate_that_is_too_bad() -> None:
    rng = np.random.default_rng(16)
    n = int(stats.rows_needed(0.05, 0.03, 0.01))
    lost, won, _ = rng.multinomial(n, [0.04, 0.01, 0.95], 4_000).T
    assert 0.8 < (stats.inferiority(lost, won, n, 0.01) < 0.05).mean() < 0.95


def test_no_number_of_rows_decides_a_drop_that_is_the_margin() -> None:
    needed = stats.rows_needed(0.03, [0.01, 0.0], 0.01)
    assert needed[0] == np.inf
    assert np.isfinite(needed[1])


def test_rows_that_never_flip_still_need_the_rule_of_three() -> None:
    n = int(stats.rows_needed(0.0, 0.0, 0.01))
    assert n == 299
    assert stats.noninferiority(0, 0, n, 0.01) < 0.05 < stats.noninferiority(0, 0, n - 1, 0.01)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DataError, match="smaller than the squared drop"):
        stats.rows_needed(0.0001, 0.5, 0.01)
    with pytest.raises(DataError, match="not a number"):
        stats.rows_needed(float("nan"), 0.0, 0.01)
    with pytest.raises(BudgetError, match="power is"):
        stats.rows_needed(0.03, 0.0, 0.01, power=1.0)


def summed_over_all_counts(n, lost, won, margin, level):
    """The power by the definition: every pair of counts, released or not."""
    a, b = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    a, b = a[a + b <= n], b[a + b <= n]
    mass = multinomial.pmf(np.stack([a, b, n - a - b], axis=1), n, [lost, won, 1 - lost - won])
    return mass[stats.noninferiority(a, b, n, margin) <= 1 - level].sum()


@pytest.mark.parametrize(
    ("n", "lost", "won", "margin", "level"),
    [
        (1, 0.2, 0.1, 0.6, 0.6),
        (3, 0.1, 0.1, 0.3, 0.6),
        (30, 0.05, 0.05, 0.1, 0.95),
        (80, 0.02, 0.03, 0.05, 0.95),
        (148, 0.0, 0.0, 0.02, 0.95),
        (149, 0.0, 0.0, 0.02, 0.95),
        (40, 0.5, 0.5, 0.1, 0.95),
        (60, 0.0, 0.9, 0.1, 0.99),
        (250, 0.01, 0.0, 0.02, 0.95),
        (200, 0.2, 0.3, 0.05, 0.9),
    ],
)
def test_release_power_is_the_sum_over_all_counts(n, lost, won, margin, level) -> None:
    expected = summed_over_all_counts(n, lost, won, margin, level)
    found = stats.release_power(n, lost, won, margin, level=level)
    assert found == pytest.approx(expected, abs=2e-9)


@given(
    st.integers(1, 40), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.01, 0.5),
    st.floats(0.6, 0.999),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_release_power_is_the_sum_over_all_counts_anywhere(n, lost, won, margin, level) -> None:
    expected = summed_over_all_counts(n, lost, won, margin, level)
    found = stats.release_power(n, lost, won, margin, level=level)
    assert found == pytest.approx(expected, abs=1e-8)


def test_release_power_is_how_often_a_simulation_releases() -> None:
    rng, n = np.random.default_rng(17), 20_000
    rates = np.array([[0.03, 0.03], [0.02, 0.04], [0.05, 0.045]])
    power = stats.release_power(n, *rates.T, [0.005, 0.001, 0.008], level=0.99)
    for (lost, won), margin, expected in zip(rates, [0.005, 0.001, 0.008], power, strict=True):
        a, b, _ = rng.multinomial(n, [lost, won, 1 - lost - won], 20_000).T
        released = (stats.noninferiority(a, b, n, margin) <= 0.01).mean()
        assert released == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 20_000))


@pytest.mark.parametrize(
    ("flips", "margin"), [(0.03, 0.005), (0.03, 0.01), (0.1, 0.005), (0.1, 0.01), (0.1, 0.02)]
)
def test_the_rows_that_the_formula_asks_for_have_the_power_it_promises(flips, margin) -> None:
    n = stats.rows_needed(flips, 0.0, margin)
    power = stats.release_power(n, flips / 2, flips / 2, margin)
    assert power == pytest.approx(0.9, abs=0.02)


def test_where_ten_rows_are_lost_the_formula_asks_for_too_few() -> None:
    n = stats.rows_needed(0.03, 0.0, 0.02)
    assert n * 0.015 < 10
    assert stats.release_power(n, 0.015, 0.015, 0.02) < 0.88
    assert n < stats.release_rows(0.015, 0.015, 0.02) < 1.2 * n


def test_power_takes_the_shape_of_its_arguments_and_each_cell_is_its_own() -> None:
    n, margin = np.array([[100], [1_000], [40_000]]), np.array([0.01, 0.03])
    power = stats.release_power(n, 0.02, 0.02, margin, level=[0.95, 0.99])
    assert power.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        alone = stats.release_power(n[i, 0], 0.02, 0.02, margin[j], level=[0.95, 0.99][j])
        assert alone == pytest.approx(power[i, j], abs=1e-8)
    assert stats.release_power(np.ones(0), 0.1, 0.1, 0.02).shape == (0,)


@pytest.mark.parametrize("level", [0.95, 0.996])
@pytest.mark.parametrize(("lost", "won"), [(0.01, 0.01), (0.025, 0.02), (0.0, 0.0)])
def test_release_rows_are_where_the_power_is_reached(lost, won, level) -> None:
    n = stats.release_rows(lost, won, 0.02, level=level)
    before, at = stats.release_power([n - 1, n], lost, won, 0.02, level=level)
    assert before < 0.9 <= at


def test_release_rows_of_a_hopeless_and_of_a_huge_question() -> None:
    rows = stats.release_rows([0.03, 0.05, 0.02], [0.01, 0.01, 0.02], [0.02, 0.02, 1e-5])
    assert rows[:2].tolist() == [np.inf, np.inf]
    assert rows[2] == stats.rows_needed(0.04, 0.0, 1e-5)


@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize(("n", "rate", "limit"), [(1, 0.1, 0.5), (200, 0.02, 0.05), (40, 0, 0.1)])
def test_share_power_is_the_sum_over_all_counts(n, rate, limit, level) -> None:
    counts = np.arange(n + 1)
    kept = stats.proportion_at_most(counts, n, limit) <= 1 - level
    expected = binom.pmf(counts, n, rate)[kept].sum()
    assert stats.share_power(n, rate, limit, level=level) == pytest.approx(expected, abs=1e-12)


def test_share_rows_are_where_the_power_is_reached() -> None:
    n = stats.share_rows([0.01, 0.025, 0.05], 0.05)
    assert n[2] == np.inf
    before, at = (stats.share_power(n[:2] - k, [0.01, 0.025], 0.05) for k in (1, 0))
    assert (before < 0.9).all()
    assert (at >= 0.9).all()


def test_power_of_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        stats.release_power(0.5, 0.1, 0.1, 0.02)
    with pytest.raises(DataError, match="more than 1 together"):
        stats.release_power(10, 0.7, 0.6, 0.02)
    with pytest.raises(DataError, match="is no share"):
        stats.share_power(10, float("nan"), 0.02)
    with pytest.raises(BudgetError, match="margin is"):
        stats.release_power(10, 0.1, 0.1, 0.0)
    with pytest.raises(BudgetError, match="limit is"):
        stats.share_power(10, 0.1, 1.0)
