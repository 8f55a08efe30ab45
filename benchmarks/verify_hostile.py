"""What `surefoot verify` says of a bundle that somebody has been at, and what that takes.

    python benchmarks/verify_hostile.py BUNDLE

Every file changed by one byte, cut, emptied and lost, one at a time; two models swapped; a file
added; zip files with names that lead elsewhere; and a bomb of 10 GB in 10 MB. The bundle itself is
not touched.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from surefoot.bundle import check_files, open_bundle
from surefoot.core.errors import BundleError

BOMB = 10_000


def main() -> None:
    """Try everything, and print a line for each kind."""
    with tempfile.TemporaryDirectory() as place:
        bundle = Path(place) / "bundle"
        shutil.copytree(sys.argv[1], bundle)
        files = [f for f in sorted(bundle.rglob("*")) if f.is_file()]
        assert check_files(bundle) == (), "the bundle is not as it was written"
        for what, change in CHANGES.items():
            found = sum(named(bundle, file, change) for file in files)
            print(f"{what}: {found} of {len(files)} files named, and no other")
        (bundle / "more.txt").write_text("x")
        print(f"a file added: {[f.file for f in check_files(bundle)]}")
        for name in ("../outside", "/outside", "C:\\outside", "cells/../../outside"):
            print(f"zip with {name}: {refused(Path(place) / 'a.zip', name, 1)}")
        assert not (Path(place) / "outside").exists()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        path = Path(place) / "bomb.zip"
        began = time.perf_counter()
        said = refused(path, "cells/a.parquet", BOMB)
        took = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"bomb of {BOMB / 1000:.0f} GB in {path.stat().st_size / 1e6:.0f} MB: {said}")
        print(f"  made and refused in {time.perf_counter() - began:.0f} s,", end=" ")
        print(f"{took / 1000:.0f} MB of main memory more than before")


def flipped(content: bytes) -> bytes:
    """The content with one byte changed in its middle."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


CHANGES: dict[str, Callable[[bytes], bytes | None]] = {
    "one byte changed": flipped,
    "cut by one byte": lambda content: content[:-1],
    "emptied": lambda _: b"",
    "lost": lambda _: None,
}


def named(bundle: Path, file: Path, change: Callable[[bytes], bytes | None]) -> bool:
    """Whether that file and no other is named when it is changed; it is put back."""
    content = file.read_bytes()
    other = change(content)
    if other is None:
        file.unlink()
    else:
        file.write_bytes(other)
    found = {fault.file for fault in check_files(bundle)}
    file.write_bytes(content)
    name = file.relative_to(bundle).as_posix()
    # A manifest that still is one names another hash, of whichever file the byte stood for.
    return found == {name} or (name == "manifest.json" and len(found) > 0)


def refused(path: Path, name: str, megabytes: int) -> str:
    """What is said of a zip file with such a member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("manifest.json", "{}")
        archive.writestr("verdict.json", "{}")
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(info, "w", force_zip64=True) as stream:
            for _ in range(megabytes):
                stream.write(bytes(1_000_000))
    try:
        with open_bundle(path):
            return "NOT REFUSED"
    except BundleError as error:
        return error.what


if __name__ == "__main__":
    main()
