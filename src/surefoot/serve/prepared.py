"""What is known of a bundle that was prepared: little, so that each process may load it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from surefoot.core.errors import BundleError
from surefoot.core.extras import require
from surefoot.core.plan import ServePlan
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


def write_prepared(folder: Path, found: Cascade, plan: ServePlan) -> None:
    """Keep what calibration rows show beside the files that are served.

    Args:
        folder: The copy of the bundle.
        found: What they show.
        plan: What was asked of them.

    Raises:
        BundleError: The extra that serves is not installed.
    """
    msgspec = require("msgspec", extra="serve", error=BundleError)
    (folder / SERVED).write_bytes(msgspec.msgpack.encode((found, plan)))


def read_prepared(folder: Path) -> tuple[Cascade, ServePlan]:
    """What `write_prepared` kept.

    Args:
        folder: The copy of the bundle.
    """
    import msgspec

    kind = tuple[Cascade, ServePlan]
    found: tuple[Cascade, ServePlan] = msgspec.msgpack.decode(
        (folder / SERVED).read_bytes(), type=kind
    )
    return found
