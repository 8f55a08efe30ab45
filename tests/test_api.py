"""The same road as `surefoot run`, as Python calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import surefoot as sf
from surefoot.core.plan import LatencyPlan

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "text", label = "label", id = "id" }
[model]
path = "lexicon.onnx"
classes = ["positive", "negative"]
[[candidate]]
name = "int8"
steps = [{ use = "quantize_dynamic", per_channel = false }]
[evaluate]
latency = { batch = [1], calls = 20, seconds = 2 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
[[budget]]
quantity = "size_mb"
at_most = 1
"""
QUICK = LatencyPlan(batch=[1], calls=20, seconds=2)


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_onnx_text, text_task) -> Path:
    for name in ("lexicon.onnx", "tokenizer.json"):
        shutil.copyfile(tiny_onnx_text.parent / name, tmp_path / name)
    test = text_task.test["main"]
    # The plan names the classes in the other order, so every answer is wrong way round.
    names = np.array(test.classes)[1 - test.labels].tolist()
    rows = zip(test.inputs.tolist(), names, strict=True)
    lines = [f"{i:03},{text},{label}\n" for i, (text, label) in enumerate(rows)]
    (tmp_path / "test.csv").write_text("".join(["id,text,label\n", *lines]))
    (tmp_path / "surefoot.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_calls_lead_to_the_verdict_of_the_run(folder):
    plan = sf.read_plan("surefoot.toml")
    task, big = sf.open_task(plan)
    steps = [sf.step("quantize_dynamic", per_channel=False)]
    small = sf.compress_model(big, task, "int8", steps)
    evidence = sf.evaluate_candidates([big, small], task, latency=QUICK)
    (verdict,) = sf.gate_evidence(evidence, plan.budgets)
    bundle, new = sf.run_plan(plan, folder / "other")
    assert new
    (other,) = bundle.verdicts
    assert (verdict.candidate, verdict.outcome) == (other.candidate, other.outcome)
    # Not the intervals: a run may count how often its test rows were used, and widen them.
    assert [(f.subject, f.estimate.value) for f in verdict.findings] == [
        (f.subject, f.estimate.value) for f in other.findings
    ]
    assert sf.read_bundle(folder / "other" / "bundle").verdicts == bundle.verdicts


def test_classes_are_in_the_order_of_the_model_not_of_the_data(folder):
    task, big = sf.open_task(sf.read_plan("surefoot.toml"))
    assert big.model.signature.classes == task.classes == ("positive", "negative")
    (dataset,) = task.test.values()
    rows = (folder / "test.csv").read_text().splitlines()[1:]
    assert [task.classes[i] for i in dataset.labels] == [r.rpartition(",")[2] for r in rows]


def test_work_is_kept_beside_the_caller_or_where_the_caller_says(folder):
    plan = sf.read_plan("surefoot.toml")
    task, big = sf.open_task(plan)
    assert big.model.path.is_relative_to("surefoot-run")
    task, big = sf.open_task(plan, store=Path("mine"))
    small = sf.compress_model(big, task, "a", [sf.step("quantize_dynamic")], store=Path("mine"))
    sf.evaluate_candidates([big, small], task, latency=QUICK, store=Path("mine"))
    assert small.model.path.is_relative_to("mine")
    assert any(Path("mine/cells").iterdir())
    assert not Path("surefoot-run/cells").exists()


@pytest.mark.usefixtures("quiet")
def test_what_the_store_holds_is_not_measured_again(folder):
    task, big = sf.open_task(sf.read_plan("surefoot.toml"))
    small = sf.compress_model(big, task, "int8", [sf.step("quantize_dynamic")])
    first = sf.evaluate_candidates([big, small], task, latency=QUICK)
    work = [p for p in Path("surefoot-run").rglob("*") if p.is_file() and p.name != "lock"]
    stamps = {p: p.stat().st_mtime_ns for p in work}
    again = sf.evaluate_candidates([big, small], task, latency=QUICK)
    assert {p: p.stat().st_mtime_ns for p in work} == stamps
    assert (first.loads[0].wall_ms == again.loads[0].wall_ms).all()


def test_a_mistake_is_the_error_of_the_run(folder):
    with pytest.raises(sf.SurefootError, match="did you mean 'quantize_dynamic'"):
        sf.step("quantise_dynamic")
    task, big = sf.open_task(sf.read_plan("surefoot.toml"))
    with pytest.raises(sf.SurefootError, match="needs huggingface, but is given onnx"):
        sf.compress_model(big, task, "half", [sf.step("drop_layers", keep=1)])


def test_every_public_name_is_there_and_no_other():
    assert sorted(sf.__all__) == dir(sf)
    assert len(sf.__all__) <= 20
    for name in sf.__all__:
        assert getattr(sf, name) is not None
    with pytest.raises(AttributeError, match="module 'surefoot' has no attribute 'evaluate_all'"):
        _ = sf.evaluate_all


def test_importing_the_package_loads_no_stage():
    code = "import sys, surefoot; print([m for m in sys.modules if m.startswith('surefoot.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
