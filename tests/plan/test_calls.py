"""Calls of plugins: frozen, checked, and with their files where the plan lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import plugins
from surefoot.core.model import StepCall
from surefoot.plan.calls import (
    call_problems,
    file_problems,
    files_at,
    name_problems,
    named,
    step_call,
    unlabelled,
)

OPTIONS = st.dictionaries(
    st.text("abc", min_size=1).filter(lambda k: k != "use"),
    st.recursive(st.integers() | st.text() | st.booleans(), lambda x: st.lists(x, max_size=3)),
    max_size=4,
)


@settings(deadline=None)
@given(OPTIONS)
def test_a_call_hashes_alike_whatever_the_order_of_its_options(options):
    call = step_call({"use": "a", **options})
    again = step_call({**dict(reversed(options.items())), "use": "a"})
    assert (call, hash(call)) == (again, hash(again))
    assert [key for key, _ in call.options] == sorted(options)
    assert call.use == "a"


def test_a_name_alone_is_a_call_without_options():
    assert step_call("refit_head") == StepCall(use="refit_head")
    assert named("refit_head") == ("refit_head", {"use": "refit_head"})
    assert named({"use": "refit_head", "l2": 1}) == ("refit_head", {"use": "refit_head", "l2": 1})


def test_a_table_is_not_changed_by_being_read():
    table = {"use": "refit_head", "l2": 1}
    step_call(table)
    assert table == {"use": "refit_head", "l2": 1}


@pytest.mark.parametrize(
    ("call", "label"),
    [
        ({"text": "body"}, "body"),
        ({"columns": ["a", "b"]}, "a"),
        ({"columns": []}, None),
        ({"columns": "a"}, None),
        ({"path": "x"}, None),
        ({"text": "body", "label": "intent"}, "intent"),
    ],
)
def test_the_input_stands_in_for_a_label_that_rows_lack(call, label):
    assert unlabelled(call).get("label") == label
    assert {k: v for k, v in unlabelled(call).items() if k != "label"} == {
        k: v for k, v in call.items() if k != "label"
    }


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("step", "export_onx", "export_onnx"),
        ("step", "prune_unstructerd", "prune_unstructured"),
        ("source", "parqet", "parquet"),
        ("metric", "makro_f1", "macro_f1"),
        ("shift", "whitespce", "whitespace"),
        ("check", "determinsm", "determinism"),
        ("runtime", "openvno", "openvino"),
    ],
)
def test_a_plugin_that_does_not_exist_is_met_with_the_nearest(kind, name, near):
    assert list(name_problems(kind, name, "here")) == [
        f"here: no {kind} called '{name}'; did you mean '{near}'?"
    ]
    assert list(name_problems(kind, near, "here")) == []


def test_every_option_is_checked_and_none_that_the_program_gives_may_be_given():
    found = list(call_problems("step", {"use": "quantize_dynamic", "seed": 3}, "s"))
    assert len(found) == 1
    assert found[0].startswith("s.seed: unknown option of step 'quantize_dynamic'; ")
    (given_name,) = call_problems(
        "source", {"use": "csv", "path": "a", "text": "b", "label": "c", "name": "d"}, "s"
    )
    assert given_name.startswith("s.name: unknown option of source 'csv'; ")


@pytest.mark.parametrize("use", [None, 3, ["csv"], {"use": "csv"}])
def test_a_call_without_a_name_is_met_with_all(use):
    (said,) = call_problems("source", {"use": use}, "task.train")
    assert said == f"task.train.use: missing; known: {', '.join(plugins.names('source'))}"


def test_all_that_is_wrong_with_one_call_is_said():
    call = {"use": "csv", "lable": "x", "text": 3}
    assert [line.partition(":")[0] for line in call_problems("source", call, "t")] == [
        "t.lable", "t.text", "t.path", "t.label",
    ]  # fmt: skip


def test_a_file_of_an_unknown_step_stays_as_it_was_written(tmp_path):
    call = StepCall(use="of_somebody_else", options=(("file", "a.csv"),))
    assert files_at(call, tmp_path) == call


def test_a_file_is_looked_for_where_the_plan_lies(tmp_path):
    call = step_call({"use": "distill_static", "outputs": "scores.csv"})
    moved = files_at(call, tmp_path)
    assert dict(moved.options) == {"outputs": str(tmp_path / "scores.csv")}
    assert files_at(moved, Path("/elsewhere")) == moved  # an absolute path is one already
    table = {"use": "distill_static", "outputs": "scores.csv"}
    (tmp_path / "score.csv").touch()
    assert list(file_problems(table, "s", tmp_path)) == [
        "s.outputs: no such file: 'scores.csv'; did you mean 'score.csv'?"
    ]
    (tmp_path / "scores.csv").touch()
    assert list(file_problems(table, "s", tmp_path)) == []
