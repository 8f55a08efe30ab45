"""`surefoot evaluate`: everything is measured, nothing judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import write_numbers

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b", "c", "d"], label = "label" }
[model]
path = "linear.onnx"
classes = ["x", "y", "z"]
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", head = true }]
[evaluate]
slices = { left = "a < 0" }
latency = { batch = [1], calls = 20, seconds = 2 }
"""
BUDGET = '\n[[budget]]\nquantity = "accuracy"\nmax_drop = 0.2\n'


@pytest.fixture
def folder(tmp_path, linear) -> Path:
    """A plan without a budget."""
    linear(tmp_path / "linear.onnx")
    write_numbers(tmp_path / "test.csv", 300)
    (tmp_path / "surefoot.toml").write_text(PLAN)
    return tmp_path


def uses(folder: Path) -> list[int]:
    lines = (folder / "surefoot-ledger.jsonl").read_text().splitlines()
    return [json.loads(line)["use"] for line in lines]


def finished(folder: Path) -> dict[Path, int]:
    """Every finished piece of work, with the time at which it was made."""
    kinds = ("models", "cells", "latency", "profiles")
    folders = (p for kind in kinds for p in (folder / "surefoot-run" / kind).glob("*"))
    return {p: p.stat().st_mtime_ns for p in folders}


def test_a_plan_without_budgets_is_measured_and_not_judged(cli, folder):
    said = cli("evaluate")
    assert said.code == 0, said.err
    assert not any(word in said.out for word in ("PASS", "FAIL", "INCONCLUSIVE"))
    assert "accuracy, with answers lost/won:" in said.out
    assert "main [left] (n=" in said.out
    assert "milliseconds a call" in said.out
    assert said.out.splitlines()[-1] == "nothing was judged: surefoot run does that"
    assert not (folder / "surefoot-run" / "bundle").exists()


def test_other_verbs_still_ask_for_a_budget(cli, folder):
    said = cli("run")
    assert said.code == 2
    assert "budget: none" in said.err


def test_it_shows_why_a_candidate_is_not_faster(cli, folder):
    told = json.loads(cli("evaluate", "--json").out)
    text = cli("evaluate").out
    for found in told["diagnoses"]:
        assert f"why {found['candidate']} is not shown to be faster" in text
        assert all(f"  - {reason}" in text for reason in found["reasons"])


@pytest.mark.usefixtures("quiet")
def test_a_run_afterwards_measures_nothing_again_and_spends_nothing(cli, folder):
    (folder / "surefoot.toml").write_text(PLAN + BUDGET)
    measured = cli("evaluate").out
    before = finished(folder)
    assert uses(folder) == [1]
    said = cli("run")
    assert said.code == 0, said.err
    assert finished(folder) == before
    assert uses(folder) == [1]
    assert cli("evaluate").out == measured
    assert uses(folder) == [1]
    bundle = json.loads((folder / "surefoot-run" / "bundle" / "verdict.json").read_text())
    told = json.loads(cli("evaluate", "--json").out)
    assert told["comparisons"] == bundle["comparisons"]
    assert told["latencies"] == bundle["latencies"]
    assert told["diagnoses"] == bundle["diagnoses"]


def test_a_limit_that_was_set_after_looking_is_another_use(cli, folder):
    cli("evaluate")
    (folder / "surefoot.toml").write_text(PLAN + BUDGET)
    said = cli("run")
    assert uses(folder) == [1, 2]
    assert "use 2 of these test sets" in said.out


def test_against_a_run_exits_with_what_it_found(cli, folder):
    (folder / "surefoot.toml").write_text(PLAN + BUDGET)
    assert cli("run").code == 0
    said = cli("evaluate", "--against", "surefoot-run", "--out", "here")
    assert said.code == 0, said.err
    assert said.out.startswith("SAME  0 of 2 cells moved")
    assert uses(folder) == [1]
    told = json.loads(cli("evaluate", "--against", "surefoot-run", "--out", "here", "--json").out)
    assert [cell["status"] for cell in told["cells"]] == ["same", "same"]
    (folder / "surefoot-run" / "bundle" / "environment.json").write_text("{}")
    said = cli("evaluate", "--against", "surefoot-run")
    assert said.code == 4
    assert "does not describe an environment" in said.err
    file = folder / "surefoot-run" / "bundle" / "verdict.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    said = cli("evaluate", "--against", "surefoot-run")
    assert said.code == 4
    assert "format 99" in said.err


def test_against_nothing_is_one_clear_line(cli, folder):
    said = cli("evaluate", "--against", "nowhere")
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith("surefoot: nowhere: there is no bundle")
