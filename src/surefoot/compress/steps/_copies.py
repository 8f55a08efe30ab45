"""What steps share that leave the weights as they are and change what stands beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

from surefoot.core.model import Model, Signature
from surefoot.models import seal
from surefoot.models.store import GOLDEN, SIGNATURE


def copy_weights(model: Model, folder: Path) -> None:
    """Copy all of a model's files but its seal and its golden vectors, which are made anew."""

    def left_behind(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name in (GOLDEN, SIGNATURE) or name.startswith(".")]

    shutil.copytree(model.path, folder, dirs_exist_ok=True, ignore=left_behind)


def seal_copy(model: Model, folder: Path, name: str, signature: Signature) -> Model:
    """Make the copy of a model, with what was changed beside its weights, a model."""
    return seal(
        folder,
        name=name,
        format=model.format,
        file=model.file,
        signature=signature,
        parent=model.fingerprint,
    )
