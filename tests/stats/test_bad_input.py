"""What no statistic can be computed from is refused in one line that says why."""

from collections.abc import Callable

import numpy as np
import pytest

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError

NAN = float("nan")
LABELS, SCORES = [1, 1, 0, 0], [0.1, 0.4, 0.2, 0.3]


def mean_of(weights: np.ndarray) -> np.ndarray:
    return weights @ np.arange(weights.shape[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.paired_proportions(0, 0, 0),
        lambda: stats.noninferiority(0, 0, 0, 0.01),
        lambda: stats.inferiority(0, 0, 0, 0.01),
        lambda: stats.newcombe10(0, 0, 0, 0),
        lambda: stats.proportion_interval(0, 0),
        lambda: stats.proportion_at_most(0, 0, 0.1),
        lambda: stats.resample_counts(0, 0, 0),
        lambda: stats.noninferiority([3, 0], [1, 0], [100, 0], 0.01),
    ],
)
def test_no_rows(call: Callable[[], object]) -> None:
    with pytest.raises(DataError, match=r"n is 0\.0; at least one row is needed"):
        call()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: stats.paired_mean([]), "the paired difference"),
        (lambda: stats.clustered_noninferiority([], [], 0.1), "the paired difference"),
        (lambda: stats.quantile_interval([], 0.5), "the series"),
        (lambda: stats.block_mean([]), "the series"),
        (lambda: stats.betting_interval([]), "a row's value"),
        (lambda: stats.auc_interval([], []), "the scores"),
    ],
)
def test_no_values(call: Callable[[], object], name: str) -> None:
    with pytest.raises(DataError, match=f"{name} has no values"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: stats.clustered_proportions([1, 0, -1], [4, 4, 4]),
        lambda: stats.clustered_noninferiority([1, 0, -1], [4, 4, 4], 0.1),
        lambda: stats.clustered_inferiority([1, 0, -1], [4, 4, 4], 0.1),
        lambda: stats.paired_mean([0.1, 0.2], groups=["a", "a"]),
        lambda: stats.mean_p_value([0.1, 0.2], margin=0.1, groups=["a", "a"]),
    ],
)
def test_one_cluster(call: Callable[[], object]) -> None:
    line = "all rows belong to one group; an interval needs at least two independent rows or groups"
    with pytest.raises(DataError, match=line):
        call()


def test_one_cluster_cannot_be_resampled() -> None:
    line = "1 clusters cannot be resampled; at least two are needed"
    with pytest.raises(DataError, match=line):
        stats.resample(mean_of, 3, groups=[7, 7, 7])


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: stats.paired_mean([0.1, NAN]), "the paired difference is nan at position 1"),
        (
            lambda: stats.clustered_noninferiority([1, 0, NAN], [0, 1, 2], 0.1),
            "the paired difference is nan at position 2",
        ),
        (
            lambda: stats.auc_difference(LABELS, SCORES, [0.1, NAN, 0.2, 0.3]),
            "the scores is nan at position 1",
        ),
        (lambda: stats.quantile_interval([1.0, NAN], 0.5), "the series is nan at position 1"),
        (lambda: stats.quantile_at_most([1.0], 0.5, NAN), "the limit is not a number"),
        (lambda: stats.betting_interval([0.5, NAN]), "a row's value is nan at position 1"),
        (
            lambda: stats.crossed_mean([[0.1, 0.2], [NAN, 0.1]]),
            "the difference is nan at position 0",
        ),
        (lambda: stats.max_t([[NAN, NAN]]), "a difference is infinite, or a cell has no rows"),
        (lambda: stats.holm([0.5, NAN]), "a p-value is outside [0, 1] or not a number"),
        (
            lambda: stats.resample(lambda weights: weights[:, 0] * NAN, 4),
            "the metric is not a number on resampled rows",
        ),
        (lambda: stats.inferiority(NAN, 0, 5, 0.1), "the count 'lost' is negative or not a number"),
        (lambda: stats.rows_needed(NAN, 0.0, 0.01), "or not a number"),
    ],
)
def test_scores_that_are_not_numbers(call: Callable[[], object], line: str) -> None:
    with pytest.raises(DataError) as error:
        call()
    assert line in str(error.value)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.01, 1.5, NAN])
@pytest.mark.parametrize(
    "call",
    [
        lambda margin: stats.noninferiority(1, 2, 100, margin),
        lambda margin: stats.inferiority(1, 2, 100, margin),
        lambda margin: stats.clustered_noninferiority([1, 0, -1], [0, 1, 2], margin),
        lambda margin: stats.clustered_inferiority([1, 0, -1], [0, 1, 2], margin),
    ],
)
def test_margins_outside_0_to_1(call: Callable[[float], object], margin: float) -> None:
    line = rf"margin is {margin}; give a margin strictly between 0 and 1, such as 0.01 for one"
    with pytest.raises(BudgetError, match=line):
        call(margin)


