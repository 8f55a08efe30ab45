"""Prints texts beside what a shift makes of them, so that somebody can read whether labels hold.

    python benchmarks/read_shifts.py SHIFT[,SHIFT...] FILE.csv ... [SEVERITY] [ROWS] [SEED]

The files need the columns `id`, `text` and `label`, as those of the demo have. Each is shifted as a
run shifts a test set that is named as the file is; the rows are drawn from all files together, the
same ones for every shift.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.model import StepCall
from surefoot.data import read
from surefoot.evaluate.shifted import shifted

SEVERITY, ROWS, SEED = 3.0, 50, 2026


def sets(paths: list[Path]) -> list[Dataset]:
    """The rows of each file."""
    columns = {"text": "text", "label": "label", "id": "id"}
    return [read("csv", {"path": str(p), **columns}, name=p.stem, slices={}) for p in paths]


def main(*words: str) -> None:
    """Print every row that was drawn, as it came and under each shift; `=` where it is the same."""
    names, paths = words[0].split(","), [Path(w) for w in words[1:] if w.endswith(".csv")]
    given = [float(word) for word in words[1 + len(paths) :]]
    severity, rows, seed = (*given, *(SEVERITY, ROWS, SEED)[len(given) :])
    files = sets(paths)
    calls = [StepCall(use=name, options=(("severity", severity),)) for name in names]
    changed = [np.concatenate([shifted(one, call).inputs for one in files]) for call in calls]
    ids = np.concatenate([one.ids for one in files])
    labels = np.concatenate([np.array(one.classes)[one.labels] for one in files])
    texts = np.concatenate([one.inputs for one in files])
    chosen = np.random.default_rng(int(seed)).choice(len(ids), int(rows), replace=False)
    for number, row in enumerate(chosen.tolist(), start=1):
        print(f"\n{number}. {ids[row]}, {labels[row]}\n   {'as it came':<14} {texts[row]}")
        for name, found in zip(names, changed, strict=True):
            print(f"   {name:<14} {'=' if found[row] == texts[row] else found[row]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
