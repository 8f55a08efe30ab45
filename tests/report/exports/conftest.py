"""A real bundle whose labels and names are as hostile as a plan lets them be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.release import Release
from surefoot.plan import read_plan
from surefoot.report.release import read_release
from surefoot.run import run_plan

LABELS = ("<img src=x onerror=alert(1)>", '=HYPERLINK("x")', "a|b `c`\u202egnp\x1b[31m\n---")
TASK = 'trees"\n---\ntags: [x] <b>[y](http://evil.example)'
PLAN = """
[task]
name = {task}
kind = "tabular-classification"
test.main = {{ use = "csv", path = "main.csv", label = "tree", columns = ["a", "b", "c", "d"] }}
[task.test.grouped]
use = "csv"
path = "grouped.csv"
label = "tree"
columns = ["a", "b", "c", "d"]
id = "id"
group = "author"
[model]
path = "model.onnx"
classes = {classes}
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "ruined"
steps = [{{ use = "quantize_dynamic", per_channel = false, head = true }}]
[evaluate]
slices = {{ left = "a < 0" }}
latency = {{ batch = [1], calls = 20, seconds = 10 }}
[[budget]]
quantity = "accuracy"
max_drop = 0.05
dataset = "main"
[[budget]]
quantity = "log_loss"
max_drop = 2.0
dataset = "main"
[[budget]]
quantity = "macro_f1"
at_least = 0.5
dataset = "main"
"""


def _table(path: Path, weight: np.ndarray, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((rows, 4)).astype(np.float32)
    inputs[:, 3] = 0
    scores = inputs @ weight + rng.normal(0, 0.5, (rows, 3))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "d", "tree", "id", "author"])
        for i, (row, best) in enumerate(zip(inputs.tolist(), scores.argmax(axis=1), strict=True)):
            writer.writerow([*row, LABELS[best], f"{path.stem}-{i}", f"author {i // 3}"])


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, linear) -> Path:
    """The bundle of a run: one candidate passes, one fails."""
    import onnx

    folder = tmp_path_factory.mktemp("exports")
    proto = onnx.load(linear(folder / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[3] = 1000  # on a column of zeros: leaves the other weights no place in 8 bits
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, folder / "model.onnx")
    _table(folder / "main.csv", weight, 0, 300)
    _table(folder / "grouped.csv", weight, 1, 120)
    text = PLAN.format(task=json.dumps(TASK), classes=json.dumps(LABELS))
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    made, _ = run_plan(read_plan(folder / "plan.toml"), folder / "run")
    return made.path


@pytest.fixture(scope="session")
def release(bundle: Path) -> Release:
    """The candidate that passed."""
    return read_release(bundle)


@pytest.fixture(scope="session")
def ruined(bundle: Path) -> Release:
    """The candidate that failed, whose model is not in the bundle."""
    return read_release(bundle, "ruined")
