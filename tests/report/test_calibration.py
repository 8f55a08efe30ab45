"""The calibration table, held against what a run wrote beside it."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_lines
from surefoot.report.calibration import calibration_lines
from surefoot.run import run_plan

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }
calibration = { use = "csv", path = "own.csv", label = "tree", columns = ["a", "b", "c", "d"] }
out_of_scope = { use = "csv", path = "strange.csv", columns = ["a", "b", "c", "d"] }
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", head = true }]
[evaluate]
shifts = ["rounding"]
latency = { batch = [1], calls = 20, seconds = 5 }
[[budget]]
quantity = "aurc"
max_drop = 0.05
"""


def write(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["a", "b", "c", "d", "tree"], *rows])


@pytest.fixture(scope="module")
def made(tmp_path_factory, linear):
    """A run of a linear model whose labels are drawn at half its logits: it is too sure."""
    import onnx

    folder = tmp_path_factory.mktemp("calibrated")
    proto = onnx.load(linear(folder / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0])
    rng = np.random.default_rng(0)
    for name, n in (("test", 500), ("own", 300)):
        inputs = rng.standard_normal((n, 4)).astype(np.float32)
        logits = inputs @ weight / 2 + rng.gumbel(size=(n, 3))
        trees = np.array(["ash", "birch", "oak"])[logits.argmax(axis=1)]
        write(
            folder / f"{name}.csv",
            [[*row, t] for row, t in zip(inputs.tolist(), trees, strict=True)],
        )
    write(folder / "strange.csv", [[*row, ""] for row in rng.normal(size=(60, 4)) * 0.1])
    (folder / "plan.toml").write_text(PLAN)
    bundle, _ = run_plan(read_plan(folder / "plan.toml"), folder / "run")
    return bundle.path


@pytest.fixture
def told(made):
    return json.loads((made / "verdict.json").read_text())["calibration"]


def test_the_model_is_found_to_be_too_sure(told):
    estimate = told["temperatures"]["baseline"]["estimate"]
    assert 1 < estimate["low"] < 2 < estimate["high"]
    assert (told["rows"], estimate["n"]) == (300, 300)
    assert [(p["candidate"], p["shift"]) for p in told["places"]] == [
        ("baseline", ""), ("baseline", "rounding"), ("int8", ""), ("int8", "rounding"),
    ]  # fmt: skip
    for place in told["places"]:
        before, after = (place[key]["figures"] for key in ("before", "after"))
        assert after["log_loss"]["value"] < before["log_loss"]["value"]
        assert before["out_of_scope_auc"]["low"] > 0.5


def test_the_table_says_what_verdict_json_says(made, told):
    lines = bundle_lines(made)
    start = lines.index("calibration, before -> at a temperature fitted on 300 calibration rows:")
    shown = {line.split()[1]: re.split(r"  +", line) for line in lines[start + 3 : start + 5]}
    assert list(shown) == ["baseline", "int8"]
    for place in (p for p in told["places"] if not p["shift"]):
        row, before, after = shown[place["candidate"]], place["before"], place["after"]
        ece = [part["figures"]["ece"]["value"] for part in (before, after)]
        assert re.findall(r"(\d\.\d+) \[", row[3]) == [f"{value:.3f}" for value in ece]
        loss = [f"{part['figures']['log_loss']['value']:.3f}" for part in (before, after)]
        assert row[4] == " -> ".join(loss)
        assert row[5].startswith(f"{before['figures']['aurc']['value']:.3f} [")
        assert row[6] == f"{100 * before['curve'][7]['accuracy']['value']:.1f} %"
        assert row[7] == f"{before['figures']['out_of_scope_auc']['value']:.3f}"
    assert lines[start + 5] == "verdict.json has 2 more, under shifts"


def test_neither_calibration_nor_strange_rows_become_cells(made):
    names = {f.name for f in made.glob("cells/*/*.parquet")}
    assert names == {"main.parquet", "main+rounding-1.parquet"}


def test_without_calibration_rows_the_title_says_so(told):
    for place in told["places"]:
        place["after"] = None
    for temperature in told["temperatures"].values():
        temperature["fitted"] = False
    lines = calibration_lines(told | {"rows": 0})
    assert lines[0].startswith("calibration (no calibration rows, so no temperature")
    assert "->" not in "".join(lines)
    assert re.split(r"  +", lines[3])[2] == "none"


def test_nothing_measured_is_no_table():
    assert calibration_lines(None) == []
