"""Arrivals that are a Poisson process, and lateness that blames the generator alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from surefoot.evaluate.load.arrivals import lateness, poisson


def test_arrivals_are_a_poisson_process_at_the_rate_that_was_asked_for():
    """Gaps by Kolmogorov and Smirnov, counts by their dispersion."""
    rng = np.random.default_rng(0)
    arrival = poisson(50, 400, rng)
    assert len(arrival) == 20_000
    assert (np.diff(arrival) >= 0).all()
    assert arrival[0] >= 0
    assert arrival[-1] <= 400
    assert reference.kstest(np.diff(arrival), "expon", args=(0, 1 / 50)).pvalue > 0.01
    counts = np.histogram(arrival, np.arange(0, 401))[0]
    assert counts.mean() == 50
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.2)
    assert len(poisson(0.001, 1, rng)) == 1


def test_a_wait_for_the_model_is_no_lateness():
    arrival = np.array([0.0, 0.1, 0.2, 5.0])
    sent, done = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0, 6.0])
    assert lateness(arrival, sent, done, 1).tolist() == [0, 0, 0, 0]


def test_lateness_is_handed_on_to_those_that_wait_behind():
    """The first is sent 0.5 too late; the next two are late by as much, and idle time ends it."""
    arrival = np.array([0.0, 0.1, 0.2, 5.0])
    sent, done = np.array([0.5, 1.5, 2.5, 5.1]), np.array([1.5, 2.5, 3.5, 6.1])
    np.testing.assert_allclose(lateness(arrival, sent, done, 1), [0.5, 0.5, 0.5, 0.1])


@given(st.integers(0, 2**32), st.integers(1, 5), st.floats(0.2, 3))
def test_a_generator_that_is_never_late_has_no_lateness(seed, lanes, load):
    """Queues of any number of lanes, by simulating every lane; delays are found as planted."""
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.uniform(0, 20, 40))
    service = rng.exponential(load * lanes / 2, 40)
    free, sent = np.zeros(lanes), np.zeros(40)
    for i in range(40):
        lane = free.argmin()
        sent[i] = max(arrival[i], free[lane])
        free[lane] = sent[i] + service[i]
    np.testing.assert_allclose(lateness(arrival, sent, sent + service, lanes), 0, atol=1e-9)
    np.testing.assert_allclose(
        lateness(arrival, sent + 0.25, sent + 0.25 + service, lanes), 0.25, atol=1e-9
    )
