import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import plugins

SCORES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.5, 0.0]], dtype=np.float32)
LABELS = np.array([0, 1, 2])


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


@pytest.mark.parametrize("metric", plugins.names("metric"))
def test_the_direction_is_declared_truly(metric):
    sure = np.eye(3, dtype=np.float32)
    values = plugins.find("metric", metric)
    better, worse = values(sure, LABELS).mean(), values(sure[::-1].copy(), LABELS).mean()
    assert (better > worse) == plugins.module("metric", metric).HIGHER_IS_BETTER


@given(st.permutations(range(3)), st.sampled_from(plugins.names("metric")))
def test_the_order_of_rows_and_an_empty_batch_do_not_matter(order, metric):
    values = plugins.find("metric", metric)
    assert values(SCORES[order], LABELS[order]).tolist() == values(SCORES, LABELS)[order].tolist()
    assert values(SCORES[:0], LABELS[:0]).shape == (0,)
    assert np.isfinite(values(SCORES, LABELS)).all()