@pytest.mark.parametrize("level", [0.0, 1.0, NAN])
@pytest.mark.parametrize(
    "call",
    [
        lambda level: stats.paired_proportions(1, 2, 100, level=level),
        lambda level: stats.paired_mean([0.1, 0.2], level=level),
        lambda level: stats.auc_interval(LABELS, SCORES, level),
        lambda level: stats.quantile_interval([1.0, 2.0], 0.5, level),
        lambda level: stats.rows_needed(0.03, 0.0, 0.01, level=level),
    ],
)
def test_levels_outside_0_to_1(call: Callable[[float], object], level: float) -> None:
    with pytest.raises(BudgetError, match=rf"level is {level}; give a level strictly between"):
        call(level)


def test_answers_that_all_agree_prove_no_more_than_their_number() -> None:
    """Not an error: lost = won = 0 has the exact tail (1 - margin)^n, and no answer to "worse"."""
    assert stats.noninferiority(0, 0, 300, 0.01) == pytest.approx(0.99**300)
    assert stats.inferiority(0, 0, 300, 0.01) == 1
    assert stats.mcnemar(0, 0) == 0.5
    interval = stats.paired_proportions(0, 0, 300)
    assert (interval.low, interval.high) == pytest.approx(
        (0.025 ** (1 / 300) - 1, 1 - 0.025 ** (1 / 300))
    )
    clustered = stats.clustered_noninferiority(np.zeros(300), np.arange(300) // 3, 0.01)
    assert clustered == pytest.approx(0.99**100)
    assert stats.max_t(np.zeros((2, 50))).tolist() == [1, 1]


@pytest.mark.parametrize("weights", ["counts", "exponential"])
def test_weights_always_sum_to_the_rows(weights: str) -> None:
    """A metric is never handed others, whatever the clusters' sizes: it need not check."""
    sums: list[np.ndarray] = []

    def watch(drawn: np.ndarray) -> np.ndarray:
        sums.append(drawn.sum(axis=1))
        return mean_of(drawn)

    groups = np.repeat(np.arange(4), [1, 2, 3, 6])
    stats.resample(watch, 12, groups=groups, draws=50, weights=weights)
    assert np.concatenate(sums) == pytest.approx(np.full(50 + 4 + 1, 12.0))


@pytest.mark.parametrize(("q", "calls"), [(0.99, 298), (0.999, 2_994)])
def test_quantiles_that_nobody_measured(q: float, calls: int) -> None:
    """One call too few: no bound at any limit, and the number that is missing is known."""
    series = np.arange(float(calls))
    assert stats.quantile_interval(series, q, 0.9).high == np.inf
    assert stats.quantile_at_most(series, q, 1e12) > 0.05
    assert stats.calls_needed(q) == calls + 1
    assert stats.quantile_interval(np.append(series, 1e9), q, 0.9).high == 1e9


def test_no_number_of_rows_decides_a_drop_that_is_the_margin() -> None:
    assert stats.rows_needed(0.03, 0.01, 0.01) == np.inf
    assert stats.rows_needed(0.03, [0.0, 0.02], 0.01).max() < np.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: stats.max_t(np.zeros((2, 5)), margin=bad),
        lambda bad: stats.bca_p_value(stats.resample_counts(50, 0, 100), bad),
        lambda bad: stats.rows_needed(0.1, 0.0, bad),
        lambda bad: stats.betting_p_value([0.5, 0.5], bad),
        lambda bad: stats.block_mean_at_most(np.arange(20.0), bad),
        lambda bad: stats.crossed_p_value(np.ones((2, 5)), margin=bad),
    ],
)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_margin_that_is_no_number_never_releases(call, bad):
    with pytest.raises(BudgetError, match="is not a finite number"):
        call(bad)


@pytest.mark.parametrize(
    ("groups", "said"), [(np.zeros(50), "one group"), ([0, 1, 2], "3 group labels for 50 rows")]
)
def test_max_t_needs_groups_that_fit(groups, said):
    with pytest.raises(DataError, match=said):
        stats.max_t(np.random.default_rng(1).normal(size=(3, 50)), groups=groups)


@pytest.mark.parametrize("lost", [-3, float("nan")])
def test_mcnemar_refuses_counts_that_are_none(lost):
    with pytest.raises(DataError):
        stats.mcnemar(lost, 1)


def test_a_label_that_is_no_number_is_no_positive_row():
    with pytest.raises(DataError, match="a label is not a number"):
        stats.auc_interval([0, 1, np.nan, 0], [0.1, 0.2, 0.3, 0.4])


def test_differences_of_any_size_have_a_p_value():
    assert 0 <= stats.mean_p_value(np.arange(10) * 1e-125, margin=0.5) < 1e-6
