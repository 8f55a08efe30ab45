"""scikit-learn models saved by pickle or joblib; adopted only with `trust = true`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

SUFFIXES = (".pkl", ".pickle", ".joblib")
RUNS_CODE = "is a pickle, which runs code when loaded"


def pickle(path: Path) -> Any:
    """Read a scikit-learn estimator from a pickle, which runs whatever code the pickle holds.

    Raises:
        ModelError: The file is broken.
    """
    from pickle import UnpicklingError

    library = require("joblib", extra="tabular", error=ModelError)
    broken = (
        UnpicklingError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        ImportError,
    )
    try:
        return library.load(path)
    except broken as error:
        raise ModelError(f"not a readable pickle: {error}", where=str(path)) from error


def save(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator as a pickle."""
    require("joblib", extra="tabular", error=ModelError).dump(estimator, path)
