"""Whether the files of a bundle are those that its run wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from surefoot.core.claims import Fault, What
from surefoot.core.cpus import usable_cpus
from surefoot.core.errors import BundleError
from surefoot.core.hashing import hash_file
from surefoot.core.nested import from_json
from surefoot.core.printable import printable

MANIFEST = "manifest.json"
SIGNATURE = "manifest.dsse.json"
"""A detached signature of the manifest, which the manifest itself cannot name."""
LARGEST = 64_000_000
"""Bytes of a manifest at most, which is read whole: half a million files."""


def check_files(folder: Path) -> tuple[Fault, ...]:
    """Every file of a bundle that was changed, lost or added since it was written.

    Args:
        folder: The bundle.

    Returns:
        The faults by the names of the files; none where the bundle is as its run left it.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        what: What = "cannot be read" if (folder / MANIFEST).exists() else "missing"
        return (Fault(file=MANIFEST, what=what),)
    found: dict[str, What] = dict(_on_disk(folder, manifest))
    present = [name for name in manifest if name not in found]
    # hashlib lets go of the interpreter while it works: threads are enough.
    with ThreadPoolExecutor(usable_cpus()) as threads:
        hashes = threads.map(lambda name: _hash(folder / name), present)
        for name, sha in zip(present, hashes, strict=True):
            if sha is None:
                found[name] = "cannot be read"
            elif sha != manifest[name]:
                found[name] = "changed"
    return tuple(Fault(file=name, what=found[name]) for name in sorted(found))


def refuse_changed(folder: Path, where: Path) -> None:
    """Make sure that a bundle is as its run left it.

    Args:
        folder: The bundle.
        where: What the user called it.

    Raises:
        BundleError: A file was changed, lost or added; the first of them is named.
    """
    for fault in check_files(folder):
        raise BundleError(
            f"{printable(fault.file)}: {fault.what} since the bundle was written",
            where=str(where),
            fix="surefoot verify names every such file",
        )


def read_manifest(folder: Path) -> dict[str, str] | None:
    """What a manifest says: SHA-256 by file; None where it says no such thing.

    Args:
        folder: The bundle.
    """
    file = folder / MANIFEST
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST:
            return None
        manifest = from_json(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(manifest, dict) and all(
        isinstance(sha, str) and re.fullmatch("[0-9a-f]{64}", sha) for sha in manifest.values()
    )
    return manifest if known else None


def _on_disk(folder: Path, manifest: Mapping[str, str]) -> Iterator[tuple[str, What]]:
    """Files that are missing, that were added, or that are no files."""
    there = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            there[path.relative_to(folder).as_posix()] = path
    for name in manifest.keys() - there.keys():
        yield name, "missing"
    for name, path in there.items():
        if path.is_symlink() or not path.is_file():
            yield name, "a link"
        elif name not in manifest and name not in (MANIFEST, SIGNATURE):
            yield name, "added"


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
