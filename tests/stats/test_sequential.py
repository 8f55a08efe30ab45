"""Betting: valid however often one looks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import stats
from surefoot.core.errors import DataError


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("population", [None, 600])
def test_the_mean_is_inside_at_all_times_together(share: float, population: int | None) -> None:
    rng = np.random.default_rng(40)
    runs, n = 600, 600
    rows = (rng.random((runs, n)) < share).astype(float)
    mean = rows.mean(axis=1) if population else np.full(runs, share)
    # The capital's running maximum has looked after every single row.
    above = stats.betting_p_value(rows, mean, population=population)
    below = stats.betting_p_value(1 - rows, 1 - mean, population=population)
    assert (above < 0.05).mean() <= 0.05 + 0.02
    assert (below < 0.05).mean() <= 0.05 + 0.02
    interval = stats.betting_interval(rows, population=population)
    assert ((interval.low <= mean + 1e-6) & (mean - 1e-6 <= interval.high)).mean() > 0.94


def test_looking_often_breaks_the_fixed_interval() -> None:
    """Why betting: the same looks at a t interval lose the mean far more often."""
    rows = np.random.default_rng(41).random((300, 1_000))
    t = np.arange(1, 1_001)
    mean = np.cumsum(rows, axis=1) / t
    error = np.sqrt(np.maximum(np.cumsum(rows**2, axis=1) / t - mean**2, 1e-9) / t)
    left = (np.abs(mean - 0.5) > 1.96 * error)[:, 30:].any(axis=1)
    assert left.mean() > 0.2


def test_it_narrows_with_rows_and_is_exact_when_all_are_seen() -> None:
    rows = (np.random.default_rng(42).random(2_000) < 0.1).astype(float)
    widths = [
        float(i.high - i.low)
        for i in (
            stats.betting_interval(rows[:t], population=2_000) for t in (100, 500, 1_500, 1_999)
        )
    ]
    assert widths == sorted(widths, reverse=True)
    whole = stats.betting_interval(rows, population=2_000)
    assert whole.high - whole.low < 0.005
    apart = stats.betting_interval(rows)
    assert apart.high - apart.low > 3 * (whole.high - whole.low)


def test_rows_that_vary_little_give_a_narrow_interval() -> None:
    rng = np.random.default_rng(43)
    quiet = stats.betting_interval(0.5 + rng.uniform(-0.01, 0.01, 1_000))
    loud = stats.betting_interval((rng.random(1_000) < 0.5).astype(float))
    assert quiet.high - quiet.low < 0.2 * (loud.high - loud.low)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.4),
    st.booleans(),
)
def test_p_value_and_interval_say_the_same(
    rows: list[float], mean: float, alpha: float, finite: bool
) -> None:
    population = len(rows) + 5 if finite else None
    low = stats.betting_interval(rows, 1 - 2 * alpha, population=population).low
    if abs(low - mean) > 1e-6:
        p = stats.betting_p_value(rows, mean, population=population)
        assert (p < alpha) == (low > mean)


def test_cells_are_judged_each_on_its_own() -> None:
    rows = np.random.default_rng(44).random((3, 80))
    together = stats.betting_interval(rows)
    assert together.low.tolist() == [float(stats.betting_interval(r).low) for r in rows]


@pytest.mark.parametrize(
    ("rows", "population", "line"),
    [
        ([0.5, 1.2], None, "outside [0, 1]"),
        ([0.5, float("nan")], None, "is nan at position 1"),
        ([0.5, 0.5, 0.5], 2, "3 rows seen of a population of 2"),
    ],
)
def test_rows_no_one_can_bet_on_are_refused(
    rows: list[float], population: int | None, line: str
) -> None:
    with pytest.raises(DataError) as error:
        stats.betting_interval(rows, population=population)
    assert line in str(error.value)


@pytest.mark.parametrize("moved", [0.0, 0.1, 0.4, 1.0])
def test_a_mixture_shows_what_is_not_true_as_seldom_as_it_says(moved: float) -> None:
    """Differences of -1, 0 and 1 whose mean is 0 exactly, looked at after every row."""
    rng = np.random.default_rng(45)
    rows = np.where(rng.random((1_500, 800)) < moved, rng.choice([-1.0, 1.0], (1_500, 800)), 0.0)
    assert (stats.mixture_p_value(rows) <= 0.05).mean() <= 0.05 + 0.015
    assert (stats.mixture_p_value(-rows) <= 0.05).mean() <= 0.05 + 0.015


def test_a_mixture_needs_fewer_rows_where_most_are_alike() -> None:
    rng = np.random.default_rng(46)
    draws = rng.random((60, 2_000))
    drop = np.where(draws < 0.15, 1.0, np.where(draws < 0.2, -1.0, 0.0))
    # The same hypothesis, mean drop <= 0.05, in the units of each.
    mixed = stats.mixture_p_value((drop - 0.05) / 1.05) <= 0.001
    plug_in = stats.betting_p_value((drop + 1) / 2, 1.05 / 2) <= 0.001
    assert mixed.mean() > plug_in.mean() + 0.1


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_mixture_is_sure_of_one_side_at_most(rows: list[float]) -> None:
    above, below = stats.mixture_p_value(rows), stats.mixture_p_value(np.negative(rows))
    assert 0 < min(float(above), float(below)) <= 1
    assert stats.mixture_p_value([*rows, 0.0]) == pytest.approx(above)


@pytest.mark.parametrize("rows", [[0.5, 1.1], [-1.5], [], [float("nan")]])
def test_a_mixture_refuses_what_it_cannot_bet_on(rows: list[float]) -> None:
    with pytest.raises(DataError):
        stats.mixture_p_value(rows)
