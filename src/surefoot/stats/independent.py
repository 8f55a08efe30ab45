"""Two quantities of independent samples: their difference or ratio from an interval of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surefoot.stats.interval import Interval


def independent_sum(terms: Sequence[tuple[float, Interval]]) -> Interval:
    """A weighted sum of independent quantities: the method of variance estimates recovery.

    Each end is as far from the sum as the root of the squared distances of the ends of the terms on
    that side (Zou and Donner 2008, "Construction of confidence limits about effect measures: a
    general approach"). Of two Wilson intervals with weights 1 and -1 it is Newcombe's hybrid score
    interval (Newcombe 1998, "Interval estimation for the difference between independent
    proportions: comparison of eleven methods", method 10); of logarithms it gives a ratio. Where
    the quantities are positively correlated and of opposite sign it is too wide, never too narrow.

    Args:
        terms: A weight and an interval each, all of the same level.
    """
    value = sum(weight * term.value for weight, term in terms)
    below, above = np.array(0.0), np.array(0.0)
    for weight, term in terms:
        down, up = weight * (term.value - term.low), weight * (term.high - term.value)
        below = below + np.square(down if weight > 0 else up)
        above = above + np.square(up if weight > 0 else down)
    return Interval(
        value=np.asarray(value), low=value - np.sqrt(below), high=value + np.sqrt(above)
    )
