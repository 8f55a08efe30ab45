"""A bundle of a real run with everything in it, and with names and rows that mean harm."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from hypothesis import settings

from surefoot.bundle.encode import encode
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Paired
from surefoot.plan import read_plan
from surefoot.report.content import Content, Front
from surefoot.report.gallery import Gallery
from surefoot.report.places import PlaceLine
from surefoot.report.tables import as_table
from surefoot.run import run_plan

QUICK = settings(deadline=None, max_examples=40)
"""For properties: what a first call loads takes its time, and a machine may be busy."""
EVIL = "<script>alert(1)</script>"
CLASSES = (EVIL, "=cmd|' /C calc'!A0", "\u202etxt.exe & \x1b[31mred")
"""Markup, a formula, a mark that turns the direction of text, a control sequence."""
PLAN = f"""
[task]
name = "trees <b>"
kind = "tabular-classification"
test.main = {{ use = "csv", path = "main.csv", label = "tree", columns = ["a", "b", "c", "d"], id = "id" }}
test.far = {{ use = "csv", path = "far.csv", label = "tree", columns = ["a", "b", "c", "d"], id = "id", group = "plot" }}
[model]
path = "model.onnx"
classes = {json.dumps(CLASSES)}
[[candidate]]
name = "vino"
steps = []
runtime = "openvino"
[[candidate]]
name = "ruined"
steps = [{{ use = "quantize_dynamic", per_channel = false, head = true }}]
[evaluate]
slices = {{ left = "a < 0" }}
shifts = [{{ use = "rounding", severity = 1 }}, {{ use = "rounding", severity = 5 }}]
checks = ["finite"]
check_rows = 50
latency = {{ batch = [1, 4], calls = 40, seconds = 5 }}
load.web = {{ scenario = "single_stream", seconds = 0.3 }}
[[evaluate.envelope]]
axis = "unit_slip"
max_drop = 0.3
[[budget]]
quantity = "accuracy"
max_drop = 0.05
[[budget]]
quantity = "accuracy"
max_drop = 0.4
dataset = "main"
slice = "left"
[[budget]]
quantity = "p99_ms"
at_most = 1000
"""  # noqa: E501


@pytest.fixture(scope="session")
def rich(tmp_path_factory, linear):
    """The folder of the bundle; tests that change it copy it first."""
    import onnx

    folder = tmp_path_factory.mktemp("rich")
    proto = onnx.load(linear(folder / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[3] = 1000  # on a column of zeros: leaves the other weights no place in 8 bits
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, folder / "model.onnx")
    for seed, name in enumerate(("main", "far")):
        _write(folder / f"{name}.csv", weight, seed)
    (folder / "plan.toml").write_text(PLAN)
    bundle, _ = run_plan(read_plan(folder / "plan.toml"), folder / "run")
    return bundle.path


@pytest.fixture
def own(rich, tmp_path):
    """The same bundle at a place of the test's own."""
    return shutil.copytree(rich, tmp_path / "run" / "bundle")


@pytest.fixture
def edit():
    """Changes keys of a bundle's verdict.json."""

    def change(path, **changes):
        file = path / "verdict.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def _write(path, weight, seed):
    inputs = np.random.default_rng(seed).standard_normal((300, 4)).astype(np.float32)
    inputs[:, 3] = 0
    answers = (inputs @ weight).argmax(axis=1)
    answers[::7] = (answers[::7] + 1) % 3
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "a", "b", "c", "d", "tree", "plot"])
        for i, (row, answer) in enumerate(zip(inputs.tolist(), answers.tolist(), strict=True)):
            name = f"{EVIL}|@all `{i}`"
            writer.writerow([name, *row, CLASSES[answer], i // 5])


def compared(**changes):
    """One entry of `comparisons` in verdict.json, as the writer makes it."""
    known = {
        "candidate": "int8", "dataset": "main", "slice": None, "metric": "accuracy", "n": 1000,
        "lost": 30, "won": 10, "other": 5, "baseline": 0.9, "value": 0.88,
    }  # fmt: skip
    return encode(Paired(**known | changes))


def place_line(value=-0.02, low=-0.03, high=-0.01, **changes):
    """One candidate in one place; without a value there is no interval either."""
    ends = {"value": value, "low": low, "high": high, "level": 0.95, "n": 1000}
    known = {
        "candidate": "int8", "metric": "accuracy", "dataset": "main", "shift": "", "severity": 0.0,
        "slice": None, "n": 1000, "lost": 30, "won": 10, "baseline": 0.9, "value": 0.88,
        "delta": None if value is None else Estimate(**ends, method="Tango score"),
        "outcome": None,
    }  # fmt: skip
    return PlaceLine(**known | changes)


def report(**changes):
    """What a report says of a run that measured next to nothing: one candidate, one budget."""
    known = {
        "task": "reviews", "kind": "text-classification", "key": "ab12", "candidate": "int8",
        "baseline": "baseline", "outcome": "PASS", "line": "PASS  int8  1 of 1 budgets",
        "waivers": as_table("", (), ()), "reasons": (), "doubts": (), "standings": (),
        "places": (), "front": Front(cost="MB", gain="accuracy", limit=None, points=()),
        "timings": (), "gallery": Gallery(shown=(), counts={}, places=(), note="none"),
        "gaps": (), "remarks": (), "environment": {}, "reproduce": (),
        "data": {"calibration": None},
    }  # fmt: skip
    return Content(**known | changes)
