"""`surefoot compare` on a million rows: wall time and peak memory of the whole process.

    python benchmarks/compare_million.py

Seeded; prints one line per file format, and one with 20 slices.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROWS, SLICES = 1_000_000, 20
WRITE = {"parquet": "FORMAT parquet", "csv": "HEADER", "jsonl": "FORMAT json"}


def write(folder: Path) -> None:
    """Two files per format: 92 % accuracy, 0.4 % of the answers flip."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SELECT setseed(0.5)")
    flags = ", ".join(f"hash(i + {k}) % {k + 2} = 0 AS s{k}" for k in range(SLICES))
    connection.execute(
        "CREATE TABLE t AS SELECT 'row-' || i AS id, 'c' || hash(i) % 77 AS label,"
        f" 'c' || (hash(i) + 1) % 77 AS wrong, {flags}, random() < 0.92 AS before,"
        f" random() < 0.02 AS redrawn, random() < 0.9 AS again FROM range({ROWS}) r(i)"
    )
    after = "CASE WHEN redrawn THEN again ELSE before END"
    for name, right in (("base", "before"), ("candidate", after)):
        columns = f"id, label, CASE WHEN {right} THEN label ELSE wrong END AS predicted"
        slices = ", ".join(f"s{k}" for k in range(SLICES))
        for suffix, options in WRITE.items():
            target = folder / f"{name}.{suffix}"
            connection.execute(
                f"COPY (SELECT {columns}, {slices} FROM t) TO '{target}' ({options})"
            )


def timed(folder: Path, suffix: str, *options: str) -> str:
    """Run the program once, and say how long it took and the most memory it held."""
    files = [str(folder / f"{name}.{suffix}") for name in ("base", "candidate")]
    command = [sys.executable, "-m", "surefoot", "compare", *files, "--max-drop", "0.01", *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert os.waitstatus_to_exitcode(status) == 0
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{seconds:.2f} s, {usage.ru_maxrss * unit / 1e6:.0f} MB"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child starts with its parent's peak memory.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(write, folder).result()
        for suffix in WRITE:
            print(f"{suffix:<8} {timed(folder, suffix)}")
        slices = [option for k in range(SLICES) for option in ("--slice", f"s{k}")]
        print(f"parquet, {SLICES} slices: {timed(folder, 'parquet', *slices)}")


if __name__ == "__main__":
    main()
