"""Programs written by `torch.export.save`."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.models.formats._programs import unsafe_text

SUFFIXES = (".pt2",)
# Archive members that torch would run or unpickle on loading.
_CODE = ("/aotinductor/", "/custom_obj", "/opaque_obj")
# What torch and the libraries below it raise on files that it did not write.
_BROKEN = (
    BadZipFile,
    zlib.error,
    RuntimeError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
)


def pt2(path: Path) -> Any:
    """Read an exported program; one that holds code or pickled objects is refused.

    Returns:
        A `torch.export.ExportedProgram`.

    Raises:
        ModelError: The file is broken, or loading it would run code.
    """
    library = require("torch", extra="compress", error=ModelError)
    try:
        with ZipFile(path) as archive:
            _refuse_code(archive, path)
        with _only_tensors():
            return library.export.load(path)
    except UnpicklingError as error:
        raise ModelError("holds pickled objects other than tensors", where=str(path)) from error
    except _BROKEN as error:
        line = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"not a readable exported program: {line}", where=str(path)) from error


def _refuse_code(archive: ZipFile, path: Path) -> None:
    fix = "export the model again with torch.export.save, without them"
    for name in archive.namelist():
        if any(part in f"/{name.casefold()}" for part in _CODE):
            found = f"holds code or pickled objects, the first is '{name}'"
            raise ModelError(found, where=str(path), fix=fix)
    text = unsafe_text(archive)
    if text is not None:
        found = f"holds text that torch would run and did not write: {text}"
        raise ModelError(found, where=str(path), fix="export the model again as ONNX")


def save(program: Any, path: Path) -> None:
    """Write a `torch.export.ExportedProgram`."""
    require("torch", extra="compress", error=ModelError).export.save(program, path)


@contextmanager
def _only_tensors() -> Iterator[None]:
    """Make every `torch.load` inside refuse pickles that hold more than tensors.

    `torch.export.load` asks for `weights_only=False` in places; this variable overrules it.
    """
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before
