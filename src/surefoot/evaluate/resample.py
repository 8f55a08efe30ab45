"""Test sets in which other rows are common: shifts that choose rows and change no input."""

from __future__ import annotations

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import Dataset
from surefoot.core.errors import DataError, PluginError
from surefoot.core.model import StepCall


def chooses_rows(call: StepCall) -> bool:
    """Whether a shift gives positions of rows instead of changed inputs: its file says so."""
    return getattr(plugins.module("shift", call.use), "GIVES", "inputs") == "rows"


def resampled(dataset: Dataset, positions: np.ndarray, call: StepCall) -> Dataset:
    """The rows that a shift chose; ids stay unique, so that candidates still pair by id.

    Args:
        dataset: The rows as they came.
        positions: What the shift gave.
        call: The shift.

    Returns:
        The chosen rows, without a fingerprint.

    Raises:
        PluginError: The positions are not rising ones of rows.
        DataError: A slice has no row left.
    """
    n = len(dataset)
    sound = positions.ndim == 1 and positions.dtype.kind == "i" and (len(positions) > 0 or not n)
    if not sound or (len(positions) and (positions[0] < 0 or positions[-1] >= n)):
        raise PluginError(f"shift '{call.use}' gave no positions of the {n} rows")
    if (np.diff(positions) <= 0).any():
        raise PluginError(f"shift '{call.use}' gave positions that do not rise")
    found = dataset.rows(positions)
    for name, mask in found.slices.items():
        if dataset.slices[name].any() and not mask.any():
            raise DataError(
                f"slice '{name}' of '{dataset.name}' has no row left of"
                f" {int(dataset.slices[name].sum())} under shift '{call.use}'",
                where="evaluate.shifts",
                fix="lower its severity, or leave the shift or the slice out",
            )
    return found
