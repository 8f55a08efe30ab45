"""Steps in an order whose formats do not fit are met with one that does."""

from __future__ import annotations

import pytest

from surefoot.core.plan import CandidatePlan
from surefoot.plan.order import order_problems

EXPORT, DROP, DYNAMIC, REFIT = "export_onnx", "drop_layers", "quantize_dynamic", "refit_head"


def problems(steps, has, runtime=None):
    asked = CandidatePlan(name="a", steps=steps, runtime=runtime)
    return list(order_problems(asked, "candidate[0]", has))


@pytest.mark.parametrize(
    ("steps", "has"),
    [
        ([], "onnx"),
        ([EXPORT, DYNAMIC], "huggingface"),
        ([DROP, EXPORT, DYNAMIC, REFIT], "huggingface"),
        (["distill_static"], "skops"),
        ([DYNAMIC], None),
    ],
)
def test_steps_that_fit_are_no_problem(steps, has):
    assert problems(steps, has) == []


@pytest.mark.parametrize(
    ("steps", "at", "move", "order"),
    [
        ([DYNAMIC, EXPORT], 0, (EXPORT, DYNAMIC), [EXPORT, DYNAMIC]),
        ([DYNAMIC, DROP, EXPORT], 0, (EXPORT, DYNAMIC), [DROP, EXPORT, DYNAMIC]),
        ([EXPORT, DROP], 1, (DROP, EXPORT), [DROP, EXPORT]),
        ([DYNAMIC], 0, (EXPORT, DYNAMIC), [EXPORT, DYNAMIC]),
        ([DROP, DYNAMIC], 1, (EXPORT, DYNAMIC), [DROP, EXPORT, DYNAMIC]),
    ],
)
def test_a_fitting_order_of_the_same_steps_is_said(steps, at, move, order):
    (problem,) = problems(steps, "huggingface")
    assert problem.startswith(f"candidate[0].steps[{at}]: '{steps[at]}' needs ")
    assert problem.endswith(f"; put {move[0]} before {move[1]}: {order}")
    assert problems(order, "huggingface") == []


def test_an_order_is_not_said_where_there_is_none():
    (problem,) = problems([DROP], "onnx")
    assert problem.endswith("'drop_layers' needs huggingface, but is given onnx; put it first")


def test_an_order_that_the_runtime_cannot_run_is_not_said():
    (problem,) = problems([DYNAMIC], "huggingface", runtime="torch")
    assert problem.endswith("but is given huggingface; put export_onnx before it")


def test_a_runtime_that_cannot_run_the_result():
    (problem,) = problems([EXPORT], "huggingface", runtime="torch")
    assert problem == (
        "candidate[0].runtime: 'torch' runs huggingface or pt2 or torchscript, but the steps give"
        " onnx"
    )


def test_many_steps_are_met_with_a_hint_alone():
    (problem,) = problems([DYNAMIC, *[DROP] * 6, EXPORT], "huggingface")
    assert problem.endswith("given huggingface; put export_onnx before it")
