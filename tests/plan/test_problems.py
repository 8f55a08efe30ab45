"""What is wrong with a plan beyond its types: parts, names, slices, shifts, checks and budgets."""

from __future__ import annotations

import pytest

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "body", label = "intent" }
[model]
path = "model.onnx"
[evaluate]
slices = { short = "length(body) < 40" }
latency = { batch = [1, 8] }
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""
TEST = 'use="csv",path="test.csv",text="body",label="intent"'

FILE_NAME = "becomes a file name; use letters, digits, blanks and . , + = _ -"


ONE = [
    (
        f'task.train={{{TEST},by="month"}}',
        "task.train.by: only a test set is split into parts; leave it out",
    ),
    (
        'task.metric="acuracy"',
        "task.metric: no metric called 'acuracy'; did you mean 'accuracy'?",
    ),
    (
        'model.runtime="onnxruntme"',
        "model.runtime: no runtime called 'onnxruntme'; did you mean 'onnxruntime'?",
    ),
    (
        "evaluate.find_slices={dept=2}",
        "evaluate.find_slices.dept: unknown key; did you mean 'depth'?",
    ),
    (
        "evaluate.find_slices={depth=true}",
        "evaluate.find_slices.depth: should be a whole number of at least 1, found True",
    ),
    (
        "evaluate.find_slices={depth=4}",
        "evaluate.find_slices.depth: must be at most 3, found 4",
    ),
    (
        "evaluate.find_slices={least_rows=0}",
        "evaluate.find_slices.least_rows: should be a whole number of at least 1, found 0",
    ),
    (
        "evaluate.latency.batch=[]",
        "evaluate.latency.batch: empty; give the rows of a call, for example batch = [1]",
    ),
    (
        'budget[0].slice="shor"',
        "budget[0].slice: no slice called 'shor'; did you mean 'short'?",
    ),
    (
        'budget[0].dataset="class=a"',
        "budget[0].dataset: no dataset called 'class=a'; known: main",
    ),
    ('budget[0].shift="*"', "budget[0].shift: no shift called '*'; known: none"),
    (
        'budget[0]={quantity="p50_ms",at_most=3.0,batch=4}',
        "budget[0].batch: 4 is not one of evaluate.latency.batch, [1, 8]",
    ),
    (
        'budget[0]={quantity="edits",at_most=0.1}',
        "budget[0].quantity: add 'edits' to evaluate.checks, which measures it",
    ),
    (
        'candidate[0].name="a\\u202eb"',
        f"candidate[0].name: 'a\u202eb' {FILE_NAME}",
    ),
    (
        'candidate[0].name="baseline"',
        "candidate[0].name: 'baseline' is taken; choose another",
    ),
]


@pytest.mark.parametrize(("change", "said"), ONE, ids=[change[:40] for change, _ in ONE])
def test_one_slip_is_one_problem_with_its_key(problems, change, said):
    assert problems(change) == [said]


@pytest.mark.parametrize(
    "name", ["a/b", "a\\b", "../x", ".hidden", "a\nb", "a\tb", "a\0b", "<b>", "a" * 101, "a:b", "~"]
)
def test_a_name_that_no_file_should_have_is_refused(problems, name):
    escaped = name.encode("unicode_escape").decode().replace("\\x", "\\u00")
    escaped = name.replace("\\", "\\\\") if "\\" in name else escaped
    (said,) = problems(f'candidate[0].name="{escaped}"')
    assert said.startswith(f"candidate[0].name: '{name}' becomes a file name; use letters")


@pytest.mark.parametrize("name", ["int8", "int8 v2.1", "a,b+c=d_e-f", "größe", "模型", "a" * 100])
def test_a_name_that_files_may_have_is_taken(problems, name):
    assert problems(f'candidate[0].name="{name}"') == []


def test_a_part_may_be_named_where_its_set_is_split(problems):
    split = f'task.test.main={{{TEST},by="month"}}'
    assert problems(split, 'budget[0].dataset="main month=3"') == []
    assert problems('budget[0].dataset="main month=3"') == [
        "budget[0].dataset: no dataset called 'main month=3'; known: main"
    ]
    (said,) = problems(split, 'budget[0].dataset="main year=3"')
    assert said.startswith("budget[0].dataset: no dataset called 'main year=3'")


def test_a_set_that_reads_like_a_part_of_another_is_refused(problems):
    said = "task.test.main month=1: reads like a part of 'main'; choose another name"
    sets = f'task.test={{main={{{TEST}}},"main month=1"={{{TEST}}}}}'
    assert problems(sets) == [said]


def test_a_class_may_be_named_where_classes_are_slices(problems):
    wanted = 'budget[0].slice="class=refund"'
    assert problems("evaluate.class_slices=true", wanted) == []
    assert problems(wanted)[0].startswith("budget[0].slice: no slice called 'class=refund'")
    taken = 'evaluate.slices={"class=a"="true"}'
    assert problems("evaluate.class_slices=true", taken) == [
        "evaluate.slices.class=a: class_slices gives such names; choose another"
    ]
    assert problems(taken) == []


def test_every_slip_is_told_at_once_each_with_its_key(problems):
    found = problems(
        'model.path="modl.onnx"',
        'task.metric="f1"',
        'evaluate.shifts=["typo"]',
        'evaluate.checks=["edit"]',
        'candidate[0].steps=["quantize_dynamc"]',
        'budget[0].dataset="mian"',
        "search.finalists=0",
        "serve.delta=2.0",
    )
    assert {line.partition(": ")[0] for line in found} == {
        "model.path", "task.metric", "evaluate.shifts[0].use", "evaluate.checks[0].use",
        "candidate[0].steps[0].use", "budget[0].dataset", "search.finalists", "search",
        "serve.delta",
    }  # fmt: skip
    assert len(found) == 9
