"""Writes an export whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from surefoot import plugins
from surefoot.core.errors import PluginError
from surefoot.core.release import Export, Release
from surefoot.store import whole_file, whole_folder


def write_export(form: str, release: Release, out: Path, options: Mapping[str, Any]) -> Export:
    """Write one candidate in a form that other tools read.

    Args:
        form: The plugin in `report/exports/`.
        release: The candidate.
        out: The file, or the folder where the format has several files.
        options: The plugin's own options.

    Raises:
        BundleError: The disk is full, or a folder lies there that surefoot did not write.
        PluginError: No such format, or one whose files would lie elsewhere.
        SurefootError: What the format says is missing.
    """
    export: Export = plugins.find("export", form)(release, **options)
    if set(export.files) == {""}:
        with whole_file(out) as part:
            _write(part, export.files[""])
        return export
    with whole_folder(out) as folder:
        for name, content in export.files.items():
            inside = PurePosixPath(name)
            if inside.is_absolute() or not name or ".." in inside.parts or "\\" in name:
                raise PluginError(f"export '{form}' names a file outside of its folder: {name!r}")
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, content)
    return export


def _write(target: Path, content: str | Path) -> None:
    if isinstance(content, str):
        target.write_text(content, encoding="utf-8", newline="\n")
    else:
        shutil.copyfile(content, target)
