"""Learn-then-Test by fixed sequence: MAPIE as the reference, and whether the promise holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control.fwer_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.stats import binom

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError

N, ALPHA, DELTA = 500, 0.02, 0.1
RISKS = np.linspace(0.002, 0.04, 60)
"""True risks of a grid from strict to lax; the promise is broken from the 29th on."""


def calibrated(runs: int, slices: int, seed: int) -> np.ndarray:
    """(runs, slices, thresholds) losses of nested thresholds on fresh calibration rows."""
    steps = np.diff(RISKS, prepend=0)
    drawn = np.random.default_rng(seed).multinomial(N, [*steps, 1 - RISKS[-1]], (runs, slices))
    return np.cumsum(drawn[..., :-1], axis=-1)


def deployed_risk(passed: np.ndarray) -> np.ndarray:
    """0 where everything goes to the fallback."""
    return np.concatenate([[0], RISKS])[passed]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.sampled_from([64, 256, 1_024]),
    st.floats(0.005, 0.2),
    st.floats(0.01, 0.5),
)
def test_same_thresholds_as_mapie(losses: list[int], n: int, alpha: float, delta: float) -> None:
    """With n a power of two MAPIE's share of losses times n is the count again."""
    p = compute_hoeffding_bentkus_p_value(np.array(losses) / n, n, alpha, binary=True)[:, 0]
    valid = control_fwer(p, delta, "fixed_sequence")
    if np.abs(p - delta).min() > 1e-9:
        passed = stats.thresholds_passed(losses, n, alpha=alpha, delta=delta)
        assert list(range(int(passed))) == valid.tolist()
        last = stats.last_threshold(losses, n, alpha=alpha, delta=delta)
        assert last == (valid[-1] if len(valid) else None)


def test_promise_is_kept_where_the_best_looking_threshold_breaks_it() -> None:
    losses = calibrated(4_000, 1, 60)[:, 0]
    broken = deployed_risk(stats.thresholds_passed(losses, N, alpha=ALPHA, delta=DELTA)) > ALPHA
    assert broken.mean() <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 4_000)
    # Not merely timid: most of delta is used, since the grid is fine.
    assert broken.mean() > 0.4 * DELTA
    best_looking = (losses <= ALPHA * N).sum(axis=-1)
    assert (deployed_risk(best_looking) > ALPHA).mean() > 0.25


def test_slices_that_share_delta_keep_their_promises_together() -> None:
    losses = calibrated(3_000, 4, 61)
    passed = stats.thresholds_passed(losses, N, alpha=ALPHA, delta=DELTA / 4)
    assert passed.shape == (3_000, 4)
    broken = (deployed_risk(passed) > ALPHA).any(axis=1)
    assert broken.mean() <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 3_000)


def test_walk_ends_at_the_first_threshold_that_fails() -> None:
    """Even if a laxer one would pass alone: its p-value was never looked at."""
    assert binom.cdf([0, 2, 0], 200, 0.03).round(3).tolist() == [0.002, 0.059, 0.002]
    assert stats.last_threshold([0, 2, 0], 200, alpha=0.03, delta=0.05) == 0
    assert stats.last_threshold([0, 2, 0], 200, alpha=0.03, delta=0.06) == 2


def test_nothing_passes_and_everything_goes_to_the_fallback() -> None:
    assert stats.last_threshold([9, 12], 100, alpha=0.02, delta=0.1) is None


@pytest.mark.parametrize(("alpha", "delta", "rows"), [(0.02, 0.1, 114), (0.01, 0.05, 299)])
def test_fewest_rows_that_can_promise_anything(alpha: float, delta: float, rows: int) -> None:
    """ln 0.1 / ln 0.98 = 113.97; the rule of three gives 299."""
    assert stats.calibration_rows_needed(alpha, delta) == rows
    assert stats.last_threshold([0], rows, alpha=alpha, delta=delta) == 0
    assert stats.last_threshold([0], rows - 1, alpha=alpha, delta=delta) is None


def test_rows_needed_of_many_promises_at_once() -> None:
    assert stats.calibration_rows_needed([0.5, 0.1], [0.25, 0.1]).tolist() == [2, 22]


def test_grids_of_different_sizes_are_judged_each_on_its_own() -> None:
    losses, n = np.array([[0, 1, 4], [0, 1, 4]]), np.array([150, 900])
    together = stats.thresholds_passed(losses, n, alpha=0.02, delta=0.1)
    for i in range(2):
        alone = stats.thresholds_passed(losses[i], n[i], alpha=0.02, delta=0.1)
        assert together[i] == alone
    assert together[0] < together[1]


@pytest.mark.parametrize(
    ("losses", "n", "line"),
    [
        ([], 100, "the grid has no thresholds"),
        ([0, 1], 0, "n is 0.0; at least one row is needed"),
        ([0, 11], 10, "successes is more than n = 10"),
        ([0, float("nan")], 10, "negative or not a number"),
        ([-1], 10, "negative or not a number"),
    ],
)
def test_counts_that_cannot_be_are_refused(losses: list[float], n: int, line: str) -> None:
    with pytest.raises(DataError) as error:
        stats.last_threshold(losses, n, alpha=0.02, delta=0.1)
    assert line in str(error.value)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_promises_outside_0_to_1_are_refused(share: float) -> None:
    with pytest.raises(BudgetError, match=r"alpha is .*strictly between 0 and 1"):
        stats.last_threshold([0], 100, alpha=share, delta=0.1)
    with pytest.raises(BudgetError, match=r"delta is .*strictly between 0 and 1"):
        stats.last_threshold([0], 100, alpha=0.1, delta=share)
    with pytest.raises(BudgetError, match="delta is"):
        stats.calibration_rows_needed(0.1, share)
