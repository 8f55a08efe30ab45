"""What another evaluator says about one model, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The samples of one run, as columns; two of them pair by id."""

    model: str
    """The model's name; empty where the log does not say."""
    task: str
    """What was evaluated, for example `gsm8k`."""
    metric: str
    """The metric that `values` are of."""
    ids: np.ndarray
    """(n,) StringDType; an id that stands there several times was asked in several epochs."""
    values: np.ndarray
    """(n,) float64, the metric of each sample."""
    answers: np.ndarray | None = None
    """(n,) StringDType, the answers that the metric looked at, long ones as hashes; None where the
    log has none."""
    same: Mapping[str, np.ndarray] = field(default_factory=dict)
    """By name, (n,) StringDType: what must not differ between two logs, such as `target`."""
    prompts: np.ndarray | None = None
    """(n,) StringDType, the prompts or their hashes; None where the log has none."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What must not differ for the whole run, such as `num_fewshot`."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """What had better not differ, such as the temperature."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """By name, (n,) StringDType with None: what slices and groups are made of."""
    higher_is_better: bool = True
    """The direction of the metric."""
    notes: tuple[str, ...] = ()
    """What a reader of the verdict should know."""
