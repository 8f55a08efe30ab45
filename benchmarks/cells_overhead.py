"""What filling cells costs over a bare ONNX Runtime loop on the same rows, side by side.

    python benchmarks/cells_overhead.py MODEL_FOLDER DATA.csv TEXT_COLUMN LABEL_COLUMN

MODEL_FOLDER is a model in a bundle (`surefoot-run/bundle/models/NAME`). The bare loop tokenises,
orders rows by length, pads, calls `session.run` and takes the argmax; surefoot's path checks,
stores and reads back cells as well. The two take turns; printed is the median of the ratios of
wall and of CPU time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from surefoot.core.dataset import Dataset
from surefoot.core.model import Candidate, Model, Recipe
from surefoot.data import read
from surefoot.evaluate import fill_cells
from surefoot.evaluate.cells import THREADS
from surefoot.models import read_model
from surefoot.store import Store

TURNS, BATCH = 7, 32


def bare(model: Model, texts: list[str], threads: int) -> np.ndarray:
    """The loop somebody writes by hand."""
    tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
    tokenizer.enable_truncation(model.signature.max_length or 512)
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model.path / model.file), options)
    rows = [row.ids for row in tokenizer.encode_batch_fast(texts)]
    order = np.argsort([-len(row) for row in rows], kind="stable")
    predicted = np.empty(len(rows), np.int64)
    names = [i.name for i in session.get_inputs()]
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        ids = np.zeros((len(chosen), max(1, len(rows[chosen[0]]))), np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(chosen):
            ids[i, : len(rows[row])] = rows[row]
            mask[i, : len(rows[row])] = 1
        every = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        logits = session.run(None, {name: every[name] for name in names})[0]
        predicted[chosen] = logits.argmax(axis=1)
    return predicted


def filled(model: Model, data: Dataset) -> np.ndarray:
    """The same rows through surefoot, from opening the model to the cell read back from disk."""
    candidate = Candidate(
        name="model", model=model, runtime="onnxruntime", recipe=Recipe(name="model")
    )
    with tempfile.TemporaryDirectory() as folder:
        (cell,) = fill_cells(candidate, {"test": data}, Store(Path(folder)), batch=BATCH)
    return cell.predicted


def main(folder: str, path: str, text: str, label: str) -> None:
    """Print the ratios."""
    model = read_model(Path(folder))
    options = {"path": path, "text": text, "label": label}
    data = read("csv", options, name="test", slices={})
    walls, cpus = [], []
    for _ in range(TURNS):
        times = []
        for work in (
            lambda: filled(model, data),
            lambda: bare(model, data.inputs.tolist(), THREADS),
        ):
            wall, cpu = time.perf_counter(), time.process_time()
            predicted = work()
            times.append((time.perf_counter() - wall, time.process_time() - cpu, predicted))
        (ours, ours_cpu, a), (theirs, theirs_cpu, b) = times
        assert (a == b).all(), "the two loops disagree"
        walls.append(ours / theirs)
        cpus.append(ours_cpu / theirs_cpu)
    print(
        f"{len(data)} rows, {TURNS} turns: wall {statistics.median(walls):.3f}x"
        f" ({min(walls):.3f} to {max(walls):.3f}), CPU {statistics.median(cpus):.3f}x"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
