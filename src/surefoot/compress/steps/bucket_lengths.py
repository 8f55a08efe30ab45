"""Pads the texts of a call to one of a few lengths, so that a runtime meets few shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from surefoot.compress.steps._copies import copy_weights, seal_copy
from surefoot.compress.steps._rows import training_rows
from surefoot.core.dataset import Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.preprocess import token_lengths

NEEDS = ("huggingface", "pt2", "torchscript", "onnx")
GIVES = None
MOST = 64
"""The most lengths; with more, hardly any two calls share a shape."""
ROWS = 10_000
"""Training rows whose lengths are looked at, spread evenly."""


def bucket_lengths(model: Model, task: Task, folder: Path, *, buckets: int = 4) -> Model:
    """Pads the texts of a call to one of a few lengths, so that a runtime meets few shapes.

    Helps a runtime that prepares itself anew for every shape, and costs the padding everywhere
    else: measure. The lengths are quantiles of those of the training rows; a longer row is left
    as long as it is.

    Args:
        model: A model that takes tokens and a mask over them.
        task: Gives the training rows.
        folder: Where the new model goes.
        buckets: How many lengths.

    Raises:
        ModelError: No training rows, a number of buckets that makes no sense, or a model that
            cannot tell padding from text.
    """
    if not 1 <= buckets <= MOST:
        raise ModelError(
            f"step 'bucket_lengths': buckets is {buckets}", fix=f"give 1 to {MOST}, for example 4"
        )
    if "attention_mask" not in model.signature.tensors:
        raise ModelError(
            "step 'bucket_lengths': takes no attention_mask, and so cannot tell padding from text",
            where=model.name,
            fix="leave bucket_lengths out of the recipe",
        )
    data = training_rows(task, model, "bucket_lengths", min(ROWS, len(task.train or ())))
    lengths = token_lengths(model, data.inputs)
    shares = np.arange(1, buckets + 1) / buckets
    chosen = np.unique(np.quantile(lengths, shares, method="higher"))
    copy_weights(model, folder)
    signature = replace(model.signature, lengths=tuple(chosen.tolist()))
    return seal_copy(model, folder, "bucket_lengths", signature)
