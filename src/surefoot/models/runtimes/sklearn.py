"""scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.models.runtimes._common import Run, first_line, load

FORMATS = ("skops", "pickle")
LIBRARY = ("sklearn", "tabular")
"""What it needs, and the extra that brings it."""


@contextmanager
def sklearn(model: Model, *, threads: int = 1) -> Iterator[Run]:
    """Run scikit-learn classifiers and pipelines on numbers or raw texts.

    Args:
        model: A model of a format in `FORMATS`.
        threads: Threads for linear algebra inside the model.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    require("sklearn", extra="tabular", error=ModelError)
    threadpoolctl = require("threadpoolctl", extra="tabular", error=ModelError)
    where = str(model.path / model.file)
    estimator = load(model)
    score = getattr(estimator, "predict_proba", None) or getattr(
        estimator, "decision_function", None
    )
    if score is None:
        raise ModelError("has neither predict_proba nor decision_function", where=where)

    def run(tensors: dict[str, np.ndarray]) -> np.ndarray:
        (inputs,) = tensors.values()
        try:
            scores = np.asarray(score(inputs.tolist() if inputs.dtype.kind in "TUO" else inputs))
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise ModelError(f"fails on its inputs: {first_line(error)}", where=where) from error
        # Of two classes a decision function scores only the second.
        return np.column_stack([np.zeros_like(scores), scores]) if scores.ndim == 1 else scores

    with threadpoolctl.threadpool_limits(threads):
        yield run
