"""`surefoot gate`: the verdict of a finished run, and the gate's test of itself."""

import json
import shutil

import numpy as np
import pytest
from tests.conftest import write_answered

from surefoot.core.evidence import Plant
from surefoot.report.selftest import selftest_lines

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "same"
steps = []
[evaluate]
slices = { high = "a > 0" }
latency = { batch = [4], calls = 200, seconds = 5 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
"""


@pytest.fixture
def folder(tmp_path, linear):
    """A plan whose labels are what its model answers, but for a tenth of the rows."""
    linear(tmp_path / "linear.onnx")
    write_answered(tmp_path / "test.csv", tmp_path / "linear.onnx", np.random.default_rng(0), 400)
    (tmp_path / "surefoot.toml").write_text(PLAN)
    return tmp_path


def test_every_planted_regression_is_seen_and_nothing_else(cli, folder):
    said = cli("gate", "--selftest", "--json")
    plants = {plant["what"]: plant for plant in json.loads(said.out)}
    nothing, *others = plants.values()
    assert said.code == 0, said.err
    assert nothing["found"] == "PASS"
    assert (nothing["finding"]["paired"]["lost"], nothing["finding"]["paired"]["won"]) == (0, 0)
    found = {what: plant["found"] for what, plant in plants.items() if plant is not nothing}
    # On a noisy machine the delay alone may be left out, and then it says so.
    noisy = {what for what in found if "too noisy" in found[what]}
    assert all("delay" in what for what in noisy)
    outcomes = {found[what].partition(":")[0] for what in found.keys() - noisy}
    assert outcomes == {"FAIL", "refused"}
    assert len(others) == len(found)
    assert any("shuffled: high" in what for what in plants)
    assert any("flipped bits in" in what for what in plants)
    assert any("delay" in what for what in plants)
    assert not (folder / "surefoot-run" / "selftest").exists()
    assert not (folder / "surefoot-ledger.jsonl").exists()  # no verdict was asked for


def test_too_few_rows_to_see_a_regression_fail_loudly(cli, folder):
    lines = (folder / "test.csv").read_text().splitlines(keepends=True)
    (folder / "test.csv").write_text("".join(lines[:9]))
    said = cli("gate", "--selftest")
    assert said.code == 1
    first, *_, last = said.out.splitlines()
    assert first == last
    assert first.startswith("FAIL  gate selftest")
    assert "INCONCLUSIVE" in first


def test_the_gate_shows_what_a_run_found_and_measures_nothing(cli, folder):
    ran = cli("run")
    shown = cli("gate")
    assert (shown.code, shown.out) == (ran.code, ran.out)
    assert json.loads(cli("gate", "--json").out)["verdicts"]


def test_without_a_finished_run_there_is_nothing_to_show(cli, folder):
    said = cli("gate")
    assert said.code == 2
    assert "no finished run of this plan" in said.err
    assert "run it: surefoot run surefoot.toml" in said.err


def test_a_run_of_another_plan_is_not_shown(cli, folder):
    cli("run")
    text = (folder / "surefoot.toml").read_text()
    (folder / "surefoot.toml").write_text(text.replace("max_drop = 0.1", "max_drop = 0.2"))
    assert cli("gate").code == 2
    shutil.rmtree(folder / "surefoot-run")
    assert cli("gate").code == 2


def test_a_missed_regression_is_the_first_and_last_line():
    plants = [
        Plant(what="nothing", expected="no FAIL", found="PASS", seen=True),
        Plant(what="a delay", expected="FAIL", found="PASS", seen=False),
    ]
    lines = selftest_lines(plants)
    assert lines[0] == lines[-1]
    assert lines[0] == "FAIL  gate selftest  1 of 2 not as expected: a delay: PASS"
    assert any(line.startswith("NO ") for line in lines)


def test_evidence_that_does_not_fit_is_exit_code_4(cli, folder):
    """Other than none at all, or that of another plan, which is a mistake of the call."""
    assert cli("run").code in (0, 3)
    bundle = folder / "surefoot-run" / "bundle"
    kept = {name: (bundle / name).read_text() for name in ("environment.json", "verdict.json")}
    text = (folder / "test.csv").read_text()
    (folder / "test.csv").write_text(text + "1,1,1,1,x\n")
    said = cli("gate")
    assert said.code == 4
    assert "a file or a plugin that the plan uses has changed since the run; run it" in said.err
    (folder / "test.csv").write_text(text)
    there = json.loads(kept["environment.json"])
    there["cpu_flags"] = ["neon"]
    there["libraries"]["onnxruntime"] = "1.2.3"
    (bundle / "environment.json").write_text(json.dumps(there))
    (bundle / "verdict.json").write_text(kept["verdict.json"].replace('"key": "', '"key": "f'))
    said = cli("gate")
    assert said.code == 4
    assert "it was run with " in said.err
    assert " more; run it: surefoot run surefoot.toml" in said.err
    newer = json.dumps({**json.loads(kept["verdict.json"]), "format": 99})
    (bundle / "verdict.json").write_text(newer)
    said = cli("gate")
    assert said.code == 4
    assert "format 99 of verdict.json" in said.err
    for name, content in kept.items():
        (bundle / name).write_text(content)
    assert cli("gate").code in (0, 3)
