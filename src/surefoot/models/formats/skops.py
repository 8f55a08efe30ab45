"""scikit-learn models saved by skops, which runs no code on loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".skops",)


def skops(path: Path) -> Any:
    """Read a scikit-learn estimator; types that skops does not know to be safe are refused.

    Raises:
        ModelError: The file is broken, or holds other types.
    """
    library = require("skops.io", extra="tabular", error=ModelError)
    try:
        unknown = library.get_untrusted_types(file=path)
        if not unknown:
            return library.load(path)
    except (BadZipFile, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"not a readable skops file: {error}", where=str(path)) from error
    raise ModelError(
        f"holds types that skops does not know to be safe: {', '.join(unknown)}",
        where=str(path),
        fix="export the model to ONNX, or save it with joblib and set trust = true under [model]",
    )


def save(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator."""
    require("skops.io", extra="tabular", error=ModelError).dump(estimator, path)
