"""Tango's interval and the tests of a drop: published figures, likelihoods and exact sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import gammaln, ndtri, xlogy
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from surefoot import stats
from surefoot.core.errors import BudgetError, DataError
from surefoot.stats.proportions import largest_drop, score


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 3_000))
    lost = draw(st.integers(0, n))
    return lost, draw(st.integers(0, n - lost)), n


margins = st.floats(1e-4, 0.5)
alphas = st.floats(1e-4, 0.4)


@pytest.mark.parametrize(
    ("lost", "won", "n", "level", "limits", "digits"),
    [
        # Tango 1998, section 6.2: sleeping difficulties of 32 men and their matched controls.
        (3, 9, 32, 0.95, (-0.027, 0.390), 3),
        # Fagerland, Lydersen and Laake 2014, hyper-responsive airways; ratesci's rdpairci prints 4.
        (1, 7, 21, 0.95, (0.0260, 0.5172), 4),
        # contingencytables (Fagerland, Lydersen and Laake 2017), test-ch8.R, Cavo et al. 2012.
        (16, 6, 161, 0.95, (-0.1240, -0.0054), 4),
        # Chang et al. 2024 (PMC10763857), table 3: floppy eyelids and sleep apnoea, 7, 25, 2, 68.
        (2, 25, 102, 0.95, (0.139, 0.321), 3),
        # R, PropCIs 0.3: scoreci.mp(25, 28, 618, 0.9), as a port of it pins it.
        (25, 28, 618, 0.90, (-0.0148, 0.0247), 4),
    ],
)
def test_tango_interval_matches_published_figures(
    lost: int, won: int, n: int, level: float, limits: tuple[float, float], digits: int
) -> None:
    interval = stats.paired_proportions(lost, won, n, level=level)
    assert interval.value == pytest.approx((won - lost) / n)
    assert (interval.low, interval.high) == pytest.approx(limits, abs=0.5 * 10**-digits)


def test_tango_score_matches_his_crossover_trial_of_contact_lenses() -> None:
    """Tango 1998, section 6.1: 44 pairs, one lost; Z(0.1) = 1.709, lower 90 % limit -0.096.

    One changed row is too few for `paired_proportions`, whose exact limit is wider.
    """
    lost, won, n, margin = (np.asarray(float(x)) for x in (1, 0, 44, 0.1))
    assert -score(lost, won, n, margin)[0] == pytest.approx(1.709, abs=5e-4)
    assert -largest_drop(lost, won, n, 0.05) == pytest.approx(-0.096, abs=5e-4)
    assert stats.paired_proportions(1, 0, 44, level=0.9).low < -0.096


@pytest.mark.parametrize(
    ("lost", "won", "n"),
    [(9, 3, 120), (30, 41, 800), (6, 0, 60), (0, 8, 40), (2, 12, 50), (20, 40, 160)],
)
def test_tango_limits_are_where_the_score_of_the_fitted_likelihood_is_critical(
    lost: int, won: int, n: int
) -> None:
    def fitted(drop: float) -> float:
        """The same score with the nuisance found by a numeric optimiser, not in closed form."""

        def minus_log_likelihood(q: float) -> float:
            same = 1 - 2 * q - drop
            return -float(xlogy(lost, q + drop) + xlogy(won, q) + xlogy(n - lost - won, same))

        bounds = (max(0, -drop) + 1e-12, (1 - drop) / 2 - 1e-12)
        q = optimize.minimize_scalar(
            minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        return float((lost - won - n * drop) / np.sqrt(n * (2 * q + drop - drop**2)))

    z, middle = float(ndtri(0.975)), (lost - won) / n
    largest = optimize.brentq(lambda d: fitted(d) + z, middle, 0.9)
    smallest = optimize.brentq(lambda d: fitted(d) - z, -0.9, middle)
    interval = stats.paired_proportions(lost, won, n)
    assert (-interval.high, -interval.low) == pytest.approx((smallest, largest), abs=1e-5)


def test_few_changed_rows_get_exact_limits() -> None:
    interval = stats.paired_proportions([0, 1, 3], [0, 2, 0], [50, 80, 3], level=0.9)
    limits = [proportion_confint(k, n, 0.1, "beta") for k, n in ((0, 50), (1, 80), (3, 3))]
    assert -interval.low == pytest.approx([high for _, high in limits])
    assert interval.high[0] == pytest.approx(1 - 0.05 ** (1 / 50))


@given(tables(), margins, alphas)
def test_release_and_the_interval_say_the_same(
    table: tuple[int, int, int], margin: float, alpha: float
) -> None:
    p = stats.noninferiority(*table, margin)
    interval = stats.paired_proportions(*table, level=1 - 2 * alpha)
    if abs(interval.low + margin) > 1e-9:
        assert (p < alpha) == (interval.low > -margin)


@given(tables(), margins, alphas)
def test_a_failure_lies_outside_the_interval(
    table: tuple[int, int, int], margin: float, alpha: float
) -> None:
    interval = stats.paired_proportions(*table, level=1 - 2 * alpha)
    if stats.inferiority(*table, margin) < alpha:
        assert interval.high < -margin + 1e-9


@given(tables(), margins)
def test_no_table_both_passes_and_fails(table: tuple[int, int, int], margin: float) -> None:
    assert stats.noninferiority(*table, margin) + stats.inferiority(*table, margin) >= 1 - 1e-12


@given(tables())
def test_swapping_the_models_reflects_the_interval(table: tuple[int, int, int]) -> None:
    lost, won, n = table
    one, other = stats.paired_proportions(lost, won, n), stats.paired_proportions(won, lost, n)
    assert one.low == pytest.approx(-other.high, abs=1e-12)
    assert -1 <= one.low <= one.value <= one.high <= 1


@given(tables(), st.tuples(margins, margins))
def test_a_wider_margin_is_easier_to_keep(
    table: tuple[int, int, int], pair: tuple[float, float]
) -> None:
    narrow, wide = sorted(pair)
    assert stats.noninferiority(*table, wide) <= stats.noninferiority(*table, narrow) + 1e-12
    assert stats.inferiority(*table, wide) >= stats.inferiority(*table, narrow) - 1e-9


def test_cells_are_judged_each_on_its_own() -> None:
    lost, won, n = np.array([[3, 40], [12, 0]]), np.array([[9, 2], [12, 0]]), 400
    together = stats.noninferiority(lost, won, n, [0.01, 0.02])
    assert together.shape == (2, 2)
    assert together[1, 0] == stats.noninferiority(12, 12, 400, 0.01)
    assert stats.paired_proportions(lost, won, n).low[0, 1] == pytest.approx(
        float(stats.paired_proportions(40, 2, 400).low)
    )


def _probabilities(n: int, lost_share: float, won_share: float) -> np.ndarray:
    """P(lost = row, won = column) of a trinomial, as far out as it matters."""
    ends = [int(min(n, n * p + 9 * np.sqrt(n * p) + 12)) + 1 for p in (lost_share, won_share)]
    lost, won = np.arange(ends[0])[:, None], np.arange(ends[1])[None]
    same = n - lost - won
    log = gammaln(n + 1) - gammaln(lost + 1) - gammaln(won + 1) - gammaln(np.maximum(same, 0) + 1)
    log = log + xlogy(lost, lost_share) + xlogy(won, won_share)
    log = log + same * np.log1p(-lost_share - won_share)
    return np.where(same >= 0, np.exp(log), 0)


GRID = [
    (n, margin, won)
    for n in (50, 100, 200, 270, 300, 500, 1_000, 2_000)
    for margin in (0.005, 0.01, 0.02, 0.05)
    for won in (0, 0.001, 0.0025, 0.01, 0.025, 0.05)
]


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
def test_error_rates_at_the_margin_summed_exactly(alpha: float) -> None:
    """No simulation: every table's probability is added up where the test rejects."""
    released, failed = [], []
    for n, margin, won_share in GRID:
        p = _probabilities(n, won_share + margin, won_share)
        lost, won = np.minimum(np.indices(p.shape), n)
        won = np.minimum(won, n - lost)
        released.append(p[stats.noninferiority(lost, won, n, margin) < alpha].sum())
        failed.append(p[stats.inferiority(lost, won, n, margin) < alpha].sum())
    assert max(released) <= 1.08 * alpha
    assert max(failed) <= alpha
    # The tests are not merely timid: somewhere on the grid they use nearly all of alpha.
    assert max(released) > 0.9 * alpha
    assert max(failed) > 0.8 * alpha


