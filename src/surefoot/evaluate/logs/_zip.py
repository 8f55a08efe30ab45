"""Members of a zip file, zstd ones included, and never more than they say they are."""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from pathlib import Path

from surefoot.core.errors import DataError

LARGEST = 2_000_000_000
"""Bytes of a member; a file that claims more is taken for a bomb."""
RATIO = 200
"""How many times its packed size a member may be: JSON packs to a tenth, a bomb to a thousandth."""
SMALL = 32_000_000
"""Bytes that a member may be whatever its packed size."""
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
"""What reading a damaged zip file may raise."""
_MEND = "copy it again, or mend the log: inspect log recover"
_OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_HEADER = 30
"""Bytes of a local file header before its name (APPNOTE 4.3.7)."""


def names(path: Path) -> frozenset[str]:
    """The members of a zip file; none where it is no zip file.

    Raises:
        DataError: It is one, but a damaged one.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return frozenset()
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except _BROKEN as error:
        with path.open("rb") as stream:
            if stream.read(2) != b"PK":  # something else that ends like one
                return frozenset()
        raise DataError(f"is a damaged zip file: {error}", where=str(path), fix=_MEND) from error


def member(path: Path, name: str) -> bytes:
    """One member, unpacked.

    Raises:
        DataError: It is damaged, or larger than it says or than anybody needs.
    """
    where = f"{path}: {name}"
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.getinfo(name)
            _check_size(found, where)
            try:
                with archive.open(found) as stream:
                    content = stream.read(found.file_size + 1)
            except NotImplementedError:
                content = _zstd(path, found)
    except _BROKEN as error:
        raise DataError(f"cannot be unpacked: {error}", where=where, fix=_MEND) from error
    if len(content) != found.file_size:
        raise DataError("does not unpack to the size that it says", where=where, fix=_MEND)
    return content


def _check_size(found: zipfile.ZipInfo, where: str) -> None:
    """Refuse a bomb before it is unpacked; what is unpacked is held to the size checked here."""
    if found.file_size > min(LARGEST, max(SMALL, RATIO * found.compress_size)):
        raise DataError(
            f"unpacks to {found.file_size:,} bytes from {found.compress_size:,}",
            where=where,
            fix="if you trust its origin, convert it: inspect log convert --to json",
        )


def _zstd(path: Path, found: zipfile.ZipInfo) -> bytes:
    """A member packed by zstd, which Python's own zipfile reads from 3.14 on: DuckDB has it too."""
    import duckdb

    with path.open("rb") as stream:
        stream.seek(found.header_offset)
        lengths = struct.unpack("<HH", stream.read(_HEADER)[-4:])
        stream.seek(sum(lengths), 1)
        packed = stream.read(found.compress_size)
    with tempfile.TemporaryDirectory(prefix="surefoot-") as folder:
        file = Path(folder) / "member.zst"
        file.write_bytes(packed)
        try:
            with duckdb.connect(":memory:", config=_OFFLINE) as connection:
                rows = connection.execute(
                    "SELECT json::VARCHAR FROM read_json_objects(?, format = 'unstructured',"
                    " compression = 'zstd', maximum_object_size = ?)",
                    [str(file), found.file_size + 1],
                ).fetchall()
        except duckdb.Error as error:
            what = f"cannot be unpacked: {str(error).splitlines()[0]}"
            raise DataError(what, where=f"{path}: {found.filename}") from error
    return str(rows[0][0]).encode() if len(rows) == 1 else b""
