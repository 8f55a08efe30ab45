"""What a plan may say of slices and parts, and what is wrong with it."""

import pytest

from surefoot.core.errors import PlanError
from surefoot.core.plan import SliceSearchPlan
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "tabular-classification"
test.flights = { use = "csv", path = "d.csv", label = "late", columns = ["a"], by = "month" }
test.trains = { use = "csv", path = "d.csv", label = "late", columns = ["a"] }
[model]
path = "m.onnx"
[evaluate]
slices = { left = "a < 0" }
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d.csv").write_text("a,late,month\n1,x,1\n")
    (tmp_path / "m.onnx").touch()
    (tmp_path / "p.toml").write_text(PLAN)
    return tmp_path


def problems(folder, *overrides):
    with pytest.raises(PlanError) as error:
        read_plan(folder / "p.toml", overrides)
    return list(error.value.problems)


@pytest.mark.parametrize(
    "overrides",
    [
        ['budget[0].dataset="flights"'],
        ['budget[0].dataset="flights month=7"'],
        ["evaluate.class_slices=true", 'budget[0].slice="class=x"'],
        ["evaluate.class_slices=true", "evaluate.slices={}", 'budget[0].slice="*"'],
        ["evaluate.find_slices=true"],
        ["evaluate.find_slices={ depth = 3, least_rows = 20 }"],
    ],
)
def test_what_only_the_data_can_tell_is_left_to_them(folder, overrides):
    assert read_plan(folder / "p.toml", overrides).budgets


def test_the_search_for_slices_has_defaults(folder):
    def asked(*overrides):
        return read_plan(folder / "p.toml", overrides).slice_search()

    assert asked() is None
    assert asked("evaluate.find_slices=false") is None
    assert asked("evaluate.find_slices=true") == SliceSearchPlan()
    assert asked("evaluate.find_slices={}") == SliceSearchPlan()
    assert asked("evaluate.find_slices={ depth = 1 }") == SliceSearchPlan(depth=1, least_rows=50)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('budget[0].dataset="trains month=1"', "budget[0].dataset: no dataset called 'trains mon"),
        ('budget[0].slice="class=x"', "budget[0].slice: no slice called 'class=x'"),
        ("task.test.flights.by=1", "task.test.flights.by: should be text, found 1"),
        ("evaluate.class_slices=1", "evaluate.class_slices: should be true or false, found 1"),
        ("evaluate.find_slices='yes'", "evaluate.find_slices: should be true or false or a table"),
        ("evaluate.find_slices.dept=1", "find_slices.dept: unknown key; did you mean 'depth'?"),
        ("evaluate.find_slices.depth=4", "find_slices.depth: must be at most 3, found 4"),
        ("evaluate.find_slices.depth=true", "should be a whole number of at least 1, found True"),
        ("evaluate.find_slices.least_rows=0", "should be a whole number of at least 1, found 0"),
        (
            "task.train={ use='csv', path='d.csv', label='late', columns=['a'], by='month' }",
            "task.train.by: only a test set is split into parts; leave it out",
        ),
    ],
)
def test_problems_are_said_with_their_key(folder, override, said):
    found = problems(folder, override)
    assert len(found) == 1, found
    assert said in found[0]


def test_names_that_read_like_parts_are_refused(folder):
    source = '= { use = "csv", path = "d.csv", label = "late", columns = ["a"] }\n'
    text = PLAN.replace("[model]", f'test."flights x=1" {source}[model]')
    (folder / "p.toml").write_text(text)
    assert problems(folder) == [
        "task.test.flights x=1: reads like a part of 'flights'; choose another name"
    ]
    by = source.replace(" }", ', by = "month" }')
    (folder / "p.toml").write_text(PLAN.replace("[model]", f'test."trains late" {by}[model]'))
    assert problems(folder) == [
        "task.test.trains late: reads like a part of 'trains'; choose another name"
    ]


def test_names_that_class_slices_take_are_refused(folder):
    text = PLAN.replace("left =", '"class=a" =')
    (folder / "p.toml").write_text(text)
    assert read_plan(folder / "p.toml")
    assert "class_slices gives such names" in problems(folder, "evaluate.class_slices=true")[0]