@pytest.mark.parametrize(
    ("lost", "won", "exact", "mid_p"),
    [
        # contingencytables, test-ch8.R: Cavo et al. 2012, 59, 6, 16, 80.
        (16, 6, 0.052479, 0.034690),
        # Fagerland, Lydersen and Laake 2013, table 1: 1, 1, 7, 12; sums by hand.
        (7, 1, 18 / 256, 10 / 256),
    ],
)
def test_mcnemar_matches_published_two_sided_mid_p(
    lost: int, won: int, exact: float, mid_p: float
) -> None:
    assert 2 * stats.mcnemar(lost, won) == pytest.approx(mid_p, abs=5e-7)
    table = [[0, lost], [won, 0]]
    assert statsmodels_mcnemar(table, exact=True).pvalue == pytest.approx(exact, abs=5e-7)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_lies_between_the_exact_tails_that_statsmodels_has(lost: int, won: int) -> None:
    """Fagerland et al. 2013, supplement: mid-p is exact less half of what the table itself has."""
    worse, better = max(lost, won), min(lost, won)
    exact = statsmodels_mcnemar([[0, worse], [better, 0]], exact=True).pvalue / 2
    own = np.exp(gammaln(lost + won + 1) - gammaln(lost + 1) - gammaln(won + 1))
    own /= 2.0 ** (lost + won)
    p = stats.mcnemar(worse, better)
    assert exact - own - 1e-12 <= p <= exact + 1e-12
    assert p == pytest.approx(0.5 if lost == won else exact - own / 2)
    assert p + stats.mcnemar(better, worse) == pytest.approx(1)


