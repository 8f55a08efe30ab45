"""What a plan may ask of an envelope, and what is said of everything else before a run."""

from __future__ import annotations

import json

import pytest

from surefoot.core.errors import PlanError
from surefoot.core.plan import EnvelopePlan
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "text-classification"
test.main = { use = "csv", path = "test.csv", text = "body", label = "intent" }
test.tweets = { use = "csv", path = "test.csv", text = "body", label = "intent" }
[model]
path = "model.onnx"
[[budget]]
quantity = "accuracy"
max_drop = 0.01
"""


@pytest.fixture
def read(tmp_path):
    """Reads the plan with some `[[evaluate.envelope]]` tables."""
    for name in ("test.csv", "model.onnx"):
        (tmp_path / name).touch()

    def read(*tables):
        lines = []
        for table in tables:
            pairs = (f"{key} = {json.dumps(value)}" for key, value in table.items())
            lines += ["[[evaluate.envelope]]", *pairs]
        (tmp_path / "p.toml").write_text("\n".join([PLAN, *lines]))
        return read_plan(tmp_path / "p.toml")

    return read


def test_axes_are_read_with_their_defaults(read):
    typos, batch, _, deadline = read(
        {"axis": "typos", "max_drop": 0.05, "dataset": "tweets"},
        {"axis": "batch", "at_most": 50, "up_to": 128, "seconds": 5},
        {"axis": "threads", "at_most": 20},
        {"axis": "deadline", "at_most": 0.01},
    ).evaluate.envelope
    assert typos == EnvelopePlan(axis="typos", max_drop=0.05, dataset="tweets")
    assert (batch.at_most, batch.up_to, batch.seconds) == (50, 128, 5)
    assert (deadline.at_most, deadline.seconds, deadline.dataset) == (0.01, 20.0, None)


def test_one_axis_may_go_along_several_data_sets(read):
    typos = {"axis": "typos", "max_drop": 0.05}
    assert len(read(typos, typos | {"dataset": "tweets"}).evaluate.envelope) == 2


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"axis": "typo", "max_drop": 0.1}, "axis: no axis called 'typo'; did you mean 'typos'?"),
        ({"axis": "batches", "at_most": 9}, "axis: no axis called 'batches'; did you mean 'batch'"),
        ({"axis": "blur", "max_drop": 0.1}, "axis: 'blur' shifts image inputs, and the task's are"),
        (
            {"axis": "long_texts", "max_drop": 0.1},
            "axis: 'long_texts' chooses rows, and an envelope",
        ),
        ({"axis": "typos"}, "max_drop: missing; 'typos' needs it"),
        ({"axis": "typos", "max_drop": 1.0}, "max_drop: must be between 0 and 1, found 1.0"),
        ({"axis": "typos", "max_drop": 0.0}, "max_drop: must be between 0 and 1, found 0.0"),
        ({"axis": "typos", "at_most": 3.0}, "at_most: 'typos' takes max_drop; leave at_most out"),
        ({"axis": "typos", "max_drop": 0.1, "up_to": 4}, "up_to: 'typos' ends at severity 5"),
        ({"axis": "batch"}, "at_most: missing; 'batch' needs it"),
        ({"axis": "batch", "max_drop": 0.1}, "max_drop: 'batch' takes at_most; leave max_drop out"),
        ({"axis": "batch", "at_most": 0}, "at_most: must be above 0, found 0.0"),
        ({"axis": "batch", "at_most": 9, "up_to": 1}, "up_to: must be at least 2, found 1"),
        ({"axis": "batch", "at_most": 9, "seconds": 0}, "seconds: must be above 0, found 0.0"),
        ({"axis": "threads", "at_most": 9, "up_to": 4}, "up_to: 'threads' has an end of"),
        ({"axis": "deadline", "at_most": 1}, "at_most: must be between 0 and 1, found 1.0"),
        (
            {"axis": "typos", "max_drop": 0.1, "dataset": "main2"},
            "dataset: no dataset called 'main2'",
        ),
        ({"axis": "typos", "max_drop": 0.1, "step": 1}, "step: unknown key; known: at_most, axis"),
        ({"max_drop": 0.1}, "axis: missing"),
        ({"axis": 3, "max_drop": 0.1}, "axis: should be text, found 3"),
    ],
)
def test_what_cannot_be_asked_is_said_once_with_its_place(read, table, said):
    good = {"axis": "case", "max_drop": 0.02}
    with pytest.raises(PlanError) as caught:
        read(good, table)
    ours = [line for line in caught.value.problems if "envelope" in line]
    assert any(line.startswith(f"evaluate.envelope[1].{said}") for line in ours), ours
    assert all(line.startswith("evaluate.envelope[1]") for line in ours)
    assert len(ours) == len(set(ours)) <= 2


def test_all_that_is_wrong_is_said_at_once(read):
    with pytest.raises(PlanError) as caught:
        read({"axis": "blur", "max_drop": 2.0}, {"axis": "batch", "at_most": -1.0, "dataset": "x"})
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("again", [{"axis": "typos", "max_drop": 0.1, "dataset": "main"}])
def test_an_axis_twice_is_refused(read, again):
    with pytest.raises(PlanError, match=r"envelope\[1\]: 'typos' is given twice for one data set"):
        read({"axis": "typos", "max_drop": 0.05}, again)
