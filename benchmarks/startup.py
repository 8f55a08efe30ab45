"""`surefoot --help` against bare Python, in turns: `python benchmarks/startup.py [ROUNDS]`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BARE = (sys.executable, "-c", "pass")
HELP = (sys.executable, "-m", "surefoot", "--help")


def main(rounds: int = 30) -> None:
    """Print both medians, and the median of their ratios."""
    for command in (BARE, HELP):
        _seconds(command)  # bytecode and disk cache
    times = [(_seconds(BARE), _seconds(HELP)) for _ in range(rounds)]
    bare, shown = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    ratio = statistics.median(b / a for a, b in times)
    print(f"bare python {bare:.1f} ms, surefoot --help {shown:.1f} ms: {ratio:.2f} times")
    print(f"(medians of {rounds} pairs of calls, in turns)")


def _seconds(command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
