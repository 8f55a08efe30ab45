"""What filling the cells of many shifts costs over a bare loop of the same inferences, in turns.

    python benchmarks/matrix_overhead.py RUN DATA.csv TEXT_COLUMN LABEL_COLUMN [ROWS]

RUN is a finished run of a text task (`surefoot-demo/sentiment/surefoot-run`); its small ONNX
candidates take part. 36 sets, six shifts at six severities, are measured: by surefoot, from the
texts as they came to cells on the disk; and by the loop that somebody writes by hand over texts
that were shifted beforehand, which tokenises, orders by length, pads, runs and takes the argmax.
The loop runs in one process with a thread for each CPU, and cut in as many processes as there are
CPUs. Printed are wall seconds, their ratios, and the memory of all processes at their peaks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cells_overhead import BATCH, bare

from surefoot.core.dataset import ConfirmationSet
from surefoot.core.model import Candidate, Model, Recipe, StepCall
from surefoot.data import read
from surefoot.evaluate import Filling, fill_matrix, under_shifts
from surefoot.models import read_model
from surefoot.store import Store

CANDIDATES = ("int8-per-channel", "int8-per-tensor", "int8-refitted", "static", "linear")
SHIFTS = ("typos", "ocr", "case", "truncate", "confusables", "words")
SEVERITIES = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)


def loop(models: list[Model], sets: list[list[str]], threads: int) -> list[list[np.ndarray]]:
    """Every model on every set."""
    return [[bare(model, texts, threads) for model in models] for texts in sets]


def found(run: Path) -> dict[str, Candidate]:
    """The candidates of a run, by the fingerprints that its verdict names."""
    listed = json.loads((run / "bundle" / "verdict.json").read_text())["candidates"]
    wanted = {c["fingerprint"]: c["name"] for c in listed if c["name"] in CANDIDATES}
    models = (read_model(path.parent) for path in run.glob("models/*/model.onnx"))
    return {
        wanted[m.fingerprint]: Candidate(
            name=wanted[m.fingerprint], model=m, runtime="onnxruntime", recipe=Recipe(name="")
        )
        for m in models
        if m.fingerprint in wanted
    }


def main(run: str, path: str, text: str, label: str, rows: str = "3000") -> None:
    """Print the three times."""
    data = read("csv", {"path": path, "text": text, "label": label}, name="rows", slices={})
    data = data.rows(np.arange(min(int(rows), len(data))))
    base = ConfirmationSet(data)
    calls = [StepCall(use=use, options=(("severity", s),)) for use in SHIFTS for s in SEVERITIES]
    sets = under_shifts({"rows": base}, calls)
    del sets["rows"]
    candidates, cpus = found(Path(run)), os.cpu_count() or 1
    models = [c.model for c in candidates.values()]
    print(f"{len(sets)} sets x {len(models)} candidates x {len(data):,} rows")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        filled = fill_matrix(candidates, sets, Filling(store=Store(Path(folder)), batch=BATCH))
        ours = time.perf_counter() - began
    # The peak of this process, and of the largest of its children.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    texts = [one.inputs.tolist() for one in sets.values()]
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(cpus) as pool:
        parts = [pool.apply_async(loop, (models, texts[i::cpus], 1)) for i in range(cpus)]
        cut = [part.get() for part in parts]
    many = time.perf_counter() - began
    began = time.perf_counter()
    loop(models, texts[::6], cpus)  # a sixth of the sets, every one of the shifts
    one = (time.perf_counter() - began) * 6
    for i, name in enumerate(candidates):
        same = [
            (filled.cells[name][j].predicted == cut[j % cpus][j // cpus][i]).mean()
            for j in range(len(sets))
        ]
        print(f"{name}: {np.mean(same):.4%} of the answers agree with the loop's")
    print(f"surefoot {ours:.1f} s; peak {peak:.0f} MB and {child:.0f} MB in each other process")
    print(
        f"bare loop, {cpus} processes {many:.1f} s: surefoot takes {ours / many:.3f} times as long"
    )
    print(f"bare loop, {cpus} threads: {one:.1f} s (from a sixth); surefoot {ours / one:.3f} of it")


if __name__ == "__main__":
    main(*sys.argv[1:])
