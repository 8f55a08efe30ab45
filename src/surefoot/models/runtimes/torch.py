"""PyTorch on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.models.runtimes._common import Run, first_line, load

FORMATS = ("huggingface", "pt2", "torchscript")
LIBRARY = ("torch", "compress")
"""What it needs, and the extra that brings it."""
# A program asserts what it guards; one that gives no tensor has no `numpy`.
_ERRORS = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError)


@contextmanager
def torch(model: Model, *, threads: int = 1) -> Iterator[Run]:
    """Run Hugging Face folders, exported programs and TorchScript with PyTorch.

    Args:
        model: A model of a format in `FORMATS`.
        threads: Threads inside an operator; set for the whole process while the model is open.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    library = require("torch", extra="compress", error=ModelError)
    call = _callable(model)
    names = model.signature.tensors

    def run(tensors: dict[str, np.ndarray]) -> np.ndarray:
        arguments = {name: library.from_numpy(tensors[name]) for name in names}
        try:
            with library.inference_mode():
                result: np.ndarray = call(arguments).numpy()
        except _ERRORS as error:
            where = str(model.path / model.file)
            raise ModelError(f"fails on its inputs: {first_line(error)}", where=where) from error
        return result

    before = library.get_num_threads()
    library.set_num_threads(threads)
    try:
        yield run
    finally:
        library.set_num_threads(before)


def _callable(model: Model) -> Callable[[dict[str, Any]], Any]:
    """The model as a function of named tensors, in the order of the model file."""
    loaded = load(model)
    if model.format == "huggingface":
        return lambda tensors: loaded(**tensors)
    if model.format == "torchscript":
        return lambda tensors: loaded(*tensors.values())
    try:
        module = loaded.module()
        # An exported program takes its inputs only the way it was given them when it was exported.
        by_name = loaded.call_spec.in_spec.children()[1].num_leaves > 0
    except (*_ERRORS, SyntaxError) as error:
        where = str(model.path / model.file)
        raise ModelError(f"torch cannot open it: {first_line(error)}", where=where) from error
    return lambda tensors: module(**tensors) if by_name else module(*tensors.values())
