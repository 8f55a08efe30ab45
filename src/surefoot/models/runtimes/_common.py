"""What runtimes share: reading a sealed model, and which output of a graph holds the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.errors import ModelError
from surefoot.core.model import Model

Run = Callable[[dict[str, np.ndarray]], np.ndarray]
_FLOATS = ("float16", "float32", "float64", "tensor(float16)", "tensor(float)", "tensor(double)")


def load(model: Model) -> Any:
    """The weights of a sealed model, as its format reads them.

    Raises:
        ModelError: The file is broken, or holds what its user did not trust.
    """
    module, path = plugins.module("format", model.format), model.path / model.file
    if model.format == "skops":
        # Whoever has a `Model` sealed it, or read it with its user's word: its note counts.
        return module.skops(path, trusted=module.noted(model.path))
    return plugins.find("format", model.format)(path)


def class_output(outputs: Sequence[tuple[str, str, int | None]], where: str) -> int:
    """The position of the output with a column per class.

    Args:
        outputs: Name, element type and rank (None where the file does not tell) of each output.
        where: The model file, for the message.

    Raises:
        ModelError: No output is a matrix of floats.
    """
    fits = [i for i, (_, kind, rank) in enumerate(outputs) if kind in _FLOATS and rank in (2, None)]
    named = [i for i in fits if outputs[i][0] in ("logits", "probabilities")]
    if not fits:
        found = ", ".join(f"'{name}' is {kind} of rank {rank}" for name, kind, rank in outputs)
        raise ModelError(
            f"no output is a matrix of class scores: {found}",
            where=where,
            fix="export one float output of shape (rows, classes); in skl2onnx set zipmap=False",
        )
    return (named or fits)[0]


def first_line(error: Exception) -> str:
    """The first line of a library's message, cut to a readable length."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:300]
