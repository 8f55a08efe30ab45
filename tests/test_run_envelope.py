"""`surefoot run` on a plan with envelopes: what the bundle holds and the report says."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a", "b", "c", "d"] }
[model]
path = "model.onnx"
classes = ["ash", "birch", "oak"]
[evaluate]
latency = { batch = [1], calls = 20, seconds = 2 }
[[evaluate.envelope]]
axis = "unit_slip"
max_drop = 0.04
[[evaluate.envelope]]
axis = "batch"
at_most = 1000
up_to = 4
seconds = 0.5
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "ruined"
steps = [{ use = "quantize_dynamic", per_channel = false, head = true }]
[[budget]]
quantity = "flips"
at_most = 0.3
"""

NOWHERE = {True: "fails from the start", False: "is not shown to hold anywhere"}


@pytest.fixture
def folder(tmp_path, linear):
    """A linear model with one weight that leaves the others little place in 8 bits."""
    import onnx

    proto = onnx.load(linear(tmp_path / "model.onnx"))
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weight[3] = 150
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, tmp_path / "model.onnx")
    inputs = np.random.default_rng(0).standard_normal((2_500, 4)).astype(np.float32)
    inputs[:, 3] = 0
    labels = np.array(["ash", "birch", "oak"])[(inputs @ weight).argmax(axis=1)]
    with (tmp_path / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "d", "tree"])
        writer.writerows([*row, label] for row, label in zip(inputs.tolist(), labels, strict=True))
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path


def envelopes(folder):
    found = json.loads((folder / "surefoot-run/bundle/verdict.json").read_text())["envelopes"]
    return {(one["axis"], one["candidate"]): one for one in found}


@pytest.mark.usefixtures("quiet")
def test_what_fails_first_stands_below_the_verdict(cli, folder):
    said = cli("run", "plan.toml")
    assert said.code in (0, 1, 3), said.err
    first, second, *lines = said.out.splitlines()
    assert first == lines[-1]
    found = envelopes(folder)
    baseline, same, ruined = (found["unit_slip", n] for n in ("baseline", "same", "ruined"))
    for key in ("holds_to", "fails_at", "estimate"):
        assert same[key] == baseline[key]
    assert ruined["ratio"]["high"] < 1
    assert second == (
        f"fails first: unit_slip: ruined holds to {ruined['holds_to']:.3g},"
        f" baseline to {baseline['holds_to']:.3g}"
        if ruined["holds_to"] is not None
        else f"fails first: unit_slip: ruined {NOWHERE[ruined['fails_at'] == 0]},"
        f" baseline holds to {baseline['holds_to']:.3g}"
    )
    table = next(i for i, line in enumerate(lines) if line.startswith("how far each holds"))
    assert lines[table + 3].startswith("unit_slip on main, drop at most 4 pp  baseline  ")
    assert set(found) == {
        (axis, name) for axis in ("unit_slip", "batch") for name in ("baseline", "same", "ruined")
    }
    assert cli("run", "plan.toml").out == f"{first}\n"  # nothing is left to do
    assert cli("gate", "plan.toml").out == said.out


def test_a_killed_run_asks_nothing_again(folder):
    """SIGKILL while rows are asked: what was kept stays as it is, and the end is the same."""
    command = [sys.executable, "-m", "surefoot", "run", "plan.toml"]
    kept = folder / "surefoot-run" / "envelope"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=folder, **quiet)
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if kept.exists() and len(list(kept.iterdir())) >= 3:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert before
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(kept.iterdir())) > len(before)
    assert envelopes(folder)["unit_slip", "same"]["holds_to"] is not None
