import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from surefoot import plugins
from surefoot.core.errors import DataError
from surefoot.evaluate.pairs import of_sets

SCORES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.5, 0.0]], dtype=np.float32)
LABELS = np.array([0, 1, 2])
OF_ROWS = [name for name in plugins.names("metric") if not of_sets(plugins.find("metric", name))]
OF_SETS = sorted({*plugins.names("metric")} - {*OF_ROWS})


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", [1, 0, 0]),
        ("brier", [0.09 + 0.04 + 0.01, 0.01 + 0.81 + 0.64, 0.25 + 0.25 + 1]),
        ("log_loss", [-np.log(0.7), -np.log(0.1), -np.log(1e-7)]),
    ],
)
def test_values_by_hand(metric, expected):
    values = plugins.find("metric", metric)(SCORES, LABELS)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("metric", OF_ROWS)
def test_the_direction_is_declared_truly(metric):
    sure = np.eye(3, dtype=np.float32)
    values = plugins.find("metric", metric)
    better, worse = values(sure, LABELS).mean(), values(sure[::-1].copy(), LABELS).mean()
    assert (better > worse) == plugins.module("metric", metric).HIGHER_IS_BETTER


@given(st.permutations(range(3)), st.sampled_from(OF_ROWS))
def test_the_order_of_rows_and_an_empty_batch_do_not_matter(order, metric):
    values = plugins.find("metric", metric)
    assert values(SCORES[order], LABELS[order]).tolist() == values(SCORES, LABELS)[order].tolist()
    assert values(SCORES[:0], LABELS[:0]).shape == (0,)
    assert np.isfinite(values(SCORES, LABELS)).all()


@pytest.fixture
def rows():
    """Scores that say something of the labels, with ties, and weights of the rows."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 500)
    chance = np.round(np.clip(0.3 * labels + rng.uniform(0, 0.7, 500), 0.01, 0.99), 2)
    scores = np.stack([1 - chance, chance], axis=1).astype(np.float32)
    return scores, labels, rng.standard_exponential((4, 500))


@pytest.mark.parametrize("metric", OF_SETS)
def test_the_direction_of_a_metric_of_sets_is_declared_truly(metric, rows):
    scores, labels, weights = rows
    sure = np.eye(2, dtype=np.float32)[labels]
    values = plugins.find("metric", metric)
    better, worse = values(sure, labels, weights), values(1 - scores, labels, weights)
    assert ((better > worse) == plugins.module("metric", metric).HIGHER_IS_BETTER).all()


def test_macro_f1_is_that_of_scikit_learn(rows):
    scores, labels, weights = rows
    found = plugins.find("metric", "macro_f1")(scores, labels, weights)
    answers = scores.argmax(axis=1)
    expected = [f1_score(labels, answers, average="macro", sample_weight=w) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_macro_f1_leaves_out_a_class_that_weighs_nothing():
    weights = np.array([[1.0, 1.0, 0.0]])  # class 2 is no answer and the label of row 2 alone
    (found,) = plugins.find("metric", "macro_f1")(SCORES, LABELS, weights)
    assert found == pytest.approx((1 + 0 + 0) / 3)  # row 1 is answered with class 2


def test_auc_is_that_of_scikit_learn(rows):
    scores, labels, weights = rows
    found = plugins.find("metric", "auc")(scores, labels, weights)
    expected = [roc_auc_score(labels, scores[:, 1], sample_weight=w) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_auc_of_more_than_two_classes_is_refused():
    with pytest.raises(DataError, match="3 rows are of 3 of the model's 3 classes"):
        plugins.find("metric", "auc")(SCORES, LABELS, np.ones((1, 3)))


def aurc_by_hand(scores, labels, weights):
    """Row by row, as the definition has it."""
    confidence, wrong = scores.max(axis=1), scores.argmax(axis=1) != labels
    risks = []
    for own in confidence:
        kept = confidence >= own
        risks.append((weights[kept] * wrong[kept]).sum() / weights[kept].sum())
    return (weights * risks).sum() / weights.sum()


def test_aurc_is_that_of_its_definition(rows):
    scores, labels, weights = rows
    found = plugins.find("metric", "aurc")(scores, labels, weights)
    np.testing.assert_allclose(found, [aurc_by_hand(scores, labels, w) for w in weights])


def test_aurc_of_distinct_confidences_is_the_mean_over_ranks():
    """Geifman, Uziel and El-Yaniv 2019, equation 1: selective risks at k of n rows, averaged."""
    rng = np.random.default_rng(2)
    confidence, wrong = np.sort(rng.uniform(0.5, 1, 200))[::-1], rng.random(200) < 0.3
    scores = np.stack([confidence, 1 - confidence], axis=1)
    expected = (np.cumsum(wrong) / np.arange(1, 201)).mean()
    found = plugins.find("metric", "aurc")(scores, wrong.astype(int), np.ones((1, 200)))
    assert found[0] == pytest.approx(expected)


def test_aurc_of_a_confidence_that_says_nothing_is_the_error_rate():
    scores, labels = np.tile([0.8, 0.2], (10, 1)), np.arange(10) % 5 == 0
    assert plugins.find("metric", "aurc")(scores, labels, np.ones((1, 10)))[0] == 0.2


def test_ece_is_that_of_bins_by_hand():
    """Equal-mass bins, the squared gap of each less its own sampling variance."""
    rng = np.random.default_rng(3)
    confidence, n = np.sort(rng.uniform(0.5, 1, 300)), 300
    right = rng.random(n) < confidence - 0.2
    squares = 0.0
    for rows in np.array_split(np.arange(n), 15):
        accuracy = right[rows].mean()
        gap = confidence[rows].mean() - accuracy
        squares += len(rows) / n * (gap**2 - accuracy * (1 - accuracy) / (len(rows) - 1))
    scores = np.stack([confidence, 1 - confidence], axis=1)
    found = plugins.find("metric", "ece")(scores, np.where(right, 0, 1), np.ones((1, n)))
    assert found[0] == pytest.approx(np.sqrt(squares))


@pytest.mark.parametrize("off", [0.0, 0.1])
def test_ece_is_without_bias_where_the_truth_is_known(off):
    """Confidence exceeds the chance of being right by `off` everywhere."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        confidence = rng.uniform(0.7, 1.0, 1000)
        right = rng.uniform(size=1000) < confidence - off
        scores = np.stack([confidence, 1 - confidence], axis=1)
        labels = np.where(right, 0, 1)
        found.append(plugins.find("metric", "ece")(scores, labels, np.ones((1, 1000)))[0] ** 2)
    error = np.std(found) / np.sqrt(len(found))
    if off:
        assert np.mean(found) == pytest.approx(off**2, abs=4 * error)
    else:  # negative estimates count as none, so what is left is chance: a plain ECE shows 0.037
        assert np.sqrt(np.mean(found)) < 0.02