def test_mcnemar_of_nothing_changed_is_undecided() -> None:
    assert stats.mcnemar(0, 0) == 0.5


@pytest.mark.parametrize(
    ("right", "won", "lost", "wrong", "low", "high"),
    [
        # Newcombe 1998, table III, method 10: his columns e, f, g, h.
        (36, 12, 2, 0, 0.0569, 0.3404),
        (20, 12, 2, 16, 0.0562, 0.3292),
        (18, 12, 2, 18, 0.0562, 0.3290),
        (36, 14, 0, 0, 0.1528, 0.4167),
        (35, 14, 0, 1, 0.1461, 0.4175),
        (18, 14, 0, 18, 0.1441, 0.3963),
        (2, 97, 1, 0, 0.8721, 0.9854),
        (1, 97, 1, 1, 0.8736, 0.9850),
        (0, 29, 1, 0, 0.6666, 0.9882),
        (2, 98, 0, 0, 0.9178, 0.9945),
        (1, 98, 0, 1, 0.9171, 0.9916),
        (0, 30, 0, 0, 0.8395, 1.0),
        (54, 0, 0, 0, -0.0664, 0.0664),
        (53, 0, 0, 1, -0.0729, 0.0729),
        (30, 0, 0, 24, -0.0358, 0.0358),
        (29, 0, 0, 25, -0.0354, 0.0354),
        (28, 0, 0, 26, -0.0352, 0.0352),
        (27, 0, 0, 27, -0.0351, 0.0351),
        # contingencytables, test-ch8.R: Cavo et al. 2012.
        (59, 6, 16, 80, -0.1186, -0.0046),
        # Fagerland, Lydersen and Laake 2014, as ratesci's moverpairci(type = "wilson") prints it.
        (1, 7, 1, 12, 0.0256, 0.5069),
    ],
)
def test_newcombe_matches_published_figures(
    right: int, won: int, lost: int, wrong: int, low: float, high: float
) -> None:
    interval = stats.newcombe10(lost, won, right + won + lost + wrong, right)
    # The eighth lower limit is 0.87367: published figures can be off by one in the last digit.
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(100, 3_000), st.floats(0.02, 0.1), st.floats(0.02, 0.1))
def test_newcombe_and_tango_agree_where_rows_are_many(n: int, lost: float, won: float) -> None:
    down, up = round(n * lost), round(n * won)
    tango = stats.paired_proportions(down, up, n)
    check = stats.newcombe10(down, up, n, round(0.7 * n))
    width = float(tango.high - tango.low)
    assert abs(float(tango.low - check.low)) < 0.35 * width
    assert abs(float(tango.high - check.high)) < 0.35 * width


