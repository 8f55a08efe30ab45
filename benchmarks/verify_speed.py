"""How fast `surefoot verify` hashes 1 GB of cells, beside `sha256sum` on the same files.

    python benchmarks/verify_speed.py [FOLDER]

Both read from the page cache, in turns; the medians are compared.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from surefoot.bundle import check_files
from surefoot.core.hashing import hash_file

FILES, SIZE = 250, 4_000_000
ROUNDS = 3


def main() -> None:
    """Write the files, and time both."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        folder = Path(place)
        for i in range(FILES):
            file = folder / "cells" / f"candidate-{i % 10}" / f"set-{i}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(SIZE))
        files = [f for f in sorted(folder.rglob("*")) if f.is_file()]
        manifest = {f.relative_to(folder).as_posix(): hash_file(f) for f in files}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        sha256sum = shutil.which("sha256sum") or sys.exit("there is no sha256sum")
        ours, theirs = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            assert check_files(folder) == ()
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            subprocess.run([sha256sum, *map(str, files)], stdout=subprocess.DEVNULL, check=True)
            theirs.append(time.perf_counter() - began)
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"verify     {mine:.2f} s  {FILES * SIZE / mine / 1e6:.0f} MB/s")
    print(f"sha256sum  {other:.2f} s  {FILES * SIZE / other / 1e6:.0f} MB/s")
    print(f"verify has {other / mine:.0%} of the speed of sha256sum")


if __name__ == "__main__":
    main()
