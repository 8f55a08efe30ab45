"""Where finished work lies: a folder per piece of work, named by the hash of its inputs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from surefoot.core.errors import BundleError, SurefootError
from surefoot.core.hashing import hash_file, hash_json

PART = ".surefoot-part"
"""Ends the name of what is not finished; nobody else calls a file so."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of a place rather than of a file."""
PROBE = 1 << 20
"""Bytes; with less room than this no run can go on."""

Kept = TypeVar("Kept")


class Store:
    """Finished work under one root; what is not finished is never seen.

    Args:
        root: The folder; made when first written to.
        context: What all work depends on beside its own inputs: libraries, machine, our own code.
    """

    def __init__(self, root: Path, context: str = "") -> None:
        self.root, self._context = root, context
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
            with _whole_folder(final, self.root / f".{kind}-{final.name}{PART}") as folder:
                (folder / ".inputs.json").write_text(json.dumps(inputs, default=str, indent=1))
                write(folder)
        return final

    def discard(self, path: Path) -> None:
        """Remove a finished folder that turned out to be damaged, so that `make` makes it again.

        Args:
            path: What `make` or `path` gave.

        Raises:
            BundleError: It lies elsewhere, or cannot be removed.
        """
        if path.parent.parent != self.root:
            raise BundleError("is no finished work of this folder", where=str(path))
        aside = self.root / f".{path.parent.name}-{path.name}{PART}"
        with _explained(path):
            _remove(aside)
            if path.exists():
                # Half removed it would look finished still: so it goes in one step.
                path.replace(aside)
            _remove(aside)

    def kept(
        self, kind: str, inputs: Mapping[str, Any], read: Callable[[Path], Kept]
    ) -> Kept | None:
        """What an earlier run finished, as `read` gives it; None where there is nothing.

        Work that was damaged since, so that it cannot be read, is discarded: it is as good as
        not there.
        """
        folder = self.path(kind, inputs)
        if not folder.exists():
            return None
        try:
            return read(folder)
        except (OSError, ValueError, TypeError, EOFError, SurefootError):
            self.discard(folder)
            return None

    def path(self, kind: str, inputs: Mapping[str, Any]) -> Path:
        """Where a piece of work lies, or will lie."""
        return self.root / kind / hash_json({"context": self._context, **inputs})[:24]

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

    def check_writable(self) -> None:
        """Make sure that a little more can be written, after something could not be.

        Raises:
            BundleError: It cannot: the disk is full, or it is not this piece of work alone.
        """
        probe = self.root / "probe"
        with whole_file(probe) as file:
            file.write_bytes(bytes(PROBE))
        probe.unlink()

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
                self._digests = dict(json.loads((self.root / "digests.json").read_text()))
            except (OSError, ValueError, TypeError):
                self._digests = {}
        return self._digests

    def _sweep(self) -> None:
        """Remove what a killed run left half-written; safe because the lock is held.

        Anything else in the folder, whatever it is called, belongs to the user.
        """
        for left in self.root.glob(f".*{PART}"):
            _remove(left)


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """An empty folder that becomes `final` when the block ends well, and vanishes when it does not.

    Raises:
        BundleError: The disk is full, the folder cannot be written, or there is one of the user's.
    """
    check_replaceable(final)
    with _whole_folder(final, final.with_name(f".{final.name}{PART}")) as part:
        yield part


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """A file name to write to that becomes `final` when the block ends well.

    Raises:
        BundleError: The disk is full, or the file cannot be written.
    """
    part = final.with_name(f".{final.name}{PART}")
    with _explained(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _explained(final, within=part):
            yield part
        with _explained(final):
            _to_disk(part)
            part.replace(final)
            _to_disk(final.parent)
    finally:
        part.unlink(missing_ok=True)


def check_replaceable(final: Path) -> None:
    """Refuse to write a bundle in place of a folder that surefoot did not write.

    Raises:
        BundleError: There is such a folder, and it is not empty.
    """
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return
    # By their names alone, since a damaged bundle is replaced too.
    others = ("manifest.json", "plan.toml")
    ours = (final / "verdict.json").is_file() and any((final / n).is_file() for n in others)
    if not ours:
        raise BundleError(
            "lies there already, and surefoot did not write it",
            where=str(final),
            fix="choose another folder with --out, or move it away",
        )


@contextmanager
def _whole_folder(final: Path, part: Path) -> Iterator[Path]:
    with _explained(final):
        _remove(part)
        part.mkdir(parents=True)
    try:
        with _explained(final, within=part):
            yield part
        with _explained(final):
            for path in (*part.rglob("*"), part):
                _to_disk(path)
            final.parent.mkdir(parents=True, exist_ok=True)
            _replace_folder(part, final)
            _to_disk(final.parent)
    finally:
        _remove(part)


def _replace_folder(part: Path, final: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    if final.exists():
        aside = part.with_name(f".old{part.name}")
        _remove(aside)
        final.replace(aside)
        part.replace(final)
        _remove(aside)
    else:
        part.replace(final)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until a file or the names in a folder would survive a loss of power."""
    if not path.is_file() and not path.is_dir():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not every file system can do it for a folder
            raise
    finally:
        os.close(number)


@contextmanager
def _explained(path: Path, *, within: Path | None = None) -> Iterator[None]:
    """Say that a place cannot be written to.

    Args:
        path: The place.
        within: Where the block writes. It may also read elsewhere, and an error of that is its own.
    """
    try:
        yield
    except OSError as error:
        if within is not None and not _is_of_place(error, within):
            raise
        raise BundleError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            fix="make room or choose another folder with --out; finished stages are kept",
        ) from error


def _is_of_place(error: OSError, part: Path) -> bool:
    """Whether an error says that nothing more can be written to a place."""
    if error.filename is not None and not Path(os.fsdecode(error.filename)).is_relative_to(part):
        return False
    if error.errno is not None:
        return error.errno in (*FULL, *([errno.EACCES] if error.filename is not None else []))
    # numpy and shutil.copytree say it in words alone.
    text = str(error)
    short = re.search(r"\d+ requested and \d+ written", text)
    return bool(short) or any(os.strerror(code) in text for code in FULL)
