"""The interval every estimator here returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Point estimates and two-sided intervals, one of each a cell; 0-d arrays for a single cell."""

    value: np.ndarray
    """The point estimate."""
    low: np.ndarray
    """Lower end; -inf where the data give none."""
    high: np.ndarray
    """Upper end; inf where the data give none."""
