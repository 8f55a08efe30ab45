"""A bet on "more often than before": held against sums by hand, MAPIE's bound and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.exchangeability_testing.risk_monitoring import hoeffding_bound
from scipy.stats import beta

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError
from surefoot.stats.betting import ODDS, PATIENCE

RATE, ALPHA = 0.05, 0.05


def streams(n: int, rows: int, seed: int, *, after: float = RATE, begins: int = 0) -> np.ndarray:
    """Rows that happen in 5 %, and from one row on in another share."""
    rate = np.where(np.arange(rows) < begins, RATE, after)
    return (np.random.default_rng(seed).random((n, rows)) < rate).astype(float)


def by_hand(rows: list[int], rate: float) -> float:
    """The capital of one stream, day by day and size by size, without a state."""
    odds = rate / (1 - rate) * ODDS
    likelier = odds / (1 + odds)
    total = PATIENCE / (PATIENCE + len(rows))  # never staked
    for day in range(len(rows)):
        prior = PATIENCE / ((PATIENCE + day) * (PATIENCE + day + 1))
        for other in likelier:
            ratios = [(other if x else 1 - other) / (rate if x else 1 - rate) for x in rows[day:]]
            total += prior / len(likelier) * np.prod(ratios)
    return total


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=40),
    st.floats(0.001, 0.9),
)
def test_the_capital_is_that_of_every_day_and_size_together(rows: list[int], rate: float) -> None:
    found = stats.excess_capital(rows, rate=rate, alpha=1e-300)
    for t in range(len(rows)):
        assert found[t] == pytest.approx(by_hand(rows[: t + 1], rate), rel=1e-9)


@given(st.lists(st.integers(0, 1), max_size=30), st.floats(0.01, 0.9), st.floats(0.001, 0.5))
def test_a_bet_is_fair_whatever_came_before(rows: list[int], rate: float, alpha: float) -> None:
    """At the hypothetical rate the next row leaves the capital as it is, in the mean."""
    before = stats.excess_capital(rows, rate=rate, alpha=alpha)[-1] if rows else 1.0
    won, lost = (stats.excess_capital([*rows, x], rate=rate, alpha=alpha)[-1] for x in (1, 0))
    assert rate * won + (1 - rate) * lost == pytest.approx(before)
    assert lost <= before <= won <= (1 + 1e-9) / alpha


def test_the_goal_is_reached_exactly_and_kept() -> None:
    found = stats.excess_capital([1] * 50 + [0] * 50, rate=0.1, alpha=0.01)
    at = int(np.argmax(found > 100 * (1 - 1e-9)))
    assert found[at:] == pytest.approx(np.full(100 - at, 100.0))


def test_no_drift_is_seldom_called_one_however_long_one_looks() -> None:
    alarmed = stats.excess_capital(streams(2_000, 4_000, 1), rate=RATE, alpha=ALPHA)[:, -1]
    share = (alarmed > (1 - 1e-6) / ALPHA).mean()
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    assert share > 0.02  # most of it is used: nothing is staked beyond the goal


def test_little_is_lost_while_nothing_happens() -> None:
    quiet = np.zeros(100_000)
    found = stats.excess_capital(quiet, rate=RATE, alpha=ALPHA)
    assert found[-1] >= PATIENCE / (PATIENCE + len(quiet))


def test_a_rate_that_doubles_is_found_and_one_that_is_lower_is_not() -> None:
    rows = streams(400, 2_500, 2, after=0.1, begins=500)
    alarmed = stats.excess_capital(rows, rate=RATE, alpha=ALPHA) > (1 - 1e-6) / ALPHA
    kept = ~alarmed[:, 499]
    assert kept.mean() > 0.95
    assert alarmed[kept, -1].mean() > 0.98
    delay = alarmed[kept, 500:].argmax(axis=1) + 1
    assert np.median(delay) < 300
    lower = stats.excess_capital(streams(400, 2_500, 3, after=0.03), rate=RATE, alpha=ALPHA)
    assert (lower[:, -1] < (1 - 1e-6) / ALPHA).mean() > 0.99


def test_a_reference_that_is_small_is_allowed_for() -> None:
    """The rate is known from so many rows only, and drawn anew for each stream."""
    rng = np.random.default_rng(4)
    for n in (200, 1_000):
        limit = stats.highest_rate(rng.binomial(n, RATE, 1_000), n, ALPHA / 2)
        found = stats.excess_capital(streams(1_000, 1_500, n), rate=limit, alpha=ALPHA / 2)
        alarmed = found[:, -1] > (1 - 1e-6) * 2 / ALPHA
        assert alarmed.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1_000)


def test_the_highest_rate_is_the_exact_bound() -> None:
    assert stats.highest_rate(3, 50, 0.025) == pytest.approx(beta.ppf(0.975, 4, 47))
    assert stats.highest_rate([0, 7], 7, 0.025)[1] == 1
    # Tighter than the bound of MAPIE's monitor, which holds for any loss.
    losses = np.repeat([1.0, 0.0], [50, 950])
    assert stats.highest_rate(50, 1_000, 0.025) < hoeffding_bound(losses, 0.025)


def test_streams_are_judged_each_on_its_own() -> None:
    rows = streams(5, 300, 6, after=0.2, begins=100)
    rates = np.array([0.02, 0.05, 0.05, 0.1, 0.3])
    together = stats.excess_capital(rows, rate=rates, alpha=ALPHA)
    for row, rate, found in zip(rows, rates, together, strict=True):
        assert found == pytest.approx(stats.excess_capital(row, rate=rate, alpha=ALPHA))


def test_row_by_row_is_the_same_as_all_at_once() -> None:
    rows = streams(1, 500, 7, after=0.1)[0]
    wealth = stats.first_wealth()
    for row in rows:
        wealth = stats.next_wealth(wealth, row, rate=RATE, alpha=ALPHA)
    whole = stats.excess_capital(rows, rate=RATE, alpha=ALPHA)
    assert wealth.seen == 500
    assert np.exp(wealth.log) == pytest.approx(whole[-1])
    assert bool(stats.reached(wealth, ALPHA)) == (whole[-1] > (1 - 1e-6) / ALPHA)


@pytest.mark.parametrize("bad", [[0, 0.5], [2], [], [np.nan]])
def test_rows_that_are_no_yes_or_no_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError):
        stats.excess_capital(bad, rate=RATE, alpha=ALPHA)


@pytest.mark.parametrize(("rate", "alpha"), [(0, 0.05), (1, 0.05), (0.1, 0), (0.1, 1)])
def test_a_rate_that_can_only_be_right_or_wrong_is_no_hypothesis(rate: float, alpha: float) -> None:
    with pytest.raises(BudgetError):
        stats.excess_capital([0, 1], rate=rate, alpha=alpha)
