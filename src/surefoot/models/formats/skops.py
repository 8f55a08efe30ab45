"""scikit-learn models saved by skops, which names the types a file holds before it makes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".skops",)
TRUSTED = "trusted.json"
"""Lies beside a model that its user trusts: the types that may be made all the same."""
_BROKEN = (
    BadZipFile,
    zlib.error,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
)


def skops(path: Path, *, trusted: Sequence[str] = ()) -> Any:
    """Read a scikit-learn estimator; types that neither skops nor the user trusts are refused.

    Args:
        path: The file; nothing that lies beside it is read.
        trusted: Further types that may be made, as a sealed model notes them: see `noted`.

    Raises:
        ModelError: The file is broken, or holds other types.
    """
    library = require("skops.io", extra="tabular", error=ModelError)
    unknown = [name for name in untrusted_types(path) if name not in trusted]
    if unknown:
        raise ModelError(
            f"holds types that skops does not know to be safe: {', '.join(unknown)}",
            where=str(path),
            fix="set trust = true under [model] if you trust its origin",
        )
    try:
        return library.load(path, trusted=list(trusted))
    except _BROKEN as error:
        raise ModelError(f"not a readable skops file: {error}", where=str(path)) from error


def trust(path: Path, folder: Path) -> None:
    """Note in a folder that all types of a skops file are trusted."""
    (folder / TRUSTED).write_text(json.dumps(untrusted_types(path)))


def noted(folder: Path) -> tuple[str, ...]:
    """The types that the user of a sealed model trusts; never ask for a folder of somebody else's.

    Raises:
        ModelError: The note cannot be read.
    """
    file = folder / TRUSTED
    try:
        return tuple(map(str, json.loads(file.read_text()))) if file.exists() else ()
    except (ValueError, TypeError) as error:
        raise ModelError("is no list of types", where=str(file)) from error


def untrusted_types(path: Path) -> list[str]:
    """The types in a skops file that skops does not know to be safe.

    Raises:
        ModelError: The file is broken.
    """
    library = require("skops.io", extra="tabular", error=ModelError)
    try:
        return list(library.get_untrusted_types(file=path))
    except _BROKEN as error:
        raise ModelError(f"not a readable skops file: {error}", where=str(path)) from error


def save(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator."""
    require("skops.io", extra="tabular", error=ModelError).dump(estimator, path)
