"""What is known of a bundle that was prepared: little, so that each process may load it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.core.serving import Cascade

SERVED = "served.msgpack"
"""The file in the copy that holds what its calibration rows show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the supervisor has to know of a bundle."""

    lean: str
    """The lean model's name."""
    routes: tuple[str, ...]
    """Who may answer."""
    said: tuple[str, ...]
    """Lines for whoever starts the service: what is promised, and the verdict."""


def write_prepared(folder: Path, found: Cascade) -> None:
    """Keep what calibration rows show beside the files that are served.

    Args:
        folder: The copy of the bundle.
        found: What they show.

    Raises:
        BundleError: The extra that serves is not installed.
    """
    msgspec = require("msgspec", extra="serve", error=BundleError)
    (folder / SERVED).write_bytes(msgspec.msgpack.encode(found))


def read_prepared(folder: Path) -> Cascade:
    """What `write_prepared` kept.

    Args:
        folder: The copy of the bundle.
    """
    import msgspec

    found: Cascade = msgspec.msgpack.decode((folder / SERVED).read_bytes(), type=Cascade)
    return found
