"""How many rows are called out of scope: rows of the task, and rows that belong to none of it.

    python benchmarks/out_of_scope.py BUNDLE FILE.csv [FILE.csv ...]

Each FILE has a column `text`. The models of the bundle's policy are asked in turn, as in a service,
and each row is held to the threshold of the model whose answer it is given.
"""

from __future__ import annotations

import csv
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from surefoot import stats
from surefoot.bundle.serving import read_policy
from surefoot.core.serving import Cascade
from surefoot.models import open_model, read_model


def main(bundle: Path, files: list[str]) -> None:
    """A line for each file."""
    found = read_policy(bundle)
    if found is None:
        sys.exit(f"{bundle}: no policy")
    names = [*found.stages, found.fallback]
    print(", ".join(f"{name} below {least:.4f}" for name, least in found.scope.items()))
    with ExitStack() as stack:
        models = [stack.enter_context(open_model(read_model(bundle / "models" / n))) for n in names]
        for file in files:
            with Path(file).open(newline="", encoding="utf-8") as stream:
                texts = [row["text"] for row in csv.DictReader(stream)]
            rows = np.array(texts, np.dtypes.StringDType())
            flagged = asked(rows, models, found)
            ends = stats.proportion_interval(int(flagged.sum()), len(flagged), level=0.95)
            print(
                f"{file}: {flagged.mean():.1%} [{float(ends.low):.1%}, {float(ends.high):.1%}] of"
                f" {len(rows):,} are called out of scope"
            )


def asked(rows: np.ndarray, models: list, found: Cascade) -> np.ndarray:
    """(n,) whether each is called out of scope by the model whose answer it is given."""
    flagged, left = np.zeros(len(rows), dtype=bool), np.arange(len(rows))
    held = (found.chosen.threshold, *found.chosen.thresholds) if found.chosen else ()
    for turn, (name, model) in enumerate(zip([*found.stages, found.fallback], models, strict=True)):
        sure = model(rows[left], batch=32).max(axis=1).astype(np.float64)
        flagged[left] = sure < found.scope.get(name, -np.inf)
        if turn < len(found.stages):
            left = left[sure < (held[turn] if held else np.inf)]
        if not len(left):
            break
    return flagged


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
