"""ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".onnx",)
_PROTOBUF_LIMIT = 2**31 - 1


def onnx(path: Path) -> Any:
    """Read an ONNX file.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ModelError: The file is not whole.
    """
    library = require("onnx", extra="compress", error=ModelError)
    protobuf = require("google.protobuf.message", extra="compress", error=ModelError)
    try:
        return library.load(path)
    except (protobuf.DecodeError, OSError, ValueError) as error:
        raise ModelError(f"not a readable ONNX file: {error}", where=str(path)) from error


def save(model: Any, path: Path) -> None:
    """Write an `onnx.ModelProto`; weights that protobuf cannot hold go to a file beside it."""
    library = require("onnx", extra="compress", error=ModelError)
    outside = model.ByteSize() > _PROTOBUF_LIMIT
    library.save(model, path, save_as_external_data=outside, location=f"{path.name}.data")
