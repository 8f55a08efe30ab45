"""Looks into safetensors files without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError


def check_safetensors(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, after making sure that the file is whole.

    Returns:
        Tensor name to `dtype`, `shape` and `data_offsets`.

    Raises:
        ModelError: The file is shorter or longer than its header says, or is something else.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > 100_000_000:
            raise ModelError(f"not a safetensors file ({size} bytes)", where=str(path))
        text = stream.read(length)
    if len(text) < length:
        _raise_size(path, 8 + length, size)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        expected = 8 + length + max((t["data_offsets"][1] for t in header.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelError(
            "not a safetensors file: its header cannot be read", where=str(path)
        ) from error
    if expected != size:
        _raise_size(path, expected, size)
    return dict(header)


def _raise_size(path: Path, expected: int, size: int) -> None:
    raise ModelError(
        f"is not whole: {expected} bytes expected, {size} found",
        where=str(path),
        fix="copy or download it again",
    )
