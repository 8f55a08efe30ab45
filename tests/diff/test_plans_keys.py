"""Every key of a plan by a name of its own, as properties and one by one."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.diff.plans import plan_changes

PLAN = {
    "task": {"kind": "text-classification", "name": "t", "train": None, "seed": 0},
    "model": {"path": "m.onnx", "trust": False, "classes": ["a", "b"]},
    "recipes": [
        {"name": "int8", "seed": 0, "steps": [{"use": "quantize_dynamic", "options": []}]},
        {"name": "vino", "seed": 0, "steps": []},
    ],
    "runtimes": {"int8": None, "vino": "openvino"},
    "evaluate": {"batch": 32, "slices": {"short": "length(x) < 3"}, "shifts": ["case"]},
    "shifts": [{"use": "case", "options": []}],
    "checks": [{"use": "edits", "options": [["rows", 3]]}],
    "budgets": [{"quantity": "accuracy", "max_drop": 0.01, "level": 0.95, "batch": 1}],
    "search": None,
    "search_steps": [],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def changed(change):
    now = copy.deepcopy(PLAN)
    change(now)
    return {c.what: (c.there, c.here) for c in plan_changes(PLAN, now)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p["task"].update(name="u"), {"task.name": ("t", "u")}),
        (
            lambda p: p["task"].update(train={"use": "csv", "path": "a"}),
            {"task.train.use": ("none", "csv"), "task.train.path": ("none", "a")},
        ),
        (lambda p: p["model"].update(trust=True), {"model.trust": ("none", "true")}),
        (
            lambda p: p["model"].update(classes=["a", "ü"]),
            {"model.classes": ('["a", "b"]', '["a", "ü"]')},
        ),
        (lambda p: p["recipes"].pop(), {"candidate vino": ("no step; in openvino", "none")}),
        (
            lambda p: p["recipes"][0].update(seed=3),
            {"candidate int8": ("quantize_dynamic", "quantize_dynamic; seed 3")},
        ),
        (
            lambda p: p["runtimes"].update(int8="torch"),
            {"candidate int8": ("quantize_dynamic", "quantize_dynamic; in torch")},
        ),
        (
            lambda p: p["checks"][0].update(options=[["most", 2], ["rows", 3]]),
            {"check edits": ("edits(rows=3)", "edits(most=2, rows=3)")},
        ),
        (
            lambda p: p["shifts"].append({"use": "case", "options": [["severity", 2]]}),
            {"shift case (2)": ("none", "case(severity=2)")},
        ),
        (
            lambda p: p["search_steps"].append({"use": "drop_layers", "options": []}),
            {"search step drop_layers": ("none", "drop_layers")},
        ),
        (lambda p: p.update(search={"minutes": 3}), {"search.minutes": ("none", "3")}),
        (
            lambda p: p["budgets"][0].update(level=0.9),
            {"budget accuracy max_drop": ("0.01, level 0.95", "0.01, level 0.9")},
        ),
        (
            lambda p: p["budgets"][0].update(dataset="d", slice="*", shift="typos", load="l"),
            {
                "budget accuracy max_drop": ("0.01, level 0.95", "none"),
                "budget accuracy (dataset d, slice *, shift typos, load l) max_drop": (
                    "none",
                    "0.01, level 0.95",
                ),
            },
        ),
        (
            lambda p: p["budgets"].append({"quantity": "p50_ms", "at_most": 2e-7, "batch": 8}),
            {"budget p50_ms (batch 8) at_most": ("none", "2e-07, level 0.95")},
        ),
        (lambda p: p["evaluate"].update(shifts=["typos"]), {}),  # told as `shift typos`
    ],
)
def test_each_setting_has_its_name_and_both_values(change, told):
    assert changed(change) == told


@given(st.permutations(PLAN["recipes"]), st.permutations(list(PLAN)))
def test_the_order_of_candidates_and_keys_is_no_change(recipes, keys):
    now = {key: PLAN[key] for key in keys} | {"recipes": recipes}
    assert plan_changes(PLAN, now) == ()


@given(st.dictionaries(st.sampled_from(["task", "model", "serve", "extra"]), VALUES))
def test_a_plan_beside_itself_is_the_same_and_changes_turn_round(part):
    now = PLAN | part
    assert plan_changes(now, now) == ()
    one = {(c.what, c.there, c.here) for c in plan_changes(PLAN, now)}
    other = {(c.what, c.here, c.there) for c in plan_changes(now, PLAN)}
    assert one == other
    assert all(there != here for _, there, here in one)


@given(VALUES, VALUES)
def test_a_value_that_is_set_is_told_and_one_that_is_not_is_none(old, new):
    found = plan_changes({"a": {"b": old}}, {"a": {"b": new}})
    assert all(change.what.startswith("a.b") for change in found)
    if old == new and type(old) is type(new):
        assert found == ()
