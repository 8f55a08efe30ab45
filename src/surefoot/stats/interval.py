"""The interval every estimator here returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surefoot.core.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Point estimates and two-sided intervals, one of each a cell; 0-d arrays for a single cell."""

    value: np.ndarray
    """The point estimate."""
    low: np.ndarray
    """Lower end; -inf where the data give none."""
    high: np.ndarray
    """Upper end; inf where the data give none."""

    def estimate(self, *, level: float, method: str, n: int) -> Estimate:
        """A single cell's, with what a number never travels without.

        Args:
            level: The confidence that it was made with.
            method: How.
            n: How many examples, calls or clusters it rests on.
        """
        return Estimate(
            value=float(self.value),
            low=float(self.low),
            high=float(self.high),
            level=level,
            method=method,
            n=n,
        )
