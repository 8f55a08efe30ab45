"""TorchScript files; adopted only with `trust = true`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".pt", ".pth", ".torchscript")
RUNS_CODE = "may be TorchScript or a pickle, which run code when loaded"


def torchscript(path: Path) -> Any:
    """Read a TorchScript module, which may run the code it holds.

    Raises:
        ModelError: The file is broken, or is a plain `torch.save` of weights.
    """
    library = require("torch", extra="compress", error=ModelError)
    try:
        with warnings.catch_warnings():
            # torch deprecates TorchScript as a whole; whoever has such a file knows what it is.
            warnings.simplefilter("ignore", DeprecationWarning)
            return library.jit.load(path, map_location="cpu").eval()
    except (RuntimeError, OSError, ValueError) as error:
        line = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"not a readable TorchScript file: {line}",
            where=str(path),
            fix="save the model with torch.export.save as .pt2",
        ) from error


def save(module: Any, path: Path) -> None:
    """Write a TorchScript module."""
    require("torch", extra="compress", error=ModelError).jit.save(module, path)
