"""What an endpoint says of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """The answers of an endpoint, row by row."""

    predicted: np.ndarray
    """(n,) int64; -1 where it named no class."""
    confidence: np.ndarray
    """(n,) float64 of the answer; NaN where nobody knows it."""
    scores: np.ndarray | None = None
    """(n, classes) probabilities; None where it tells labels alone."""
