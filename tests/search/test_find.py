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
        ("minutes = 10081", "search.minutes: "),
        ("minutes = nan", "search.minutes: must be above 0, found nan"),
        ("worth = -0.1", "search.worth: must be at least 0 and below 1, found -0.1"),
        ("worth = nan", "search.worth: must be at least 0 and below 1, found nan"),
        ("finalists = 21", "search.finalists: must be 1 to 20, found 21"),
        ("finalists = 1.5", "search.finalists: "),
        ('steps = [{ use = "refit_head", l3 = 1.0 }]', "search.steps[0].l3: unknown option"),
        ('steps = [{ use = "refit_head", l2 = "much" }]', "search.steps[0].l2: should be"),
        ("steps = [{ l2 = 1.0 }]", "search.steps[0].use: missing"),
        ('steps = [{ use = "distill", outputs = "no.npy" }]', "no such file: 'no.npy'"),
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


def test_every_mistake_in_a_search_table_is_told_at_once(folder):
    wrong = '[search]\nminutes = 0\nworth = 2.0\nfinalists = 0\nsteps = ["x", "refit_head"]'
    (folder / "surefoot.toml").write_text(PLAN.replace("[search]", wrong.partition("]")[0] + "]"))
    start, _, rest = PLAN.partition("[search]")
    (folder / "surefoot.toml").write_text(f"{start}{wrong}\n{rest[rest.index('[evaluate]') :]}")
    with pytest.raises(PlanError) as error:
        read_plan(folder / "surefoot.toml")
    for key in ("search.minutes", "search.worth", "search.finalists", "search.steps[0].use"):
        assert key in str(error.value)


def test_options_that_the_grammar_gives_need_not_be_in_a_plan(folder):
    """`drop_layers` needs `keep` in a recipe; a search tries several."""
    start, _, rest = PLAN.partition("[search]")
    table = '[search]\nsteps = ["drop_layers"]'
    (folder / "surefoot.toml").write_text(f"{start}{table}\n{rest[rest.index('[evaluate]') :]}")
    plan = read_plan(folder / "surefoot.toml")
    assert [(call.use, call.options) for call in plan.search_steps] == [("drop_layers", ())]
    assert plan.recipes == ()  # no candidate by default where a search finds them


@pytest.mark.parametrize(
    ("budgets", "allowed"),
    [
        ([], 0.01),
        ([Budget(quantity="accuracy", max_drop=0.02, level=0.8)], 0.02),
        ([Budget(quantity="accuracy", max_drop=0.02, dataset="main")], 0.02),
        ([Budget(quantity="accuracy", max_drop=0.02, shift="typos")], 0.01),
        ([Budget(quantity="macro_f1", max_drop=0.03)], 0.03),
        ([Budget(quantity="accuracy", at_least=0.9)], 0.01),
    ],
)
def test_budgets_give_a_margin_whatever_their_level(budgets, allowed):
    assert margin(budgets) == allowed


def test_a_budget_under_load_says_nothing_of_single_calls():
    loaded = Budget(quantity="p99_ms", at_most=9, batch=8, load="peak")
    assert lean([loaded]) == (1, "median latency at batch 1")
    assert lean([loaded, Budget(quantity="size_mb", at_most=3)]) == (1, "size_mb")
