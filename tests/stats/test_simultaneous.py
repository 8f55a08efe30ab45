"""Intervals that hold all at once."""

import numpy as np
import pytest
from scipy.stats import norm

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError


def critical(level):
    return float(norm.isf((1 - level) / 2))


def test_one_cell_needs_no_more_than_it_asks():
    rows = np.random.default_rng(0).normal(size=(1, 500))
    assert stats.simultaneous_level([(rows, None)]) == pytest.approx(0.95, abs=0.003)


def test_cells_of_the_same_rows_cost_nothing():
    rows = np.repeat(np.random.default_rng(1).normal(size=(1, 500)), 20, axis=0)
    assert stats.simultaneous_level([(rows, None)]) == pytest.approx(0.95, abs=0.003)


@pytest.mark.parametrize("cells", [2, 12, 60])
def test_independent_cells_cost_what_sidak_says(cells):
    rng = np.random.default_rng(2)
    blocks = [(rng.normal(size=(1, 4000)), None) for _ in range(cells)]
    expected = critical(0.95 ** (1 / cells))
    assert critical(stats.simultaneous_level(blocks)) == pytest.approx(expected, abs=0.05)


def test_cells_without_change_count_as_independent():
    expected = critical(0.95 ** (1 / 12))
    assert critical(stats.simultaneous_level([(np.zeros((12, 50)), None)])) == pytest.approx(
        expected, abs=0.05
    )


def test_rows_of_a_cluster_count_together():
    rng = np.random.default_rng(3)
    one = rng.normal(size=40)
    shared = np.stack([np.repeat(one, 10), np.repeat(one, 10) + rng.normal(0, 2, 400)])
    apart = stats.simultaneous_level([(shared, None)])
    together = stats.simultaneous_level([(shared, np.repeat(np.arange(40), 10))])
    assert together < apart  # the noise within clusters cancels: the cells are nearly the same


def test_of_overlapping_slices_the_intervals_hold_at_once():
    """20 slices of a third of the rows each; every true mean is -0.02."""
    rng = np.random.default_rng(4)
    runs, n, held, naive = 400, 900, 0, 0
    masks = rng.random((20, n)) < 1 / 3
    for run in range(runs):
        rows = rng.choice([-1.0, 0.0, 1.0], n, p=[0.12, 0.78, 0.10])
        cells = np.where(masks, rows, np.nan)
        z = critical(stats.simultaneous_level([(cells, None)], draws=2_000, seed=run))
        error = np.nanstd(cells, axis=1) / np.sqrt(masks.sum(axis=1))
        furthest = (np.abs(np.nanmean(cells, axis=1) + 0.02) / error).max()
        held += furthest <= z
        naive += furthest <= critical(0.95)
    assert 0.92 < held / runs < 0.98
    assert naive / runs < 0.7


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="no rows"):
        stats.simultaneous_level([(np.full((1, 3), np.nan), None)])
    with pytest.raises(DataError, match="one group"):
        stats.simultaneous_level([(np.zeros((1, 3)), ["a", "a", "a"])])
    with pytest.raises(BudgetError, match="level"):
        stats.simultaneous_level([(np.zeros((1, 3)), None)], level=1.0)
