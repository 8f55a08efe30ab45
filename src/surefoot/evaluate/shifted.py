"""Test sets under data shifts: the same rows and labels, with changed inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import ConfirmationSet, Dataset
from surefoot.core.errors import PluginError
from surefoot.core.evidence import place
from surefoot.core.hashing import hash_json
from surefoot.core.model import StepCall
from surefoot.data import fingerprint
from surefoot.evaluate.resample import chooses_rows, resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifted:
    """A data set under a shift; its inputs are made where they are asked for, and not kept.

    A plan may name dozens of shifts of large sets: what names such a set is the set that it is made
    from and the shift, so that nothing has to be made to know that it was measured already.
    """

    rows: ConfirmationSet
    """The data set as it came."""
    call: StepCall
    """The shift."""
    shift: str
    """Its name."""
    severity: float
    """How far the inputs are changed."""
    fingerprint: str
    """A hash of what the inputs are made from."""
    name: str = field(init=False)
    """As in `rows`; so are the ids, labels, classes, slices and groups."""
    ids: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    classes: tuple[str, ...] = field(init=False)
    slices: Mapping[str, np.ndarray] = field(init=False)
    groups: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        """Take over what a shift leaves alone."""
        for key in ("name", "ids", "labels", "classes", "slices", "groups"):
            object.__setattr__(self, key, getattr(self.rows, key))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """As of the rows that it is made from."""
        return self.rows.nbytes

    @property
    def inputs(self) -> np.ndarray:
        """The shifted inputs, made anew at each call."""
        return shifted(self.rows, self.call).inputs


def under_shifts(
    sets: Mapping[str, ConfirmationSet], shifts: Sequence[StepCall]
) -> dict[str, ConfirmationSet | Shifted]:
    """The sets as they came, and each of them under each shift.

    Args:
        sets: Test sets by name.
        shifts: Plugins of `evaluate/shifts/` with their options.

    Returns:
        The sets by what they are called, for example `tweets` and `tweets + typos 3`. The same rows
        are changed in the same way in every run.

    Raises:
        DataError: A shift that chooses rows leaves none of a slice.
    """
    found: dict[str, ConfirmationSet | Shifted] = dict(sets)
    for name, dataset in sets.items():
        for call in shifts:
            options = _options(call)
            severity = float(options["severity"])
            rows = dataset.fingerprint or fingerprint(dataset)
            key = hash_json([rows, name, call.use, options, plugins.version("shift", call.use)])
            where = place(name, call.use, severity, None)
            if chooses_rows(call):
                chosen = replace(shifted(dataset, call), fingerprint=key)
                found[where] = ConfirmationSet(chosen)
            else:
                found[where] = Shifted(
                    rows=dataset, call=call, shift=call.use, severity=severity, fingerprint=key
                )
    return found


def shifted(dataset: Dataset, call: StepCall) -> Dataset:
    """One data set under one shift; severity 1 where the call does not say.

    Raises:
        PluginError: The shift breaks its contract.
    """
    options = _options(call)
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
    severity = float(options["severity"])
    return replace(dataset, inputs=inputs, shift=call.use, severity=severity, fingerprint="")


def _options(call: StepCall) -> dict[str, Any]:
    return {"severity": 1.0, **dict(call.options)}
