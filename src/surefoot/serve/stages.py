"""What the models of a cascade are held to, row by row: little, so that each worker may load it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surefoot.core.serving import Cascade


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The models of a cascade in the order in which they are asked, and what each is held to."""

    names: tuple[str, ...]
    """The lean model, and those between it and the fallback."""
    thresholds: tuple[float, ...]
    """Of each the confidence, as it gives it, from which its answer stands; above 1: none does."""
    scope: Mapping[str, float]
    """Of each model, the fallback too, the confidence that rows in scope have."""

    @classmethod
    def of(cls, found: Cascade) -> Stages:
        """What a policy asks for; without a promise the lean model answers everything.

        Args:
            found: The policy.
        """
        chosen, stages = found.chosen, found.stages
        nobody = (0.0 if found.void else np.inf,) * len(stages)
        return cls(
            names=stages,
            thresholds=(chosen.threshold, *chosen.thresholds) if chosen else nobody,
            scope=found.scope,
        )

    def unsure(self, stage: int, confidence: np.ndarray) -> np.ndarray:
        """Positions of the rows that go on to whoever is next.

        Args:
            stage: The place in `names` of the model that was asked.
            confidence: (n,) of it, as it came: before any temperature.
        """
        # In 64 bits, as thresholds were chosen: rounded to 32 they would let other answers stand.
        return np.flatnonzero(confidence.astype(np.float64) < self.thresholds[stage])

    def strange(self, name: str, confidence: np.ndarray) -> np.ndarray:
        """(n,) whether a row looks as if it belonged to none of the classes.

        Each model has a threshold of its own, and a row is held to that of the model whose answer
        it is given. At most one of twenty rows in scope is called strange, whoever answers: a row
        that was sent on was below the threshold of the cascade before.

        Args:
            name: The model whose answer is given.
            confidence: (n,) of it, as it came.
        """
        return np.asarray(confidence.astype(np.float64) < self.scope.get(name, -np.inf))
