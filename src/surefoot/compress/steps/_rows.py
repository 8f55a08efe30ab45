"""What the steps share: real rows to learn from, in batches; and quiet libraries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.core.seen import saw
from surefoot.models.preprocess import Preprocessor

# Rows that are tokenised at once; a data set of millions never lies in memory as tokens.
_WINDOW = 8192


def training_rows(task: Task, model: Model, step: str, rows: int = 0) -> Dataset:
    """The training data of a task, or `rows` of them spread evenly over it, counted as seen once.

    Raises:
        ModelError: The task has no training data, or other classes than the model.
    """
    if task.train is None or not len(task.train):
        raise ModelError(
            f"step '{step}' learns from training rows and there are none",
            fix="name a data source as train under [task]",
        )
    if task.classes != model.signature.classes or task.train.classes != task.classes:
        raise ModelError(
            f"step '{step}' needs training labels of the model's own classes"
            f" ({', '.join(model.signature.classes[:5])}), not {', '.join(task.train.classes[:5])}",
            where=model.name,
        )
    if rows < 0:
        raise ModelError(f"step '{step}': rows is {rows}", fix="0 takes all rows")
    saw(rows if 0 < rows < len(task.train) else len(task.train))
    if not 0 < rows < len(task.train):
        return task.train
    return task.train.spread(rows)


def one_hot(data: Dataset) -> np.ndarray:
    """(n, classes) float32: 1 in the column of each row's label."""
    columns: np.ndarray = np.eye(len(data.classes), dtype=np.float32)[data.labels]
    return columns


def batches(
    model: Model, inputs: np.ndarray, *, size: int = 32
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Positions and input tensors of batches of rows of similar length."""
    preprocessor = Preprocessor(model)
    for start in range(0, len(inputs), _WINDOW):
        rows = preprocessor.rows(inputs[start : start + _WINDOW])
        order = preprocessor.order(rows)
        for first in range(0, len(order), size):
            positions = order[first : first + size]
            yield start + positions, preprocessor.tensors(rows, positions)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and log lines of exporters and quantisers from whoever uses surefoot.

    They speak of the libraries' own internals; what matters is checked on the result.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
