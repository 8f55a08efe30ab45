"""What each shift costs: processor milliseconds for a thousand rows, the median of five turns.

    python benchmarks/shift_cost.py [TEXTS.csv]

Texts are those of the file's column `text`, repeated where they are fewer; without one, drawn
words. Images are drawn, small and large; numbers are a thousand rows of thirty columns.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surefoot import plugins

ROWS, TURNS, SEVERITY = 1000, 5, 3.0


def inputs(texts: list[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """A kind of input, what it is called, and a thousand rows of it."""
    rng = np.random.default_rng(0)
    rows = [texts[i % len(texts)] for i in range(ROWS)]
    mean = sum(map(len, rows)) / ROWS
    yield "text", f"{mean:.0f} characters", np.array(rows, np.dtypes.StringDType())
    for shape in ((28, 28), (224, 224, 3)):
        # Large ones are a tenth as many, and count ten times.
        few = ROWS if len(shape) == 2 else ROWS // 10
        name = " x ".join(map(str, shape))
        yield "image", name, rng.integers(0, 256, (few, *shape), dtype=np.uint8)
    yield "numeric", "30 columns", rng.normal(size=(ROWS, 30)).astype(np.float32)


def main(*words: str) -> None:
    """Print a line for each shift and kind of input."""
    drawn = np.random.default_rng(0).choice(["the", "service", "was", "never", "slow,"], (50, 20))
    texts = [" ".join(row) for row in drawn.tolist()]
    if words:
        with Path(words[0]).open(newline="") as stream:
            texts = [row["text"] for row in csv.DictReader(stream)]
    for kind, what, rows in inputs(texts):
        for name in plugins.names("shift"):
            if kind != plugins.module("shift", name).INPUT:
                continue
            shift, times = plugins.find("shift", name), []
            shift(rows[:10], np.random.default_rng(0), severity=SEVERITY)
            for _ in range(TURNS):
                start = time.process_time()
                shift(rows, np.random.default_rng(0), severity=SEVERITY)
                times.append((time.process_time() - start) * 1000 * ROWS / len(rows))
            print(f"{what:<16} {name:<16} {statistics.median(times):8.1f} ms for 1,000 rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
