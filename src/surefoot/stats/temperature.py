"""The one number that makes a classifier's probabilities softer or sharper, and its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from surefoot.core.errors import DataError
from surefoot.stats.checks import open_share
from surefoot.stats.interval import Interval
from surefoot.stats.means import cluster_sums, studentised_interval

SMALLEST = float(np.finfo(np.float32).tiny)
"""What a probability of zero counts as; scores are float32."""
FLAT = 1e-9
"""A mean slope as small as this is none: the likelihood no longer rises."""
FURTHEST = 100.0
"""Temperatures are looked for from one over this up to this."""


def apply_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The probabilities that a model gives when its logits are divided by a temperature.

    Softmax(log p / T) is the same as scaling the logits, which may differ from log p by a number
    a row. The order of the classes of a row stays as it is.

    Args:
        scores: (n, classes) probabilities.
        temperature: Above 0; 1 changes nothing, more makes the probabilities softer.

    Returns:
        (n, classes) float64 probabilities: float32 could make two classes equal.

    Raises:
        DataError: A temperature that is not above 0.
    """
    if not 0 < temperature < np.inf:
        raise DataError(f"a temperature of {temperature}", fix="it must be above 0 and finite")
    return _softmax(_logs(scores) / temperature)


def temperature_interval(
    scores: np.ndarray, labels: np.ndarray, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Interval:
    """The temperature under which the labels are most likely, with its interval.

    Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks". The slope of
    each row's log-likelihood along 1 / T is the logit it expects less the one it got; the optimum
    is where their mean is zero. The interval holds every temperature at which that mean does not
    differ from zero by the cluster-robust t test with Hall's correction for skewness: a generalised
    score test (Boos 1992, "On generalized score tests"), which needs no true model and has an open
    end where the rows do not tell one.

    Args:
        scores: (n, classes) probabilities.
        labels: (n,) class indices.
        groups: (n,) which cluster a row belongs to; None when rows are independent.
        level: Two-sided confidence.

    Returns:
        The value is 0 where every answer is right, and infinite where the scores say nothing.

    Raises:
        DataError: Fewer than two rows or clusters.
    """
    level = float(open_share(level, "level"))
    logs = _logs(scores)
    got = logs[np.arange(len(labels)), labels]

    def surplus(sharpness: float) -> np.ndarray:
        """By how much the expected logit of each row exceeds the one it got; rises in 1 / T."""
        return np.asarray((_softmax(np.exp(sharpness) * logs) * logs).sum(axis=1) - got)

    def mean(sharpness: float) -> float:
        return float(surplus(sharpness).mean())

    def lower_end(sharpness: float) -> float:
        sums = cluster_sums(surplus(sharpness), groups)
        return float(studentised_interval(sums, level).low)

    def upper_end(sharpness: float) -> float:
        sums = cluster_sums(surplus(sharpness), groups)
        return float(studentised_interval(sums, level).high)

    best = _zero(mean)
    start = min(max(best, -np.log(FURTHEST)), np.log(FURTHEST))
    sharpest, softest = _outward(lower_end, start, 1), _outward(upper_end, start, -1)
    return Interval(
        value=np.asarray(np.exp(-best)),
        low=np.asarray(np.exp(-sharpest)),
        high=np.asarray(np.exp(-softest)),
    )


def _logs(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(scores, dtype=np.float64), SMALLEST))


def _softmax(logits: np.ndarray) -> np.ndarray:
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True))


def _zero(rising: Callable[[float], float]) -> float:
    """Where a rising function of log(1 / T) is zero; infinite where it is not within reach."""
    from scipy.optimize import brentq

    edge = float(np.log(FURTHEST))
    if rising(edge) < FLAT:
        return np.inf
    return float(brentq(rising, -edge, edge, xtol=1e-10)) if rising(-edge) < -FLAT else -np.inf


def _outward(end: Callable[[float], float], start: float, sign: int) -> float:
    """The first place from `start` on where an end of the interval of the slope reaches zero."""
    from scipy.optimize import brentq

    edge, inner, step = float(np.log(FURTHEST)), start, 0.05
    while sign * inner < edge:
        outer = sign * min(sign * inner + step, edge)
        if sign * end(outer) >= 0:
            if sign * end(inner) >= 0:  # no variance at all: the start is all there is
                return inner
            return float(brentq(end, inner, outer, xtol=1e-6))
        inner, step = outer, 2 * step
    return sign * np.inf
