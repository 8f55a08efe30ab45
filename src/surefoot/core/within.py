"""Paths that names of others lead to."""

from __future__ import annotations

from pathlib import Path

from surefoot.core.errors import BundleError


def within(folder: Path, *names: str) -> Path:
    """A path below a folder, wherever links lead.

    Args:
        folder: The folder.
        names: What to go down to, each a name or a path that others chose.

    Raises:
        BundleError: It lies outside of the folder.
    """
    path = folder.joinpath(*names)
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        path.exists()  # raises for what no file can be called
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a ring of links, a long name
        raise BundleError(f"names no file: {error}", where=str(folder)) from error
    if not inside:
        raise BundleError(
            f"'{'/'.join(names)}' lies outside of the bundle",
            where=str(folder),
            fix="take the bundle from its origin again",
        )
    return path
