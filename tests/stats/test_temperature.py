"""Temperature scaling against scipy's and scikit-learn's optima, its properties, and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from surefoot import stats
from surefoot.core.errors import DataError


def rows(rng, n, *, classes=3, temperature=1.0, scale=2.0):
    """Scores whose true probabilities are those at `temperature`, and labels drawn from them."""
    logits = rng.normal(size=(n, classes)) * scale
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    return softmax(logits * temperature, axis=1).astype(np.float32), labels


def test_the_optimum_is_that_of_a_general_minimiser():
    scores, labels = rows(np.random.default_rng(0), 800, temperature=1.7)
    logs = np.log(scores.astype(np.float64))

    def loss(temperature):
        return -np.log(softmax(logs / temperature, axis=1)[np.arange(800), labels]).mean()

    expected = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9})
    found = stats.temperature_interval(scores, labels)
    assert found.value == pytest.approx(expected.x, rel=1e-5)
    assert found.low < 1.7 < found.high


def test_the_optimum_of_two_classes_is_that_of_scikit_learn():
    """One weight and no intercept on the difference of the logits: the weight is 1 / T."""
    scores, labels = rows(np.random.default_rng(1), 500, classes=2, temperature=0.6)
    margin = np.log(scores[:, 1:].astype(np.float64)) - np.log(scores[:, :1].astype(np.float64))
    model = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10)
    expected = 1 / model.fit(margin, labels).coef_[0, 0]
    assert stats.temperature_interval(scores, labels).value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "classes", "scale"), [(60, 2, 2.0), (150, 5, 3.0)])
def test_coverage(n, classes, scale):
    rng, inside = np.random.default_rng(2), 0
    for _ in range(200):
        scores, labels = rows(rng, n, classes=classes, temperature=1.5, scale=scale)
        found = stats.temperature_interval(scores, labels)
        inside += bool(found.low <= 1.5 <= found.high)
    assert 0.92 <= inside / 200 <= 0.99


def test_coverage_in_groups():
    """Rows of a group are copies: taken as independent they would cover in about two of three."""
    rng, inside, wide = np.random.default_rng(3), 0, 0
    for _ in range(200):
        scores, labels = rows(rng, 80, temperature=1.5)
        scores, labels, groups = (np.repeat(x, 4, axis=0) for x in (scores, labels, np.arange(80)))
        found = stats.temperature_interval(scores, labels, groups=groups)
        inside += bool(found.low <= 1.5 <= found.high)
        naive = stats.temperature_interval(scores, labels)
        wide += bool(naive.low <= 1.5 <= naive.high)
    assert inside / 200 >= 0.92
    assert wide / 200 < 0.8


probabilities = st.lists(
    st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.01),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(probabilities, st.floats(0.02, 50))
def test_no_answer_changes(given_rows, temperature):
    scores = np.array(given_rows, np.float32)
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    scaled = stats.apply_temperature(scores, temperature)
    assert scaled.argmax(axis=1).tolist() == scores.argmax(axis=1).tolist()
    assert scaled.sum(axis=1) == pytest.approx(np.ones(len(scores)))


@settings(deadline=None)
@given(probabilities)
def test_a_temperature_of_one_changes_nothing(given_rows):
    scores = np.array(given_rows)
    scores /= scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(stats.apply_temperature(scores, 1), scores, atol=1e-12)


def test_it_is_the_same_as_scaling_the_logits():
    logits = np.random.default_rng(4).normal(size=(50, 7)) * 6
    scores = softmax(logits, axis=1).astype(np.float32)
    expected = softmax(logits / 2.5, axis=1)
    np.testing.assert_allclose(stats.apply_temperature(scores, 2.5), expected, rtol=1e-5)


def test_where_all_answers_are_right_no_temperature_is_too_low():
    scores = np.tile([0.9, 0.1], (40, 1))
    found = stats.temperature_interval(scores, np.zeros(40, int))
    assert (found.value, found.low) == (0, 0)


def test_scores_that_say_nothing_ask_for_endless_softening():
    scores = np.tile([0.9, 0.1], (40, 1))
    found = stats.temperature_interval(scores, np.arange(40) % 2)
    assert (found.value, found.high) == (np.inf, np.inf)


def test_too_few_rows_and_temperatures_out_of_range_are_refused():
    with pytest.raises(DataError, match="only one row"):
        stats.temperature_interval(np.array([[0.6, 0.4]]), np.array([1]))
    for wrong in (0, -1, np.nan, np.inf):
        with pytest.raises(DataError, match="above 0"):
            stats.apply_temperature(np.array([[0.6, 0.4]]), wrong)
