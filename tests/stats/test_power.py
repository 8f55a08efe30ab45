"""Rows needed, against the power they were promised to give."""

import numpy as np
import pytest
from scipy.stats import norm

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
