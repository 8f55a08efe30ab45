"""What quantisers share: rows to find ranges on, a note of which, and a look at the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._rows import batches, training_rows
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.runtimes.onnxruntime import onnxruntime

FILE = "calibration.json"
SIZE = 8
"""Rows a call: enough to be quick, and few, since all activations of a call lie in memory."""


def calibration_rows(task: Task, model: Model, step: str, rows: int) -> Dataset:
    """Training rows to find the ranges of activations on, spread evenly over them.

    Raises:
        ModelError: There are none, or fewer than one is asked for.
    """
    if rows < 1:
        raise ModelError(f"step '{step}': rows is {rows}", fix="give 1 or more, for example 256")
    return training_rows(task, model, step, rows)


def calibration_feeds(model: Model, data: Dataset) -> list[dict[str, np.ndarray]]:
    """The input tensors of every call on the calibration rows."""
    return [tensors for _, tensors in batches(model, data.inputs, size=SIZE)]


def note_rows(folder: Path, data: Dataset, settings: Mapping[str, Any]) -> None:
    """Leave beside the weights which rows the ranges were found on, and how."""
    noted = {"dataset": data.name, "rows": len(data), **settings, "ids": data.ids.tolist()}
    (folder / FILE).write_text(json.dumps(noted, indent=1) + "\n")


def check_alive(made: Model, source: Model, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Make sure that a quantised model still says something, and not the same to every row.

    Args:
        made: The quantised model.
        source: What it was made from.
        feeds: Input tensors of a few calls.

    Raises:
        ModelError: An output is not finite, or all rows get the same where they did not.
    """
    outputs = []
    for model in (made, source):
        with onnxruntime(model) as run:
            outputs.append(np.concatenate([run(dict(tensors)) for tensors in feeds]))
    found, wanted = outputs
    where = str(made.path / made.file)
    fix = "quantise fewer layers, or with other options"
    if not np.isfinite(found).all():
        count = int((~np.isfinite(found).all(axis=1)).sum())
        raise ModelError(f"gives {count} rows that are not finite", where=where, fix=fix)
    if np.ptp(found, axis=0).max() == 0 and np.ptp(wanted, axis=0).max() > 0:
        raise ModelError(f"gives the same for all of {len(found)} rows", where=where, fix=fix)
