"""scikit-learn models saved by skops, which names the types a file holds before it makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".skops",)
TRUSTED = "trusted.json"
"""Lies beside a model that its user trusts: the types that may be made all the same."""


def skops(path: Path) -> Any:
    """Read a scikit-learn estimator; types that neither skops nor the user trusts are refused.

    Raises:
        ModelError: The file is broken, or holds other types.
    """
    library = require("skops.io", extra="tabular", error=ModelError)
    try:
        trusted = _trusted(path)
        unknown = [name for name in library.get_untrusted_types(file=path) if name not in trusted]
        if not unknown:
            return library.load(path, trusted=trusted)
    except (BadZipFile, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"not a readable skops file: {error}", where=str(path)) from error
    raise ModelError(
        f"holds types that skops does not know to be safe: {', '.join(unknown)}",
        where=str(path),
        fix="set trust = true under [model] if you trust its origin",
    )


def trust(path: Path, folder: Path) -> None:
    """Note in a folder that all types of a skops file are trusted."""
    library = require("skops.io", extra="tabular", error=ModelError)
    (folder / TRUSTED).write_text(json.dumps(library.get_untrusted_types(file=path)))


def _trusted(path: Path) -> list[str]:
    noted = path.with_name(TRUSTED)
    return list(json.loads(noted.read_text())) if noted.exists() else []


def save(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator."""
    require("skops.io", extra="tabular", error=ModelError).dump(estimator, path)
