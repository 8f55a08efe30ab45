"""What a plan tells of itself: its sets, files, requests and the search for slices."""

from __future__ import annotations

from pathlib import Path

import pytest

from surefoot.core.budget import contradictions, problems
from surefoot.core.evidence import Budget
from surefoot.core.model import StepCall
from surefoot.core.plan import (
    EvaluatePlan,
    LoadPlan,
    ModelPlan,
    Plan,
    SliceSearchPlan,
    TaskPlan,
)

CSV = {"use": "csv", "path": "/home/x/data/a.csv", "columns": ["a", "b"], "label": "c"}


def plan(evaluate=None, budgets=(), checks=(), **task):
    told = {"kind": "tabular-classification", "test": {"main": CSV}}
    return Plan(
        path=Path("/home/x/surefoot.toml"),
        task=TaskPlan(**(told | task)),
        model=ModelPlan(path="/home/x/../y/model.onnx", tokenizer="/home/x/t.json"),
        recipes=(),
        runtimes={},
        evaluate=evaluate or EvaluatePlan(),
        shifts=(),
        checks=tuple(StepCall(use=use) for use in checks),
        budgets=tuple(budgets),
        text="",
    )


def test_every_set_that_the_plan_names_is_a_source_by_its_name():
    own = dict.fromkeys(("train", "calibration", "out_of_scope"), CSV)
    task = plan(**own).task
    assert list(task.sources()) == ["train", "calibration", "out_of_scope", "main"]
    assert list(plan().task.sources()) == ["main"]


def test_columns_are_told_where_a_source_names_them():
    text = {"use": "csv", "path": "b.csv", "text": "body", "label": "c"}
    assert plan(test={"main": CSV, "other": text}).task.columns() == {"main": ["a", "b"]}


def test_each_file_of_data_is_listed_once():
    other = {**CSV, "path": "/home/x/b.csv"}
    nowhere = {"use": "hf_dataset", "name": "x"}
    read = plan(test={"main": CSV, "far": other, "hub": nowhere}, train=CSV)
    assert read.files() == (Path(CSV["path"]), Path("/home/x/b.csv"))


def test_paths_are_told_from_the_folder_of_the_plan():
    told = plan(train=CSV).resolved()
    assert told["task"]["train"]["path"] == told["task"]["test"]["main"]["path"] == "data/a.csv"
    assert told["model"]["path"] == "../y/model.onnx"
    assert told["model"]["tokenizer"] == "t.json"
    assert not {"text", "path"} & set(told)
    assert CSV["path"] == "/home/x/data/a.csv"  # what was given is not changed


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (False, None),
        (True, SliceSearchPlan()),
        ({}, SliceSearchPlan()),
        ({"depth": 3}, SliceSearchPlan(depth=3)),
        ({"least_rows": 7}, SliceSearchPlan(least_rows=7)),
    ],
)
def test_slices_are_looked_for_only_if_asked_for(asked, found):
    assert plan(EvaluatePlan(find_slices=asked)).slice_search() == found


def test_the_metrics_are_the_tasks_own_and_those_of_budgets_but_no_check():
    budgets = [Budget(quantity=q, at_most=0.1) for q in ("ece", "golden", "p99_ms", "lost", "ece")]
    assert plan(budgets=budgets, checks=["golden"], metric="auc").metrics() == ("auc", "ece")


@pytest.mark.parametrize(
    ("scenario", "batch", "rows"),
    [("server", None, 1), ("single_stream", None, 1), ("multi_stream", None, 8),
     ("offline", None, 32), ("offline", 5, 5), ("server", 4, 4)],
)  # fmt: skip
def test_rows_a_request_are_as_given_or_as_usual(scenario, batch, rows):
    assert LoadPlan(scenario=scenario, batch=batch).rows == rows


@pytest.mark.parametrize(
    ("rate", "seconds", "requests"),
    [(None, 30.0, None), (50.0, 30.0, 1500), (0.01, 1.0, 1), (2.5, 3.0, 8), (1e-9, 1e-9, 1)],
)
def test_requests_are_the_rate_times_the_seconds_and_at_least_one(rate, seconds, requests):
    load = LoadPlan(scenario="server", target_qps=rate, seconds=seconds)
    assert load.requests == requests


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quantity": "rows_per_s", "at_least": 5.0, "load": "peak", "batch": 8},
         "batch: the load says how many rows a request has; leave batch out"),
        ({"quantity": "size_mb", "at_most": 5.0, "load": "peak"},
         "load: 'size_mb' is not measured under load; known: p50_ms, p90_ms, p99_ms, rows_per_s"),
        ({"quantity": "speedup", "at_least": -1.0}, "at_least: must be above 0, found -1.0"),
        ({"quantity": "lost", "at_most": 1.0}, "at_most: must be between 0 and 1, found 1.0"),
        ({"quantity": "p99_ms", "at_most": float("inf")}, "at_most: must be above 0, found inf"),
        ({"quantity": "cpu_hours", "at_least": 1.0}, "at_least: 'cpu_hours' takes at_most"),
        ({"quantity": "p50_ms", "at_most": 1.0, "shift": "*"},
         "shift: 'p50_ms' is the same everywhere; leave shift out"),
        ({"quantity": "speed_up", "at_least": 1.0},
         "quantity: 'speed_up' is not measured; did you mean 'speedup'?"),
        ({"quantity": "acc", "max_drop": 0.1, "level": float("nan")},
         "level: must be between 0.5 and 1, found nan"),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_is_said_with_its_key(given, said):
    assert next(problems(Budget(**given), ("accuracy",))) == said


@pytest.mark.parametrize(
    ("one", "other", "contradict"),
    [
        ({"batch": 8}, {"batch": 8}, True),
        ({"batch": 8}, {}, False),
        ({"load": "peak"}, {"load": "peak"}, True),
        ({"load": "peak"}, {}, False),
    ],
)
def test_limits_on_calls_meet_at_one_batch_or_load(one, other, contradict):
    budgets = [
        Budget(quantity="rows_per_s", at_least=9.0, **one),
        Budget(quantity="rows_per_s", at_most=8.0, **other),
    ]
    assert list(contradictions(budgets)) == ([(0, 1)] if contradict else [])


def test_a_shift_is_another_place():
    budgets = [
        Budget(quantity="accuracy", at_least=0.9),
        Budget(quantity="accuracy", at_most=0.8, shift="typos"),
        Budget(quantity="accuracy", at_least=0.9, shift="typos"),
    ]
    assert list(contradictions(budgets)) == [(1, 2)]
