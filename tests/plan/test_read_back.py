"""A plan read back from plan.json is the plan that was run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from surefoot.core.errors import BundleError
from surefoot.core.plan import ServePlan
from surefoot.plan import read_plan
from surefoot.plan.resolved import plan_of

PLAN = """
[task]
kind = "text-classification"
name = "intents"
seed = 3
test.main = { use = "csv", path = "data/test.csv", text = "body", label = "intent" }
test.talks = { use = "csv", path = "data/test.csv", text = "body", label = "intent", group = "who" }
train = { use = "csv", path = "data/train.csv", text = "body", label = "intent" }
out_of_scope = { use = "csv", path = "data/train.csv", text = "body" }
[model]
path = "model.onnx"
max_length = 64
output = "probabilities"
[evaluate]
slices = { short = "length(body) < 40" }
shifts = ["case", { use = "typos", severity = 2.5 }]
checks = ["golden", { use = "term_swaps", swaps = [["he", "she"]] }]
seeds = 2
evidence = "hashed"
latency = { batch = [1, 8], calls = 100 }
load.peak = { scenario = "offline", seconds = 3 }
[[evaluate.envelope]]
axis = "typos"
max_drop = 0.1
[[candidate]]
name = "int8"
steps = ["quantize_dynamic", { use = "refit_head", l2 = 2 }]
seed = 7
[[candidate]]
name = "student"
steps = [{ use = "distill_static", outputs = "data/scores.csv" }]
[serve]
candidate = "int8"
fallback = "abstain"
max_error_over_fallback = 0.03
delta = 0.2
slices = ["short"]
[[budget]]
quantity = "accuracy"
max_drop = 0.01
dataset = "main"
level = 0.9
[[budget]]
quantity = "p50_ms"
at_most = 20
batch = 8
"""
SEARCH = '[search]\nminutes = 3\nsteps = ["quantize_dynamic", "distill_static"]\nfinalists = 2\n'


@pytest.fixture
def plan(tmp_path):
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    for name in ("data/test.csv", "data/train.csv", "data/scores.csv", "model.onnx"):
        (folder / name).touch()

    def read(text=PLAN):
        (folder / "surefoot.toml").write_text(text)
        return read_plan(folder / "surefoot.toml")

    return read


def stored(plan):
    """What a bundle's plan.json holds."""
    return json.loads(json.dumps(plan.resolved()))


@pytest.mark.parametrize("more", ["", SEARCH], ids=["candidates", "search"])
def test_what_was_written_is_read_back_as_it_was(plan, more):
    read = plan(PLAN + more)
    back = plan_of(stored(read), read.path.parent, read.text)
    for field in dataclasses.fields(read):
        assert getattr(back, field.name) == getattr(read, field.name), field.name
    assert stored(back) == stored(read)


def test_it_can_lie_in_another_folder(plan, tmp_path):
    read = plan()
    back = plan_of(stored(read), tmp_path / "elsewhere", read.text)
    assert stored(back) == stored(read)
    assert back.model.path == str(tmp_path / "elsewhere" / "model.onnx")
    assert back.task.test["main"]["path"] == str(tmp_path / "elsewhere" / "data" / "test.csv")
    (student,) = (r for r in back.recipes if r.name == "student")
    assert dict(student.steps[0].options)["outputs"] == str(
        tmp_path / "elsewhere" / "data" / "scores.csv"
    )


def test_files_that_are_gone_are_for_others_to_say(plan):
    read = plan()
    told = stored(read)
    for path in read.files():
        path.unlink(missing_ok=True)
    assert plan_of(told, read.path.parent, read.text).files() == read.files()


@pytest.mark.parametrize(("key", "default"), [("serve", ServePlan()), ("search", None)])
def test_an_older_bundle_that_lacks_a_table_has_its_defaults(plan, key, default):
    read = plan(PLAN + SEARCH)
    told = stored(read)
    del told[key]
    back = plan_of(told, read.path.parent, read.text)
    assert getattr(back, key) == default
    assert getattr(read, key) != default


def test_reading_changes_nothing_of_what_was_read(plan):
    told = stored(plan())
    before = json.dumps(told)
    plan_of(told, plan().path.parent, "")
    assert json.dumps(told) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("task"),
        lambda d: d.pop("budgets"),
        lambda d: d.pop("recipes"),
        lambda d: d.update(task=7),
        lambda d: d["task"].update(kind="speech"),
        lambda d: d["task"].update(odd=1),
        lambda d: d.update(budgets=[{}]),
        lambda d: d.update(recipes=[{"name": "a"}]),
        lambda d: d.update(recipes=[{"name": "a", "seed": "x", "steps": []}]),
        lambda d: d.update(recipes=7),
        lambda d: d.update(shifts=[{"use": "typos"}]),
        lambda d: d.update(shifts=[{"use": "typos", "options": [[1, 2, 3]]}]),
        lambda d: d.update(checks=["golden"]),
        lambda d: d.update(runtimes=7),
        lambda d: d.update(search={"minutes": "x"}),
        lambda d: d.update(serve={"delta": "x"}),
        lambda d: d["model"].update(output="logit"),
        lambda d: d["evaluate"].update(load={"peak": 3}),
    ],
)
def test_what_is_not_as_surefoot_writes_it_is_one_clear_error(plan, change):
    told = stored(plan())
    change(told)
    with pytest.raises(BundleError, match=r"plan.json is not as surefoot writes it: .*; run the"):
        plan_of(told, plan().path.parent, "")
