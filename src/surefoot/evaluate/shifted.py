"""Test sets under data shifts: the same rows and labels, with changed inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import ConfirmationSet, Dataset
from surefoot.core.errors import PluginError
from surefoot.core.model import StepCall
from surefoot.data import fingerprint
from surefoot.evaluate.resample import chooses_rows, resampled


def under_shifts(
    sets: Mapping[str, ConfirmationSet], shifts: Sequence[StepCall]
) -> dict[str, ConfirmationSet]:
    """The sets as they came, and each of them under each shift.

    Args:
        sets: Test sets by name.
        shifts: Plugins of `evaluate/shifts/` with their options.

    Returns:
        The sets by what they are called, for example `tweets` and `tweets + typos 3`. The same rows
        are changed in the same way in every run.

    Raises:
        PluginError: A shift breaks its contract.
    """
    found = dict(sets)
    for name, dataset in sets.items():
        for call in shifts:
            one = shifted(dataset, call)
            found[f"{name} + {one.shift} {one.severity:g}"] = ConfirmationSet(one)
    return found


def shifted(dataset: Dataset, call: StepCall) -> Dataset:
    """One data set under one shift; severity 1 where the call does not say."""
    options = dict(call.options)
    severity = float(options.setdefault("severity", 1.0))
    seed = hashlib.sha256(f"{dataset.name} {call.use}".encode()).digest()
    rng = np.random.default_rng(list(seed))
    inputs = plugins.find("shift", call.use)(dataset.inputs, rng, **options)
    if chooses_rows(call):
        dataset = resampled(dataset, inputs, call)
        inputs = dataset.inputs
    if inputs.shape != dataset.inputs.shape or inputs.dtype != dataset.inputs.dtype:
        raise PluginError(
            f"shift '{call.use}' made {inputs.dtype} {inputs.shape} of {dataset.inputs.dtype}"
            f" {dataset.inputs.shape}"
        )
    changed = replace(dataset, inputs=inputs, shift=call.use, severity=severity, fingerprint="")
    return replace(changed, fingerprint=fingerprint(changed))
