"""Libraries that not every install has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from surefoot.core.errors import SurefootError


def require(library: str, *, extra: str, error: type[SurefootError]) -> Any:
    """Import a library of one of the extras, or say how to install it.

    Args:
        library: The module to import, for example `torch`.
        extra: The extra of surefoot that brings it, for example `compress`.
        error: The error to raise.

    Raises:
        SurefootError: Of the class `error`: the library is missing or broken.
    """
    name = library.partition(".")[0]
    try:
        return import_module(library)
    except ImportError as problem:
        missing = isinstance(problem, ModuleNotFoundError) and problem.name == name
        what = "is not installed" if missing else f"cannot be imported: {problem}"
        raise error(f"{name} {what}", fix=f"pip install 'surefoot[{extra}]'") from problem