@given(st.integers(1, 500), st.data(), alphas, st.floats(0.001, 0.999))
def test_proportions_against_statsmodels_and_scipy(
    n: int, data: st.DataObject, alpha: float, limit: float
) -> None:
    k = data.draw(st.integers(0, n))
    interval = stats.proportion_interval(k, n, 1 - 2 * alpha)
    low, high = proportion_confint(k, n, 2 * alpha, "beta")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9)
    most, least = stats.proportion_at_most(k, n, limit), stats.proportion_at_least(k, n, limit)
    assert most == pytest.approx(binomtest(k, n, limit, "less").pvalue, abs=1e-12)
    assert least == pytest.approx(binomtest(k, n, limit, "greater").pvalue, abs=1e-12)
    if abs(interval.high - limit) > 1e-9 and abs(interval.low - limit) > 1e-9:
        assert (most < alpha) == (interval.high < limit)
        assert (least < alpha) == (interval.low > limit)


def test_limits_of_0_and_1() -> None:
    assert stats.proportion_at_most(0, 10, 0) == 1
    assert stats.proportion_at_most(3, 10, 1) == 0
    assert stats.proportion_at_least(1, 10, 0) == 0
    assert stats.proportion_at_least(10, 10, 1) == 1


@pytest.mark.parametrize("margin", [0, 1, -0.01, 1.5, float("nan"), [0.01, 2]])
def test_margins_outside_0_to_1_are_refused(margin: object) -> None:
    with pytest.raises(BudgetError, match=r"margin is .*strictly between 0 and 1"):
        stats.noninferiority(1, 2, 100, margin)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ((0, 0, 0), "n is 0.0; at least one row is needed"),
        ((-1, 0, 5), "the count 'lost' is negative"),
        ((4, 4, 5), "lost + won is more than n = 5"),
        ((float("nan"), 0, 5), "the count 'lost' is negative or not a number"),
    ],
)
def test_impossible_counts_are_refused(counts: tuple[float, float, float], line: str) -> None:
    with pytest.raises(DataError) as error:
        stats.paired_proportions(*counts)
    assert line in str(error.value)


def test_a_limit_above_1_is_refused() -> None:
    with pytest.raises(BudgetError, match=r"a limit on a share is 1\.2"):
        stats.proportion_at_most(1, 10, 1.2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_two_sided_mcnemar_test_is_that_of_statsmodels(lost, won):
    from statsmodels.stats.contingency_tables import mcnemar as reference

    expected = reference([[10, lost], [won, 10]], exact=True).pvalue if lost + won else 1.0
    assert stats.exact_mcnemar(lost, won) == pytest.approx(expected)


def test_the_two_sided_mcnemar_test_takes_many_cells():
    p = stats.exact_mcnemar([0, 5, 1], [0, 5, 9])
    assert p.tolist() == pytest.approx([1.0, 1.0, 22 / 1024])
