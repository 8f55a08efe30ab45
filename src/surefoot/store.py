"""Where finished work lies: a folder per piece of work, named by the hash of its inputs."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.core.hashing import hash_file, hash_json


class Store:
    """Finished work under one root; what is not finished is never seen.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._digests: dict[str, list[Any]] | None = None

    def make(self, kind: str, inputs: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
        """The folder of a piece of work, made by `write` if an earlier run did not finish it.

        Args:
            kind: The kind of work, a sub-folder of the root.
            inputs: Everything the result depends on; JSON-able.
            write: Fills the empty folder that it is given.

        Returns:
            The finished folder.

        Raises:
            BundleError: The disk is full, or the folder cannot be written.
        """
        final = self.path(kind, inputs)
        if not final.exists():
            with whole_folder(final) as folder:
                (folder / ".inputs.json").write_text(json.dumps(inputs, default=str, indent=1))
                write(folder)
        return final

    def path(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Where a piece of work lies, or will lie."""
        return self.root / kind / hash_json(inputs)[:24]

    def digest(self, path: Path) -> str:
        """The SHA-256 of a file or folder, remembered by size and time of change."""
        if path.is_dir():
            files = sorted(f for f in path.rglob("*") if f.is_file())
            return hash_json([(str(f.relative_to(path)), self.digest(f)) for f in files])
        known, stat = self._known(), path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = known.get(str(path.resolve()))
        if entry is None or entry[:3] != stamp:
            entry = known[str(path.resolve())] = [*stamp, hash_file(path)]
        return str(entry[3])

    def keep_digests(self) -> None:
        """Write the remembered digests down for the next run."""
        with whole_file(self.root / "digests.json") as file:
            file.write_text(json.dumps(self._known()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the root for this process alone.

        Raises:
            BundleError: Another process holds it; or it cannot be written.
        """
        with _explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            stream = (self.root / "lock").open("a+")
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                raise BundleError(
                    f"another run (process {holder}) works in this folder",
                    where=str(self.root),
                    fix="wait for it to end, or choose another folder with --out",
                ) from None
            with _explained(self.root):
                stream.truncate(0)
                stream.write(str(os.getpid()))
                stream.flush()
                self._sweep()
            yield

    def _known(self) -> dict[str, list[Any]]:
        if self._digests is None:
            try:
                self._digests = json.loads((self.root / "digests.json").read_text())
            except (OSError, ValueError):
                self._digests = {}
        return self._digests

    def _sweep(self) -> None:
        """Remove what a killed run left half-written; safe because the lock is held.

        Deeper down lies finished work, whose files may be called anything.
        """
        for left in [*self.root.glob("*.part"), *self.root.glob("*/*.part")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """An empty folder that becomes `final` when the block ends well, and vanishes when it does not.

    Raises:
        BundleError: The disk is full, or the folder cannot be written.
    """
    part = final.with_name(final.name + ".part")
    with _explained(final):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            yield part
            _replace_folder(part, final)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """A file name to write to that becomes `final` when the block ends well.

    Raises:
        BundleError: The disk is full, or the file cannot be written.
    """
    part = final.with_name(final.name + ".part")
    with _explained(final):
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)


def _replace_folder(part: Path, final: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    if final.exists():
        aside = final.with_name(final.name + ".old.part")
        shutil.rmtree(aside, ignore_errors=True)
        final.replace(aside)
        part.replace(final)
        shutil.rmtree(aside)
    else:
        part.replace(final)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix="make room or choose another folder with --out; finished stages are kept",
        ) from error
