"""DeLong against pROC's figures, its own definition, scikit-learn and simulation."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from surefoot import stats
from surefoot.core.errors import DataError

# Two scores of the patients in R's pROC (aSAH; Turck et al. 2010), 41 poor outcomes then 72 good:
# the ranks whose placements pROC's helper-deLongPlacementsCpp-expected.R lists.
POOR = np.arange(113) < 41
WFNS = np.array(
    list(
        "32455552521254425552525245441442255225555"
        "111151221221112121134141551124112212122111121211324214115422111312244111"
    ),
    dtype=int,
)
S100B = np.fromstring(
    "9 6 12 8 26 31 29 3 20 5 3 24 22 28 31 16 31 31 31 3 31 18 1 5 14 31 16 31 4 16 9 6 7 14"
    " 31 10 31 19 31 31 26 9 10 6 2 27 13 6 6 2 4 2 5 7 3 13 3 7 9 13 2 12 10 21 5 30 27 12 3"
    " 25 27 7 4 5 4 2 9 6 10 11 2 2 5 2 5 4 12 5 4 20 7 17 3 6 19 3 2 15 23 6 11 4 10 6 3 2 13"
    " 11 27 13 11 30 28",
    dtype=int,
    sep=" ",
)


def scored(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = rng.random(n) < 0.4
    truth = labels + rng.normal(size=n)
    return labels, truth + rng.normal(size=n), np.round(truth + rng.normal(size=n), 1)


def by_definition(
    labels: np.ndarray, baseline: np.ndarray, candidate: np.ndarray
) -> tuple[float, float]:
    """The structural components of DeLong et al. 1988, equations 4 to 6, pair by pair."""
    parts = []
    for scores in (candidate, baseline):
        difference = scores[labels][:, None] - scores[~labels][None]
        wins = (difference > 0) + 0.5 * (difference == 0)
        parts.append((wins.mean(axis=1), wins.mean(axis=0)))
    s10 = np.cov(np.stack([parts[0][0], parts[1][0]]))
    s01 = np.cov(np.stack([parts[0][1], parts[1][1]]))
    covariance = s10 / labels.sum() + s01 / (~labels).sum()
    contrast = np.array([1, -1])
    difference = parts[0][0].mean() - parts[1][0].mean()
    return float(difference), float(np.sqrt(contrast @ covariance @ contrast))


def test_difference_matches_proc() -> None:
    """pROC, test-roc.test.R: roc.test(r.wfns, r.s100b), DeLong for two correlated curves."""
    interval = stats.auc_difference(POOR, S100B, WFNS)
    assert (interval.low, interval.high) == pytest.approx((0.0104061769564846, 0.174214419249478))
    score = float(interval.value / (interval.high - interval.low) * 2 * norm.ppf(0.975))
    assert norm.sf(score) == pytest.approx(0.0135878911145941)


def test_areas_and_their_variances_match_proc() -> None:
    """pROC, test-var.R and helper-roc-expected.R."""
    interval = stats.auc_interval(POOR, np.stack([WFNS, S100B]))
    assert interval.value == pytest.approx([0.823678861788618, 0.731368563685637])
    error = (interval.high - interval.low) / (2 * norm.ppf(0.975))
    assert error**2 == pytest.approx([0.00146991470882363, 0.00266868245717244])


def test_difference_against_the_definition() -> None:
    labels, baseline, candidate = scored(np.random.default_rng(30), 120)
    difference, error = by_definition(labels, baseline, candidate)
    interval = stats.auc_difference(labels, baseline, candidate, level=0.95)
    assert interval.value == pytest.approx(difference)
    assert interval.high - interval.low == pytest.approx(2 * 1.959964 * error, rel=1e-5)


def test_area_against_scikit_learn() -> None:
    labels, baseline, candidate = scored(np.random.default_rng(31), 90)
    interval = stats.auc_interval(labels, np.stack([baseline, candidate]))
    expected = [roc_auc_score(labels, baseline), roc_auc_score(labels, candidate)]
    assert interval.value == pytest.approx(expected)


def test_coverage_and_false_release() -> None:
    rng = np.random.default_rng(32)
    inside, released = 0, 0
    for _ in range(1_000):
        labels, baseline, candidate = scored(rng, 300)
        interval = stats.auc_difference(labels, baseline, candidate)
        inside += bool(interval.low <= 0 <= interval.high)
        # The candidate is as good as the baseline; made worse by the margin it must not pass.
        low = stats.auc_difference(labels, baseline, candidate, level=0.9).low
        released += bool(low > 0)
    assert 0.93 <= inside / 1_000 <= 0.97
    assert released / 1_000 < 0.07


def test_groups_of_one_row_each_change_next_to_nothing() -> None:
    labels, scores, _ = scored(np.random.default_rng(35), 400)
    alone, grouped = (
        stats.auc_interval(labels, scores, groups=groups) for groups in (None, np.arange(400))
    )
    assert grouped.value == alone.value
    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.01)


def test_coverage_in_groups() -> None:
    """Copies of rows, and groups that hold rows of both kinds."""
    rng, inside, naive = np.random.default_rng(36), 0, 0
    truth = norm.cdf(1 / 2)  # labels + two normals of variance 1 each: a shift of 1 over root 4
    groups = np.repeat(np.arange(60), 5) // 2  # two rows with four copies each
    for _ in range(400):
        labels = rng.random(60) < 0.4
        labels, scores = (
            np.repeat(x, 5) for x in (labels, labels + rng.normal(size=(2, 60)).sum(axis=0))
        )
        found = stats.auc_interval(labels, scores, groups=groups)
        inside += bool(found.low <= truth <= found.high)
        found = stats.auc_interval(labels, scores)
        naive += bool(found.low <= truth <= found.high)
    assert inside / 400 >= 0.91
    assert naive / 400 < 0.75


def test_one_group_is_refused() -> None:
    labels, scores, _ = scored(np.random.default_rng(37), 30)
    with pytest.raises(DataError, match="1 groups of 30 rows"):
        stats.auc_interval(labels, scores, groups=np.zeros(30))


def test_rows_that_are_parted_perfectly_leave_room_for_the_next() -> None:
    labels = np.arange(40) < 10
    found = stats.auc_interval(labels, np.stack([labels, ~labels, np.zeros(40)]))
    share = 0.025 ** (1 / 10)  # by hand: ten disjoint pairs that all came out alike
    assert found.value.tolist() == [1, 0, 0.5]
    assert found.low == pytest.approx([share, 0, share / 2])
    assert found.high == pytest.approx([1, 1 - share, 1 - share / 2])


@pytest.mark.parametrize(
    ("groups", "pairs"),
    [
        (np.arange(40), 10),
        (np.arange(40) // 5, 2),  # two groups of positive rows, six of negative ones
        (np.arange(40) % 5, 2),  # five groups, each of both kinds
    ],
)
def test_of_groups_the_pairs_are_of_groups(groups: np.ndarray, pairs: int) -> None:
    labels = np.arange(40) < 10
    found = stats.auc_interval(labels, labels, groups=groups)
    assert (found.low, found.high) == pytest.approx((0.025 ** (1 / pairs), 1))


def test_coverage_where_rows_are_mostly_parted_perfectly() -> None:
    """The area is 0.983, and 8 positive rows are beaten by none of 30 in most samples."""
    rng, inside, perfect = np.random.default_rng(38), 0, 0
    truth, labels = norm.cdf(3 / np.sqrt(2)), np.arange(38) < 8
    for _ in range(500):
        found = stats.auc_interval(labels, 3 * labels + rng.normal(size=38))
        if found.value == 1:
            perfect += 1
            inside += bool(found.low <= truth <= found.high)
    assert perfect > 100
    assert inside == perfect


@pytest.mark.parametrize(
    ("labels", "scores", "line"),
    [
        ([1, 0, 0], [0.1, 0.2, 0.3], "1 positive and 2 negative rows"),
        ([1, 1, 0, 0], [0.1, 0.2, float("nan"), 0.4], "the scores is nan at position 2"),
        ([1, 1, 0, 0], [0.1, 0.2], "4 labels for 2 scores"),
    ],
)
def test_rows_without_an_area_are_refused(
    labels: list[int], scores: list[float], line: str
) -> None:
    with pytest.raises(DataError) as error:
        stats.auc_interval(labels, scores)
    assert line in str(error.value)
