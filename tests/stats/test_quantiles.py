"""Order statistics: which exist, what they cover, and what neighbours do to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import norm, quantile_test

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [20, 300, 1_001])
def test_against_scipy(q: float, n: int) -> None:
    values = np.random.default_rng(n).lognormal(size=n)
    limit = float(np.quantile(values, q)) * 1.05
    less, greater = (
        quantile_test(values, q=limit, p=q, alternative=a) for a in ("less", "greater")
    )
    assert stats.quantile_at_most(values, q, limit) == pytest.approx(less.pvalue)
    assert stats.quantile_above(values, q, limit) == pytest.approx(greater.pvalue)
    interval = stats.quantile_interval(values, q, 0.9)
    upper = less.confidence_interval(0.95).high
    lower = greater.confidence_interval(0.95).low
    assert interval.high == (np.inf if np.isnan(upper) else upper)
    assert interval.low == (-np.inf if np.isnan(lower) else lower)


def test_the_99th_percentile_needs_299_calls() -> None:
    assert stats.calls_needed(0.99) == 299
    assert stats.calls_needed(0.99, blocks=10) == 339
    assert stats.calls_needed([0.999, 0.5], [0.95, 0.75]).tolist() == [2_995, 2]
    calls = np.arange(299.0)
    assert stats.quantile_interval(calls, 0.99, 0.9).high == 298
    assert stats.quantile_interval(calls[1:], 0.99, 0.9).high == np.inf
    assert (
        stats.quantile_at_most(calls, 0.99, 1e9)
        < 0.05
        < stats.quantile_at_most(calls[1:], 0.99, 1e9)
    )
    assert stats.quantile_interval(calls[:3], 0.5, 0.9).low == -np.inf


def test_the_estimate_is_a_value_that_was_measured() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1, 101))
    estimates = [float(stats.quantile_interval(values, q).value) for q in (0.07, 0.5, 0.99)]
    assert estimates == [7, 50, 99]


series = st.lists(st.integers(0, 30), min_size=1, max_size=400)


@given(series, st.sampled_from([0.1, 0.5, 0.9, 0.99]), st.floats(0.005, 0.4), st.integers(-1, 31))
def test_p_values_and_interval_say_the_same(
    values: list[int], q: float, alpha: float, limit: int
) -> None:
    for blocks in (None, 4) if len(values) >= 4 else (None,):
        interval = stats.quantile_interval(values, q, 1 - 2 * alpha, blocks=blocks)
        most = stats.quantile_at_most(values, q, limit, blocks=blocks)
        above = stats.quantile_above(values, q, limit, blocks=blocks)
        if min(abs(float(most) - alpha), abs(float(above) - alpha)) > 1e-9:
            assert (most < alpha) == (interval.high <= limit)
            assert (above < alpha) == (interval.low > limit)
        assert interval.low <= interval.value <= interval.high


def test_cells_are_judged_each_on_its_own() -> None:
    cells = np.random.default_rng(2).exponential(size=(3, 500))
    for blocks in (None, 10):
        interval = stats.quantile_interval(cells, 0.9, blocks=blocks)
        p = stats.quantile_at_most(cells, 0.9, [2.0, 2.3, 3.0], blocks=blocks)
        for i, limit in enumerate((2.0, 2.3, 3.0)):
            alone = stats.quantile_interval(cells[i], 0.9, blocks=blocks)
            assert (interval.low[i], interval.high[i]) == (alone.low, alone.high)
            assert p[i] == pytest.approx(
                float(stats.quantile_at_most(cells[i], 0.9, limit, blocks=blocks))
            )


def _autocorrelated(rho: float, runs: int, n: int) -> np.ndarray:
    noise = np.random.default_rng(8).normal(size=(runs, n))
    noise[:, 0] /= np.sqrt(1 - rho**2)
    return np.exp(lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=1))


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_coverage_of_independent_calls(q: float) -> None:
    interval = stats.quantile_interval(_autocorrelated(0, 2_000, 1_000), q)
    inside = (interval.low <= np.exp(norm.ppf(q))) & (np.exp(norm.ppf(q)) <= interval.high)
    assert 0.94 <= inside.mean() <= 0.98


@pytest.mark.parametrize(("rho", "q"), [(0.5, 0.5), (0.9, 0.5), (0.9, 0.9), (0.8, 0.99)])
def test_coverage_of_calls_that_resemble_their_neighbours(rho: float, q: float) -> None:
    values, true = _autocorrelated(rho, 1_000, 2_000), np.exp(norm.ppf(q))
    blocks, plain = (stats.quantile_interval(values, q, blocks=b) for b in (10, None))
    assert 0.935 <= ((blocks.low <= true) & (true <= blocks.high)).mean() <= 0.985
    assert ((plain.low <= true) & (true <= plain.high)).mean() < 0.85


@pytest.mark.parametrize("q", [0, 1, 1.5, float("nan")])
def test_quantiles_outside_0_to_1_are_refused(q: float) -> None:
    with pytest.raises(BudgetError, match="quantile is"):
        stats.quantile_interval([1.0, 2.0], q)


@pytest.mark.parametrize(
    ("values", "blocks", "line"),
    [
        ([], None, "the series has no values"),
        ([1.0, float("nan")], None, "the series is nan at position 1"),
        ([1.0, 2.0], 3, "2 calls cannot be cut into 3 blocks"),
        ([1.0, 2.0], 1, "2 calls cannot be cut into 1 blocks"),
    ],
)
def test_series_that_say_nothing_are_refused(
    values: list[float], blocks: int | None, line: str
) -> None:
    with pytest.raises(DataError) as error:
        stats.quantile_interval(values, 0.5, blocks=blocks)
    assert line in str(error.value)


@pytest.mark.parametrize("blocks", [None, 10])
def test_an_infinite_call_is_later_than_any_limit(blocks: int | None) -> None:
    """As a finite one that is larger than all others, for intervals and for both p-values."""
    rng = np.random.default_rng(8)
    calls = rng.exponential(size=1000)
    never, late = calls.copy(), calls.copy()
    never[rng.permutation(1000)[:4]] = np.inf
    late[np.isinf(never)] = 1e9
    for q in (0.5, 0.99):
        one, two = (stats.quantile_interval(x, q, 0.9, blocks=blocks) for x in (never, late))
        assert (one.value, one.low) == (two.value, two.low)
        assert one.high == (np.inf if two.high == 1e9 else two.high)
        for judge in (stats.quantile_at_most, stats.quantile_above):
            assert judge(never, q, 3.0, blocks=blocks) == judge(late, q, 3.0, blocks=blocks)


def test_a_quantile_may_be_infinite_and_errors_of_one_stretch_are_few() -> None:
    """2 % of errors make p99 infinite; whether for good depends on how they are spread."""
    spread, burst = np.ones(2000), np.ones(2000)
    spread[::50], burst[400:440] = np.inf, np.inf
    found = [stats.quantile_interval(x, 0.99, 0.9, blocks=10) for x in (spread, burst)]
    assert [float(x.value) for x in found] == [np.inf, np.inf]
    assert [float(x.low) for x in found] == [np.inf, 1.0]
    assert stats.quantile_above(spread, 0.99, 5.0, blocks=10) < 0.01
    assert stats.quantile_above(burst, 0.99, 5.0, blocks=10) > 0.1
