"""A search on a real small model: what it tries, records and chooses; again, and after a kill."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tests.test_run import write_rows

from surefoot.bundle import read_bundle
from surefoot.core.errors import PlanError
from surefoot.core.evidence import Budget
from surefoot.plan import read_plan
from surefoot.report.bundle import bundle_lines
from surefoot.run import run_plan
from surefoot.search.find import lean, margin

PLAN = """
[task]
kind = "text-classification"
train = { use = "csv", path = "train.csv", text = "text", label = "label" }
test.main = { use = "csv", path = "test.csv", text = "text", label = "label", id = "id" }

[model]
path = "bert"

[search]
minutes = 5
steps = ["quantize_dynamic", "refit_head", { use = "distill_static", dim = 8, epochs = 2 }]

[evaluate]
latency = { batch = [1], calls = 30, seconds = 5 }

[[budget]]
quantity = "accuracy"
max_drop = 0.2
"""


@pytest.fixture
def folder(tmp_path, tiny_bert, text_task):
    classes = list(json.loads((tiny_bert / "config.json").read_text())["id2label"].values())
    names, test = np.array(classes), text_task.test["main"]
    write_rows(tmp_path / "train.csv", text_task.train.inputs, names[text_task.train.labels])
    write_rows(tmp_path / "test.csv", test.inputs, names[test.labels])
    shutil.copytree(tiny_bert, tmp_path / "bert")
    (tmp_path / "surefoot.toml").write_text(PLAN)
    return tmp_path


@pytest.mark.slow
def test_a_search_finds_records_and_reports(folder, quiet):
    plan = read_plan(folder / "surefoot.toml")
    bundle, did = run_plan(plan, folder / "run")
    assert did
    found = json.loads((bundle.path / "verdict.json").read_text())["search"]
    trials = {trial["name"]: trial for trial in found["trials"]}
    assert {"free", "quantise", "shrink"} <= {trial["round"] for trial in found["trials"]}
    assert all(trial["reason"] for trial in trials.values() if trial["gain"] is None)
    assert found["finalists"] == [v.candidate for v in read_bundle(bundle.path).verdicts]
    assert {v.tried for v in bundle.verdicts} == {found["tried"]}
    assert found["tried"] == sum(trial["gain"] is not None for trial in found["trials"])
    # The front is in order: who costs more gains more.
    front = [trials[name] for name in found["front"]]
    assert [t["cost"] for t in front] == sorted(t["cost"] for t in front)
    assert {one["kind"] for one in found["ablation"]} >= {"option"}
    text = "\n".join(bundle_lines(bundle.path))
    assert "chosen, not proved" in text
    assert run_plan(plan, folder / "run") == (bundle, False)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(folder):
    command = [sys.executable, "-c", "from surefoot.cli import main; main()"]
    arguments = [*command, "run", str(folder / "surefoot.toml"), "--out", str(folder / "run")]
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    models = folder / "run" / "models"
    deadline = time.monotonic() + 300
    while len(list(models.glob("*")) if models.exists() else ()) < 3:
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    made = {path.name: path.stat().st_mtime_ns for path in models.glob("*")}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 3), done.stderr
    assert {name: (models / name).stat().st_mtime_ns for name in made} == made


def test_a_search_needs_rows_to_choose_on(folder):
    text = PLAN.replace("train = {", "calibration = {")
    (folder / "surefoot.toml").write_text(text)
    with pytest.raises(PlanError, match="search: needs rows to choose on"):
        read_plan(folder / "surefoot.toml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("minutes = 0", "search.minutes: must be above 0, found 0"),
        ('steps = ["quantise_dynamic"]', "did you mean 'quantize_dynamic'"),
        ('steps = ["refit_head", "refit_head"]', "'refit_head' is given twice"),
        ("worth = 1.0", "search.worth: must be at least 0 and below 1"),
        ("finalists = 0", "search.finalists: must be 1 to 20, found 0"),
        ("minuets = 5", "search.minuets: unknown key; did you mean 'minutes'"),
    ],
)
def test_a_wrong_search_table_is_explained(folder, change, problem):
    start, _, rest = PLAN.partition("[search]")
    tail = rest[rest.index("[evaluate]") :]
    (folder / "surefoot.toml").write_text(f"{start}[search]\n{change}\n\n{tail}")
    with pytest.raises(PlanError) as error:
        read_plan(folder / "surefoot.toml")
    assert problem in str(error.value)


def test_lean_is_what_the_first_budget_on_time_or_size_says():
    drop = Budget(quantity="accuracy", max_drop=0.02)
    assert lean([drop]) == (1, "median latency at batch 1")
    assert lean([drop, Budget(quantity="size_mb", at_most=3)]) == (1, "size_mb")
    fast = Budget(quantity="speedup", at_least=2, batch=32)
    assert lean([drop, fast]) == (32, "median latency at batch 32")


def test_the_margin_is_the_smallest_drop_allowed_on_all_rows():
    whole = Budget(quantity="accuracy", max_drop=0.02)
    sliced = Budget(quantity="accuracy", max_drop=0.001, slice="short")
    assert margin([sliced, whole]) == 0.02
    assert margin([Budget(quantity="size_mb", at_most=3)]) == 0.01
