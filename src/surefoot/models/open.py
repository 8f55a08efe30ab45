"""Runs a model: raw inputs in, probabilities out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.errors import ModelError, nearest
from surefoot.core.model import Model
from surefoot.core.progress import Progress, Silent
from surefoot.models.golden import ROWS, check_golden, write_golden
from surefoot.models.preprocess import Preprocessor
from surefoot.models.runtimes._common import Run

# Rows that are tokenised and ordered together: enough that batches need hardly any padding, few
# enough that a data set of millions never lies in memory as tokens.
WINDOW = 8192
_SILENT = Silent()


class Predictor:
    """A model that is open in a runtime.

    Args:
        model: The model.
        run: The runtime's function from tensors to raw outputs.
    """

    def __init__(self, model: Model, run: Run) -> None:
        self.model = model
        self._run = run
        self._preprocessor = Preprocessor(model)
        self._classes = len(model.signature.classes)

    def __call__(
        self, inputs: np.ndarray, *, batch: int = 32, progress: Progress = _SILENT
    ) -> np.ndarray:
        """Probabilities of many rows, run in batches of rows of similar length.

        Args:
            inputs: (n, ...) raw inputs, as in `Dataset.inputs`.
            batch: Rows per call.
            progress: Told of every batch; whoever calls says when the work starts.

        Returns:
            (n, classes) float32, row i for input i.

        Raises:
            ModelError: The model fails, or its output is not finite.
        """
        result = np.empty((len(inputs), self._classes), np.float32)
        for rows, start, positions in self._calls(inputs, batch):
            result[start + positions] = self._outputs(rows, positions)
            progress.advance(len(positions))
        return self._probabilities(result)

    def batches(self, inputs: np.ndarray, *, batch: int = 32) -> Iterator[np.ndarray]:
        """The positions of the rows of each call, as a call with these inputs groups them.

        Args:
            inputs: (n, ...) raw inputs.
            batch: Rows per call.
        """
        for _, start, positions in self._calls(inputs, batch):
            yield start + positions

    def _calls(self, inputs: np.ndarray, batch: int) -> Iterator[tuple[Any, int, np.ndarray]]:
        """Prepared rows of each window, where it starts, and the positions of each call in it."""
        for start in range(0, len(inputs), WINDOW):
            rows = self._preprocessor.rows(inputs[start : start + WINDOW])
            order = self._preprocessor.order(rows)
            for first in range(0, len(order), batch):
                yield rows, start, order[first : first + batch]

    def run_batch(self, inputs: np.ndarray, *, finite: bool = True) -> np.ndarray:
        """(n, classes) float32 probabilities of one batch by exactly one call of the runtime.

        Args:
            inputs: (n, ...) raw inputs.
            finite: Whether a row that is not finite is an error; else it comes back as NaN.

        Raises:
            ModelError: The model fails, or its output is not finite and should be.
        """
        if not len(inputs):
            return np.empty((0, self._classes), np.float32)
        return self._probabilities(self.raw_batch(inputs), finite=finite)

    def raw_batch(self, inputs: np.ndarray) -> np.ndarray:
        """(n, classes) outputs of one batch, logits or probabilities as the model gives them."""
        return self._outputs(self._preprocessor.rows(inputs), np.arange(len(inputs)))

    def _outputs(self, rows: object, positions: np.ndarray) -> np.ndarray:
        raw = self._run(self._preprocessor.tensors(rows, positions))
        if raw.shape != (len(positions), self._classes):
            raise ModelError(
                f"gives {_columns(raw)} for {len(positions)} rows of {self._classes} classes",
                where=str(self.model.path / self.model.file),
                fix="list the model's classes under [model] in the order of its outputs",
            )
        return raw

    def _probabilities(self, raw: np.ndarray, *, finite: bool = True) -> np.ndarray:
        bad = ~np.isfinite(raw).all(axis=1)
        if bad.any() and not finite:
            raw = np.where(bad[:, None], np.nan, raw)
        elif bad.any():
            raise ModelError(
                f"gives {bad.sum()} rows that are not finite, the first is row {bad.argmax()}",
                where=str(self.model.path / self.model.file),
            )
        if self.model.signature.output == "probabilities":
            return raw.astype(np.float32, copy=False)
        scores: np.ndarray = np.exp(raw - raw.max(axis=1, keepdims=True), dtype=np.float32)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores


@contextmanager
def open_model(
    model: Model, *, runtime: str | None = None, threads: int = 1, golden: bool = True
) -> Iterator[Predictor]:
    """Open a model in a runtime and hold it against its golden vectors.

    Args:
        model: The model.
        runtime: A plugin of `models/runtimes/`; None takes `own_runtime`.
        threads: Threads that the runtime may use; a model's own setting wins.
        golden: Whether it must give its golden answers; not where they are what is asked about.

    Raises:
        ModelError: It cannot be opened there, or does not give what it once gave.
    """
    with _opened(model, runtime, threads) as predictor:
        if golden:
            check_golden(model, predictor.run_batch)
        yield predictor


def add_golden(model: Model, runtime: str | None, inputs: np.ndarray) -> None:
    """Store the first rows of `inputs`, at most 8, with their probabilities as golden vectors."""
    with _opened(model, runtime, 1) as predictor:
        write_golden(model, inputs[:ROWS], predictor.run_batch(inputs[:ROWS]))


def default_runtime(format: str) -> str:
    """The runtime that a format is run in when nobody asks for another.

    Raises:
        ModelError: No runtime reads the format.
    """
    able = runtimes_for(format)
    if not able:
        known = {f for name in plugins.names("runtime") for f in _formats(name)}
        raise ModelError(f"no runtime reads the format '{format}'", fix=nearest(format, known))
    return able[0]


def own_runtime(model: Model) -> str:
    """The runtime that a model is run in when nobody asks for another: its own setting first.

    Raises:
        ModelError: No runtime reads its format.
    """
    return model.settings.runtime or default_runtime(model.format)


def own_threads(model: Model, threads: int) -> int:
    """How many threads a model is run on, where `threads` are given to those without a setting."""
    return model.settings.threads or threads


def runtimes_for(format: str) -> tuple[str, ...]:
    """The names of the runtimes that read a format, the preferred one first."""
    return tuple(name for name in plugins.names("runtime") if format in _formats(name))


@contextmanager
def _opened(model: Model, runtime: str | None, threads: int) -> Iterator[Predictor]:
    name = runtime or own_runtime(model)
    if model.format not in _formats(name):
        raise ModelError(
            f"runtime '{name}' does not read the format '{model.format}' of '{model.name}'",
            fix=f"runtimes that do: {', '.join(runtimes_for(model.format)) or 'none'}",
        )
    with plugins.find("runtime", name)(model, threads=own_threads(model, threads)) as run:
        yield Predictor(model, run)


def _formats(runtime: str) -> tuple[str, ...]:
    formats: tuple[str, ...] = plugins.module("runtime", runtime).FORMATS
    return formats


def _columns(raw: np.ndarray) -> str:
    if raw.ndim == 2:
        return f"{raw.shape[0]} rows of {raw.shape[1]} outputs"
    return f"outputs of shape {raw.shape}"
