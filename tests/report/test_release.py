"""The candidate that is exported, and the data sets it was measured on, as a plan names them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.report.conftest import EVIL, compared
from tests.report.test_terminal import finding, verdict

from surefoot.bundle import read_environment, read_plan_json
from surefoot.core.errors import BundleError
from surefoot.core.plan import OWN_SETS
from surefoot.report.release import _chosen, _data_used, _role

CSV = {"use": "csv", "path": "rows.csv"}


def used(test, comparisons=(), rows=None, **own):
    found = _data_used({"test": test, **own}, {"comparisons": comparisons, "rows": rows or {}})
    return {(one.role, one.name): one for one in found}


def test_rows_are_those_of_the_whole_set_as_it_came():
    comparisons = [
        compared(n=50, slice="short"), compared(n=300), compared(n=77, shift="typos"),
        compared(n=300, candidate="int4"),
    ]  # fmt: skip
    (one,) = used({"main": CSV}, comparisons, {"main": "ab12"}).values()
    assert (one.rows, one.fingerprint, one.source, one.path) == (300, "ab12", "csv", "rows.csv")


def test_a_source_that_was_split_is_told_part_by_part():
    comparisons = [
        compared(dataset="flights month=1", n=10), compared(dataset="flights month=2", n=20),
        compared(dataset="flights2", n=30),
    ]  # fmt: skip
    found = used({"flights": CSV, "flights2": CSV}, comparisons)
    assert {name: one.rows for (_, name), one in found.items()} == {
        "flights month=1": 10, "flights month=2": 20, "flights2": 30,
    }  # fmt: skip


def test_a_set_that_nothing_counted_is_named_without_rows():
    (one,) = used({EVIL: {"use": "hub"}}).values()
    assert (one.name, one.rows, one.fingerprint, one.path) == (EVIL, None, None, "")


@pytest.mark.parametrize("role", OWN_SETS)
def test_every_set_of_the_tasks_own_has_a_role(role):
    found = used({"main": CSV}, **{role: CSV | {"path": "own.csv"}})
    assert found[_role(role), role].path == "own.csv"
    assert found[_role(role), role].rows is None
    assert len(used({"main": CSV}, **{role: None})) == 1


def test_columns_say_what_they_hold_and_options_that_name_none_are_none():
    call = {
        **CSV, "columns": ["a", "b"], "label": "tree", "id": "key", "group": None, "text": 3,
        "separator": ";",
    }  # fmt: skip
    (one,) = used({"main": call}).values()
    assert one.columns == {"a": "number", "b": "number", "tree": "label", "key": "id"}


def test_without_a_name_the_best_verdict_is_taken_and_the_cheapest_of_equals():
    def judged(name, outcome):
        return replace(verdict(finding(outcome=outcome), outcome=outcome), candidate=name)

    verdicts = (judged("big", "PASS"), judged("small", "PASS"), judged("tiny", "FAIL"))
    data = {"costs": {"big": 3.0, "small": 2.0, "tiny": 1.0}}
    assert _chosen(verdicts, None, data, "run").candidate == "small"
    assert _chosen(verdicts, "tiny", data, "run").outcome == "FAIL"
    with pytest.raises(BundleError, match="no verdict on a candidate 'smal'") as error:
        _chosen(verdicts, "smal", data, "run")
    assert "small" in str(error.value)
    assert _chosen(verdicts[2:], None, data, "run").candidate == "tiny"


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "\xff"])
def test_a_plan_that_cannot_be_read_is_one_error(tmp_path, content):
    (tmp_path / "plan.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BundleError, match="no plan that can be read"):
        read_plan_json(tmp_path)


@pytest.mark.parametrize("made", [[], "x", {"libraries": [1]}, {"libraries": "numpy"}])
def test_an_environment_of_another_form_is_one_error(tmp_path, made):
    (tmp_path / "environment.json").write_text(json.dumps(made))
    with pytest.raises(BundleError, match=r"environment\.json"):
        read_environment(tmp_path)
