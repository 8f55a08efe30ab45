from __future__ import annotations

import json

from surefoot.diff.plans import plan_changes
from surefoot.plan import read_plan

PLAN = """
[task]
kind = "tabular-classification"
test.main = { use = "csv", path = "test.csv", columns = ["a", "b"], label = "label" }
[model]
path = "model.onnx"
classes = ["x", "y"]
[[candidate]]
name = "same"
steps = []
[[candidate]]
name = "int8"
steps = ["quantize_dynamic"]
[evaluate]
shifts = ["rounding"]
[[budget]]
quantity = "accuracy"
max_drop = 0.1
[[budget]]
quantity = "speedup"
at_least = 1.5
"""


def resolved(tmp_path, text):
    for name in ("test.csv", "model.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "surefoot.toml").write_text(text)
    return json.loads(json.dumps(read_plan(tmp_path / "surefoot.toml").resolved(), default=list))


def changed(tmp_path, *edits):
    text = PLAN
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    found = plan_changes(resolved(tmp_path, PLAN), resolved(tmp_path, text))
    return {change.what: (change.there, change.here) for change in found}


def test_the_same_plan_has_no_changes(tmp_path):
    assert changed(tmp_path) == {}


def test_a_limit_a_step_and_a_key_are_told_by_name(tmp_path):
    assert changed(
        tmp_path,
        ("max_drop = 0.1", "max_drop = 0.05"),
        ('["quantize_dynamic"]', '[{ use = "quantize_dynamic", per_channel = false }]'),
        ("[evaluate]", "[evaluate]\nbatch = 8"),
    ) == {
        "budget accuracy max_drop": ("0.1, level 0.95", "0.05, level 0.95"),
        "candidate int8": ("quantize_dynamic", "quantize_dynamic(per_channel=false)"),
        "evaluate.batch": ("32", "8"),
    }


def test_order_does_not_matter_and_new_ones_are_new(tmp_path):
    budget = '[[budget]]\nquantity = "accuracy"\nmax_drop = 0.1\n'
    first = ("[evaluate]", f"{budget}[evaluate]")
    assert changed(tmp_path, (budget, ""), first) == {}
    more = '[[budget]]\nquantity = "flips"\nslice = "*"\nat_most = 0.1\n'
    found = changed(
        tmp_path,
        ("[evaluate]", f'{more}[evaluate]\nslices = {{ left = "a < 0" }}'),
        ('shifts = ["rounding"]', 'shifts = [{ use = "rounding", severity = 2 }]'),
    )
    assert found.pop("budget flips (slice *) at_most") == ("none", "0.1, level 0.95")
    assert found.pop("evaluate.slices.left") == ("none", "a < 0")
    assert found.pop("shift rounding")[1] == "rounding(severity=2)"
    assert not found


def test_two_budgets_on_the_same_are_told_apart(tmp_path):
    more = '[[budget]]\nquantity = "accuracy"\nat_least = 0.5\n'
    assert changed(tmp_path, ("[evaluate]", f"{more}[evaluate]")) == {
        "budget accuracy at_least": ("none", "0.5, level 0.95")
    }
    assert changed(
        tmp_path, ("[evaluate]", f"{more.replace('at_least = 0.5', 'max_drop = 0.2')}[evaluate]")
    ) == {
        "budget accuracy max_drop": ("0.1, level 0.95", "0.2, level 0.95"),
        "budget accuracy max_drop (2)": ("none", "0.1, level 0.95"),
    }
