"""Seeds and rows as crossed factors."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from statsmodels.stats.anova import anova_lm

from surefoot import stats
from surefoot.core.errors import DataError


def crossed(
    rng: np.random.Generator, shape: tuple[int, int, int], parts: tuple[float, float, float]
) -> np.ndarray:
    """(runs, seeds, rows) with standard deviations of seeds, rows and the rest."""
    runs, k, n = shape
    seeds = rng.normal(0, parts[0], (runs, k, 1))
    return seeds + rng.normal(0, parts[1], (runs, 1, n)) + rng.normal(0, parts[2], shape)


def test_variances_against_statsmodels() -> None:
    values = crossed(np.random.default_rng(50), (1, 4, 25), (0.3, 0.5, 0.2))[0]
    seed, row = np.indices(values.shape)
    frame = pd.DataFrame({"y": values.ravel(), "s": seed.ravel(), "r": row.ravel()})
    squares = anova_lm(smf.ols("y ~ C(s) + C(r)", frame).fit())["mean_sq"]
    found = stats.crossed_variances(values)
    assert found.rest == pytest.approx(squares["Residual"])
    assert found.seeds == pytest.approx((squares["C(s)"] - squares["Residual"]) / 25)
    assert found.rows == pytest.approx((squares["C(r)"] - squares["Residual"]) / 4)


def test_variances_are_found_on_average() -> None:
    values = crossed(np.random.default_rng(51), (2_000, 5, 40), (0.1, 0.5, 0.2))
    found = stats.crossed_variances(values)
    means = (found.seeds.mean(), found.rows.mean(), found.rest.mean())
    assert means == pytest.approx((0.01, 0.25, 0.04), rel=0.05)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("parts", [(0.05, 0.3, 0.2), (0.0, 0.3, 0.2), (0.2, 0.1, 0.1)])
def test_coverage_and_false_release(seeds: int, parts: tuple[float, float, float]) -> None:
    values = crossed(np.random.default_rng(seeds), (3_000, seeds, 200), parts)
    interval = stats.crossed_mean(values)
    inside = (interval.low <= 0) & (interval.high >= 0)
    assert 0.94 <= inside.mean() <= 0.985
    assert (stats.crossed_p_value(values, margin=0.0) < 0.05).mean() < 0.06


def test_counting_every_seed_and_row_as_a_sample_is_far_too_sure() -> None:
    values = crossed(np.random.default_rng(52), (500, 5, 200), (0.05, 0.3, 0.2))
    wrong = stats.paired_mean(values.reshape(500, -1))
    assert ((wrong.low <= 0) & (wrong.high >= 0)).mean() < 0.6


def test_p_value_and_interval_say_the_same() -> None:
    values = crossed(np.random.default_rng(53), (50, 4, 60), (0.1, 0.3, 0.2))
    interval = stats.crossed_mean(values, level=0.9)
    released = stats.crossed_p_value(values, margin=0.05) < 0.05
    assert (released == (interval.low > -0.05)).all()
    assert 0 < released.sum() < 50


def test_seeds_that_agree_in_everything_prove_nothing() -> None:
    assert stats.crossed_p_value(np.zeros((3, 50)), margin=0.01) == 1


@pytest.mark.parametrize("values", [[[0.1, 0.2]], [[0.1], [0.2]], [0.1, 0.2]])
def test_one_seed_or_one_row_is_refused(values: list[list[float]]) -> None:
    with pytest.raises(DataError, match="at least two of each"):
        stats.crossed_mean(values)
