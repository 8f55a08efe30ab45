"""A plan as a bundle keeps it, and read back in another place."""

from __future__ import annotations

import json

import pytest

from surefoot.core.errors import BundleError
from surefoot.plan import read_plan
from surefoot.plan.resolved import plan_of

PLAN = """
[task]
kind = "text-classification"
train = { use = "csv", path = "data.csv", text = "text", label = "label" }
test.main = { use = "csv", path = "data.csv", text = "text", label = "label" }
unlabelled = { use = "csv", path = "data.csv", text = "text" }
[model]
path = "model.onnx"
tokenizer = "data.csv"
[[candidate]]
name = "static"
seed = 3
steps = [{ use = "distill_static", outputs = "sub/scores.csv" }]
[[candidate]]
name = "other"
steps = [{ use = "distill_static", outputs = "../outside.csv" }]
[search]
minutes = 1
steps = [{ use = "distill_static", outputs = "sub/scores.csv" }]
[evaluate]
shifts = [{ use = "typos", severity = 2 }]
evidence = "hashed"
load.peak = { scenario = "single_stream", seconds = 2 }
[[budget]]
quantity = "accuracy"
max_drop = 0.1
"""


@pytest.fixture
def plan(tmp_path):
    folder = tmp_path / "here"
    (folder / "sub").mkdir(parents=True)
    for name in ("data.csv", "model.onnx", "sub/scores.csv", "../outside.csv"):
        (folder / name).write_text("text,label\na,b\n")
    (folder / "surefoot.toml").write_text(PLAN)
    return read_plan(folder / "surefoot.toml")


def kept(plan):
    """As plan.json holds it."""
    return json.loads(json.dumps(plan.resolved(), default=list))


def test_no_path_of_the_machine_is_kept(plan, tmp_path):
    assert str(tmp_path) not in json.dumps(kept(plan))
    steps = [recipe["steps"][0]["options"] for recipe in kept(plan)["recipes"]]
    assert steps == [[["outputs", "sub/scores.csv"]], [["outputs", "../outside.csv"]]]
    assert kept(plan)["search_steps"][0]["options"] == [["outputs", "sub/scores.csv"]]


def test_it_comes_back_where_it_was_and_moves_with_its_folder(plan, tmp_path):
    again = plan_of(kept(plan), plan.path.parent, plan.text)
    assert again.task == plan.task
    assert again.model == plan.model
    assert (again.evaluate, again.budgets, again.shifts) == (
        plan.evaluate,
        plan.budgets,
        plan.shifts,
    )
    assert again.recipes[0] == plan.recipes[0]
    assert (again.search, again.search_steps) == (plan.search, plan.search_steps)
    assert kept(again) == kept(plan)
    moved = plan_of(kept(plan), tmp_path / "there", plan.text)
    assert moved.task.test["main"]["path"] == str(tmp_path / "there" / "data.csv")
    assert kept(moved) == kept(plan)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("task"),
        lambda data: data.update(task=[]),
        lambda data: data["task"].update(kind="haiku"),
        lambda data: data["task"].update(unheard_of=1),
        lambda data: data.update(budgets=[{"quantity": 3}]),
        lambda data: data.update(recipes=[{"name": "x"}]),
        lambda data: data["recipes"][0]["steps"][0].update(options=3),
        lambda data: data.update(runtimes=3),
    ],
    ids=range(8),
)
def test_what_is_of_another_form_is_one_clear_error(plan, change):
    data = kept(plan)
    change(data)
    with pytest.raises(BundleError, match=r"plan.json is not as surefoot writes it") as caught:
        plan_of(data, plan.path.parent, "")
    assert caught.value.fix == "run the plan again"
