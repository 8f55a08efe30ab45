"""Where a bundle lies: in a folder, in the folder of a run, or in a single zip file.

A zip file may come from anybody. Its names, sizes and number of members are looked at before a
byte of it is written, and what is written is held to what was looked at.
"""

from __future__ import annotations

import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from surefoot.core.errors import BundleError, DamageError
from surefoot.core.printable import printable
from surefoot.store import whole_file

ENTRIES = 100_000
"""Members at most: 1,000 candidates in 100 cells each."""
DIRECTORY = 32_000_000
"""Bytes at most of the list of members, which is held in memory."""
RATIO = 100
"""How many times its packed size a member may be: Parquet and models hardly pack, JSON to a tenth
at best, a bomb to a thousandth."""
SMALL = 16_000_000
"""Bytes that all members together may be whatever their packed size."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: what a zip file holds decides its bytes, and nothing else does."""
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
"""What reading a damaged zip file may raise; NotImplementedError is a RuntimeError."""
_END = b"PK\5\6"
_END_64 = b"PK\6\6"
_SAFE = "take it from its origin again, and ask there how it came to be"


@contextmanager
def open_bundle(path: Path) -> Iterator[Path]:
    """The folder of a bundle, for as long as the block lasts.

    Args:
        path: The folder of a bundle, that of a run, or a zip file. A zip file is unpacked into a
            temporary folder, which the end of the block removes.

    Yields:
        The folder that holds `verdict.json`. Whether the files are whole is for `check_files` to
        say, and whether this surefoot can read them for `read_verdict_json`.

    Raises:
        BundleError: There is no bundle, or it was not written to its end.
        DamageError: The zip file is damaged, or holds what no bundle holds.
    """
    if path.is_dir():
        yield _within(path)
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="surefoot-", ignore_cleanup_errors=True) as folder:
            _unpack(path, Path(folder) / "bundle")
            yield _within(Path(folder) / "bundle", shown=path)
    else:
        raise BundleError(
            "there is no bundle" if not path.exists() else "is neither a folder nor a file",
            where=str(path),
            fix="name a bundle's folder, the folder of a run, or a zip file of a bundle",
        )


def pack_bundle(folder: Path, out: Path) -> None:
    """Write a bundle as one zip file; the same content gives the same bytes.

    Nothing is packed: Parquet and models hardly shrink, and what packing gives depends on the
    version of zlib.

    Args:
        folder: What `open_bundle` gave.
        out: The zip file; one that lies there is replaced.

    Raises:
        BundleError: The file cannot be written, or the folder holds a link.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    members = [_member(file, folder) for file in files]
    for member in members:
        if why := _unsafe(member):
            raise BundleError(why, where=str(folder / member.filename))
    _by_name(members, folder)
    with whole_file(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for file, member in zip(files, members, strict=True):
            with file.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _member(file: Path, folder: Path) -> zipfile.ZipInfo:
    found = file.lstat()
    info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), EPOCH)
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = (stat.S_IFMT(found.st_mode) | 0o644) << 16
    info.file_size = found.st_size  # so that it is known whether this takes zip64
    return info


def _within(folder: Path, *, shown: Path | None = None) -> Path:
    """The folder that holds the verdict: the one that is named, or `bundle` inside it."""
    for place in (folder, folder / "bundle"):
        if (place / "verdict.json").exists():
            if not (place / "manifest.json").exists():
                raise _half(shown or place)
            return place
    parts = [p for p in (folder, folder / "bundle") if (p / "plan.toml").exists()]
    if any((p / "plan.json").exists() for p in parts) or (folder / "digests.json").exists():
        raise _half(shown or folder)
    raise BundleError(
        "holds no bundle: there is no verdict.json in it",
        where=str(shown or folder),
        fix="name a bundle's folder, the folder of a run, or a zip file of a bundle",
    )


def _half(where: Path) -> BundleError:
    return BundleError(
        "holds no bundle that was written to its end",
        where=str(where),
        fix="run the plan again, which goes on where it stopped; or copy the bundle again",
    )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack a zip file into a new folder."""
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, path)
            folder.mkdir()
            for member in members:
                _unpack_member(archive, member, folder, path)
    except _BROKEN as error:
        raise DamageError(
            f"is no zip file that can be read: {printable(str(error))}", where=str(path), fix=_SAFE
        ) from error


def _unpack_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, path: Path
) -> None:
    if member.is_dir():
        return
    target = folder / member.filename
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # zipfile gives no byte more than the size that was checked, and checks the CRC.
        with archive.open(member) as source, target.open("xb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    except _BROKEN as error:
        raise _refused(path, member, f"cannot be unpacked: {printable(str(error))}") from error
    if target.stat().st_size != member.file_size:
        raise _refused(path, member, "does not unpack to the size that it says")


def _check_directory(path: Path) -> None:
    """Refuse a list of members that is too long, before it is read into memory."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(size - (1 << 16) - 100, 0))
        tail = stream.read()
    at = tail.rfind(_END)
    sizes = list(struct.unpack("<L", tail[at + 12 : at + 16])) if at >= 0 else []
    at = tail.rfind(_END_64, 0, max(at, 0))
    sizes += struct.unpack("<Q", tail[at + 40 : at + 48]) if at >= 0 else []
    if max(sizes, default=0) > DIRECTORY:
        raise DamageError(
            f"a list of members of {max(sizes):,} bytes, more than {DIRECTORY:,}",
            where=str(path),
            fix=_SAFE,
        )


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    """Refuse what no bundle holds, before anything is written."""
    if len(members) > ENTRIES:
        what = f"{len(members):,} members, more than {ENTRIES:,}"
        raise DamageError(what, where=str(path), fix=_SAFE)
    total, most = 0, SMALL + RATIO * path.stat().st_size
    for member in members:
        if why := _unsafe(member):
            raise _refused(path, member, why)
        total += member.file_size
        if total > most or member.file_size > SMALL + RATIO * member.compress_size:
            packed = f"{member.file_size:,} bytes from {member.compress_size:,}"
            raise _refused(path, member, f"unpacks to {packed}, too much for a bundle")
    taken = _by_name(members, path)
    for key, member in taken.items():
        for parent in map(str, PurePosixPath(key).parents):
            if parent in taken and not taken[parent].is_dir():
                raise _refused(path, member, f"lies in {printable(parent)}, which is a file")
    _check_room(total, path)


def _by_name(members: Sequence[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """Members by name; one file system tells case and ways to write an accent, another does not."""
    taken: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        key = unicodedata.normalize("NFC", member.filename.rstrip("/")).casefold()
        if key in taken:
            other = printable(taken[key].filename)
            raise _refused(path, member, f"has the name of another file, {other}")
        taken[key] = member
    return taken


def _check_room(total: int, path: Path) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if total > free:
        raise BundleError(
            f"unpacks to {total:,} bytes, and {tempfile.gettempdir()} has room for {free:,}",
            where=str(path),
            fix="make room, or set TMPDIR to a folder that has it",
        )


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Why a member can be no file of a bundle; empty where it can."""
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if name.startswith("/") or ":" in name or "\\" in name:
        return "has a name that is a path of its own"
    if printable(name) != name:
        return "has a name with characters that are not seen"
    if any(not part.strip(" .") for part in parts):
        return "has a name that leads elsewhere"
    return ""


def _refused(path: Path, member: zipfile.ZipInfo, why: str) -> DamageError:
    return DamageError(f"{printable(member.orig_filename)} {why}", where=str(path), fix=_SAFE)
