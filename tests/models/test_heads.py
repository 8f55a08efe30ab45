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


@pytest.mark.parametrize("noise", [1e-13, 1e-9, 1e-7])
def test_a_feature_that_varies_by_rounding_alone_is_constant(noise: float) -> None:
    """Its noise may tell the labels apart; in new rows it would be far larger."""
    features, labels = problem(3)
    almost = 7 + noise * np.sign(labels - 1)[:, None]
    weight, bias = fit_linear_head(np.hstack([features, almost]), np.eye(3)[labels], l2=1.0)
    without, same = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    np.testing.assert_allclose(weight[:, -1], 0, atol=1e-6)
    np.testing.assert_allclose(weight[:, :-1], without, atol=1e-3)
    np.testing.assert_allclose(bias, same, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e6])
def test_what_is_constant_does_not_depend_on_the_unit(scale: float) -> None:
    features, labels = problem(3)
    weight, bias = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    found, same = fit_linear_head(features * scale, np.eye(3)[labels], l2=1.0)
    np.testing.assert_allclose(found * scale, weight, rtol=2e-2, atol=2e-3)
    np.testing.assert_allclose(same, bias, rtol=2e-2, atol=2e-3)


def test_features_that_are_all_constant_leave_the_shares_of_the_classes() -> None:
    targets = np.eye(2)[[0, 0, 0, 1]]
    weight, bias = fit_linear_head(np.full((4, 3), 5.0), targets, l2=1.0)
    np.testing.assert_array_equal(weight, 0)
    np.testing.assert_allclose(np.exp(bias[0] - bias[1]), 3, rtol=1e-2)


def test_the_same_data_give_the_same_head() -> None:
    features, labels = problem(3)
    one = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    two = fit_linear_head(features, np.eye(3)[labels], l2=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
