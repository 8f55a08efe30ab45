from __future__ import annotations

import numpy as np
import pytest

from surefoot.models import fit_linear_head


def problem(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((300, 6)) * [1, 10, 0.1, 3, 1, 1] + [0, 5, 0, -2, 0, 0]
    logits = features @ rng.standard_normal((6, classes)) + rng.gumbel(size=(300, classes)) * 3
    return features.astype(np.float32), logits.argmax(1)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("l2", [0.1, 5.0])
def test_it_finds_what_scikit_learn_finds(classes: int, l2: float) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels = problem(classes)
    standard = StandardScaler().fit_transform(features)
    # For two classes scikit-learn fits one row of weights, we fit two opposite ones.
    strength = 1 / l2 if classes > 2 else 2 / l2
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-10).fit(standard, labels)
    weight, bias = fit_linear_head(features, np.eye(classes)[labels], l2=l2)
    logits = features @ weight.T + bias
    found = np.exp(logits - logits.max(1, keepdims=True))
    found /= found.sum(1, keepdims=True)
    assert weight.shape == (classes, 6)
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_allclose(found, reference.predict_proba(standard), atol=2e-3)


def test_soft_targets_pull_towards_their_probabilities() -> None:
    features = np.array([[-1.0], [1.0]] * 200)
    targets = np.array([[0.8, 0.2], [0.3, 0.7]] * 200)
    weight, bias = fit_linear_head(features, targets, l2=1e-6)
    logits = np.array([[-1.0], [1.0]]) @ weight.T + bias
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(probability, targets[:2], atol=1e-3)


def test_a_constant_feature_gets_no_weight_and_breaks_nothing() -> None:
    features, labels = problem(3)
    with_constant = np.column_stack([features, np.full(len(features), 7, np.float32)])
    weight, bias = fit_linear_head(with_constant, np.eye(3)[labels], l2=1.0)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()
    np.testing.assert_allclose(weight[:, -1], 0, atol=1e-6)


def test_the_same_data_give_the_same_head() -> None:
    features, labels = problem(3)
    one = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    two = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
