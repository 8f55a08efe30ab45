"""Family-wise error rates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from surefoot import stats
from surefoot.core.errors import DataError


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_against_statsmodels(p: list[float]) -> None:
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_takes_each_row_as_a_family_and_none_as_none() -> None:
    families = np.array([[0.01, 0.04, 0.03], [0.5, 0.001, 0.9]])
    assert stats.holm(families) == pytest.approx(
        np.array([stats.holm(families[0]), stats.holm(families[1])])
    )
    assert stats.holm([]).shape == (0,)


@pytest.mark.parametrize("p", [[0.5, float("nan")], [-0.1], [1.2]])
def test_holm_refuses_what_is_no_p_value(p: list[float]) -> None:
    with pytest.raises(DataError, match="p-value"):
        stats.holm(p)


def test_false_failures_over_60_overlapping_cells() -> None:
    """No change at all; every tenth row flips; cells are random slices of the same rows."""
    rng = np.random.default_rng(9)
    cells = rng.random((60, 400)) < 0.2
    holm, max_t, uncorrected = 0, 0, 0
    runs = 300
    for run in range(runs):
        rows = rng.choice([-1.0, 0.0, 1.0], 400, p=[0.05, 0.9, 0.05])
        lost, won = cells @ np.where(rows < 0, 1, 0), cells @ np.where(rows > 0, 1, 0)
        p = stats.mcnemar(lost, won)
        uncorrected += p.min() < 0.05
        holm += stats.holm(p).min() < 0.05
        split = np.where(cells, rows, np.nan)
        max_t += stats.max_t(split, draws=400, seed=run).min() < 0.05
    assert uncorrected / runs > 0.4
    assert holm / runs < 0.05
    assert 0.02 < max_t / runs < 0.085


def test_max_t_finds_more_than_holm_where_cells_share_rows() -> None:
    rng = np.random.default_rng(10)
    rows = rng.normal(size=1_000)
    rows += -0.07 - rows.mean()
    cells = np.where(rng.random((200, 1_000)) < 0.95, rows, np.nan)
    holm = stats.holm([stats.mean_p_value(-cell[~np.isnan(cell)], margin=-0.0) for cell in cells])
    assert stats.max_t(cells).min() < 0.05 < holm.min()


def test_max_t_of_one_cell_is_its_p_value() -> None:
    rows = np.random.default_rng(12).normal(-0.05, 1, 900)
    alone = stats.mean_p_value(-rows, margin=-0.01)
    assert stats.max_t(rows, margin=0.01, draws=20_000)[0] == pytest.approx(float(alone), abs=0.02)


def test_max_t_steps_down_and_keeps_the_order() -> None:
    rng = np.random.default_rng(13)
    cells = rng.normal(size=(5, 800)) - np.array([[0.5], [0.0], [0.12], [-0.3], [0.0]])
    p = stats.max_t(cells, draws=4_000)
    assert p[0] < 0.001
    assert p[0] < p[2] < min(p[1], p[4]) <= 1
    # With the first cell out of the way the third competes with four only.
    together = stats.max_t(cells[1:], draws=4_000)
    assert p[2] == pytest.approx(together[1], abs=0.01)


def test_max_t_treats_clusters_as_one_row_each() -> None:
    rng = np.random.default_rng(14)
    clusters = rng.normal(-0.1, 1, 60)
    p = stats.max_t(np.repeat(clusters, 20), groups=np.repeat(np.arange(60), 20), draws=4_000)
    assert p[0] == pytest.approx(float(stats.mean_p_value(-clusters, margin=0.0)), abs=0.03)


def test_a_cell_in_one_cluster_shows_nothing() -> None:
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(40), 7)
    rows = rng.normal(size=280)
    alone = np.where(groups == 3, rows - 0.8, np.nan)  # all of it lost, and all in one cluster
    assert stats.max_t(np.stack([rows, alone]), groups=groups)[1] == 1
    # Of two independent cells: Sidak's level, by hand.
    level = stats.simultaneous_level([(np.stack([rows, alone]), groups)])
    assert level == pytest.approx(0.95**0.5, abs=0.002)


def test_max_t_of_cells_that_do_not_vary_and_of_empty_ones() -> None:
    assert stats.max_t(np.zeros((2, 10))).tolist() == [1, 1]
    with pytest.raises(DataError, match="no rows"):
        stats.max_t(np.array([[0.0, 1.0], [np.nan, np.nan]]))
