"""Golden vectors: a few inputs with their probabilities, checked whenever a model is opened."""

from __future__ import annotations

import io
from collections.abc import Callable
from zipfile import BadZipFile

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models.store import GOLDEN
from surefoot.store import whole_file

ROWS = 8
# Integer kernels differ by instruction set and runtimes round differently: neither moves a
# probability by more than a few hundredths. A wrong tokenizer, scale or channel order does.
TOLERANCE = 0.05
MARGIN = 0.02


def write_golden(model: Model, inputs: np.ndarray, probabilities: np.ndarray) -> None:
    """Store raw inputs and their probabilities beside the weights."""
    # A file must not need pickle to be read, which a StringDType array would.
    plain = np.array(inputs.tolist(), np.str_) if inputs.dtype.kind == "T" else inputs
    buffer = io.BytesIO()
    np.savez(buffer, inputs=plain, probabilities=probabilities)
    with whole_file(model.path / GOLDEN) as part:
        part.write_bytes(buffer.getvalue())


def check_golden(model: Model, predict: Callable[[np.ndarray], np.ndarray]) -> None:
    """Make sure that a model still gives its golden probabilities; nothing to do where it has none.

    Raises:
        ModelError: A row whose probability moved, or whose answer changed by more than a hair.
    """
    golden, path = read_golden(model), model.path / GOLDEN
    if golden is None:
        return
    inputs, expected = golden
    found = predict(inputs)
    if found.shape != expected.shape:
        raise ModelError(
            f"the model gives {found.shape} outputs, once {expected.shape}", where=str(path)
        )
    difference = np.abs(found - expected).max(axis=1, initial=0)
    wrong = np.flatnonzero(golden_broken(found, expected))
    if len(wrong):
        raise ModelError(
            f"golden row {wrong[0]} differs by {difference[wrong[0]]:.3g} in probability",
            where=str(path),
            fix="weights, tokenizer or runtime are not those the model was made with",
        )


def read_golden(model: Model) -> tuple[np.ndarray, np.ndarray] | None:
    """The golden inputs of a model and their probabilities; None where it has none.

    Raises:
        ModelError: The file cannot be read.
    """
    path = model.path / GOLDEN
    if not path.exists():
        return None
    try:
        # Through a buffer: numpy leaves the file open when it is no archive.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            return stored["inputs"], stored["probabilities"]
    except (BadZipFile, OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(
            f"cannot be read: {error}", where=str(path), fix="make the model again"
        ) from error


def golden_broken(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(n,) bool: the rows whose probability moved, or whose answer changed by more than a hair."""
    difference = np.abs(found - expected).max(axis=1, initial=0)
    moved = ~(difference <= TOLERANCE)  # NaN too
    return np.asarray(moved | _flipped(found, expected))


def _flipped(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    best = expected.argmax(axis=1)
    lead = (
        expected.max(axis=1) - np.take_along_axis(expected, found.argmax(axis=1)[:, None], 1)[:, 0]
    )
    flipped: np.ndarray = (found.argmax(axis=1) != best) & (lead > MARGIN)
    return flipped
