"""The stage that runs checks: the same rows for everybody, kept, and never the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from surefoot import plugins
from surefoot.core.checks import Checked
from surefoot.core.dataset import ConfirmationSet, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import StepCall
from surefoot.evaluate import asked_rows, fill_cells, run_checks
from surefoot.evaluate.checking import draw
from surefoot.plan import read_plan
from surefoot.store import Store

PLAN = """
[task]
kind = "tabular-classification"
train = { use = "csv", path = "test.csv", label = "tree", columns = ["a"] }
test.main = { use = "csv", path = "test.csv", label = "tree", columns = ["a"] }
[model]
path = "test.csv"
[[candidate]]
name = "lean"
steps = []
[[budget]]
quantity = "accuracy"
max_drop = 0.1
"""


@pytest.fixture
def task(tree_set) -> Task:
    sets = {
        "main": tree_set(60, 1, slices={"even": np.arange(60) % 2 == 0}),
        "late": tree_set(40, 2, name="late"),
    }
    return Task(
        name="trees", kind="tabular-classification", classes=sets["main"].classes,
        train=tree_set(90, 3, name="train"), selection=None, calibration=None,
        test={name: ConfirmationSet(d) for name, d in sets.items()}, metric="accuracy",
    )  # fmt: skip


@pytest.fixture
def plan(tmp_path) -> Callable:
    (tmp_path / "test.csv").write_text("a,tree\n1,ash\n")
    (tmp_path / "plan.toml").write_text(PLAN)

    def read(*checks: str, rows: int = 50):
        listed = ", ".join(checks)
        return read_plan(
            tmp_path / "plan.toml",
            [f"evaluate.checks=[{listed}]", f"evaluate.check_rows={rows}"],
        )

    return read


@pytest.fixture
def checked(candidate, task, tmp_path, watch) -> Callable:
    """Runs a plan's checks on a baseline and one whose answers are all other ones."""
    entrants = [candidate(), candidate("lean", turned=1)]

    def run(plan, *, progress=None, task=task):
        store = Store(tmp_path / "run")
        cells = {c.name: fill_cells(c, task.test, store) for c in entrants}
        return run_checks(plan, task, entrants, cells, store, progress or watch())

    return run


def test_a_sample_is_the_same_each_time_and_says_where_rows_come_from(task):
    one, again = draw(task, 50), draw(task, 50)
    assert one.dataset.ids.tolist() == again.dataset.ids.tolist()
    assert len(one.dataset) == 50
    assert {name.partition("/")[0] for name in one.dataset.ids.tolist()} == {"main", "late"}
    for name, dataset in task.test.items():
        part = one.dataset.rows(one.sets == name)
        ids = [f"{name}/{i}" for i in dataset.ids[one.positions[name]].tolist()]
        assert part.ids.tolist() == ids
        np.testing.assert_array_equal(part.inputs, dataset.inputs[one.positions[name]])
    assert one.dataset.slices["even"].sum() == (one.positions["main"] % 2 == 0).sum()
    assert all(name.startswith("train/") for name in one.train.ids.tolist())


def test_few_rows_are_all_taken(task):
    sample = draw(task, 1000)
    assert (len(sample.dataset), len(sample.train)) == (100, 90)


def test_every_row_is_as_likely_as_any_other(task):
    """Of 100 rows 60 stand in one set: about 30 of a sample of 50 (hypergeometric, 4 sd)."""
    assert abs((draw(task, 50).sets == "main").sum() - 30) <= 4 * 2.5


def test_groups_stand_beside_rows_without_any(task, checked, plan):
    groups = np.array([f"g{i % 6}" for i in range(60)], np.dtypes.StringDType())
    test = {**task.test, "main": replace(task.test["main"], groups=groups)}
    found = checked(plan('"batch_invariance"', rows=100), task=replace(task, test=test))
    # Six groups of the one set, and each of the 40 other rows alone.
    assert len(np.unique(found[0].groups)) == 46
    assert checked(plan('"batch_invariance"'))[0].groups is None


def test_each_check_of_each_candidate_has_a_result(checked, plan):
    names = ('"batch_invariance"', '"golden"', '"group_harm"', '"membership"')
    found = checked(plan(*names, rows=100))
    assert [(r.candidate, r.check) for r in found] == [
        (name, check)
        for name in ("baseline", "lean")
        for check in ("batch_invariance", "golden", "group_harm", "membership")
    ]
    assert not any(r.error for r in found)
    assert [r.exact for r in found[:2]] == [False, True]
    # The turned model answers all rows otherwise, and loses whatever the baseline had right.
    harm = {r.candidate: r for r in found if r.check == "group_harm"}
    assert not harm["baseline"].checked.failed.any()
    assert harm["lean"].checked.failed.any()


def test_masks_of_slices_are_over_the_rows_asked(checked, plan):
    (first, *_) = checked(plan('"batch_invariance"'))
    even = [
        name.startswith("main/") and int(name.rpartition("-")[2]) % 2 == 0
        for name in first.checked.ids.tolist()
    ]
    assert first.slices["even"].tolist() == even


def test_what_is_kept_is_not_asked_again(checked, plan, watch):
    first, second, third = watch(), watch(), watch()
    once = checked(plan('"batch_invariance"'), progress=first)
    again = checked(plan('"batch_invariance"'), progress=second)
    checked(plan('"batch_invariance"', '"finite"'), progress=third)
    assert "batch_invariance of lean" in first.units
    assert not [title for title in second.units if " of " in title]
    assert [t for t in third.units if " of " in t] == ["finite of baseline", "finite of lean"]
    for one, other in zip(once, again, strict=True):
        assert one.checked.ids.tolist() == other.checked.ids.tolist()
        assert one.checked.failed.tolist() == other.checked.failed.tolist()
        assert one.checked.largest == other.checked.largest


def test_other_rows_or_options_are_asked_anew(checked, plan, watch):
    checked(plan('"batch_invariance"'))
    for changed in (plan('"batch_invariance"', rows=40), plan('{use="batch_invariance",batch=8}')):
        seen = watch()
        checked(changed, progress=seen)
        assert "batch_invariance of lean" in seen.units


class Noted:
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, title: str, total: int) -> None: ...

    def advance(self, units: int = 1) -> None: ...

    def note(self, line: str) -> None:
        self.lines.append(line)


def installed(monkeypatch, function):
    """Lets `plugins` find a check that lies in no file."""
    real = plugins.find
    monkeypatch.setattr(
        plugins, "find", lambda k, n: function if (k, n) == ("check", "finite") else real(k, n)
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [(ModelError("fails on it"), "fails on it"), (ValueError("odd"), "odd"), (KeyError(), "KeyE")],
)
def test_a_crash_is_a_finding_about_that_candidate_and_is_tried_again(
    checked, plan, monkeypatch, error, said
):
    def crashes(subject, rng):
        if (subject.scores != subject.baseline_scores).any():
            raise error
        return real(subject, rng)

    real = plugins.find("check", "finite")
    installed(monkeypatch, crashes)
    watch = Noted()
    baseline, lean = checked(plan('"finite"'), progress=watch)
    assert (baseline.error, lean.checked) == ("", None)
    assert said in lean.error
    assert len(watch.lines) == 1
    assert "finite of lean cannot be run" in watch.lines[0]
    installed(monkeypatch, real)
    assert checked(plan('"finite"'))[1].error == ""


@pytest.mark.parametrize(
    "broken",
    [
        {"failed": np.zeros(1, dtype=bool)},
        {"failed": np.zeros(2)},
        {"details": ("",)},
        {"ids": np.array(["a", "a"], np.dtypes.StringDType())},
    ],
)
def test_a_check_that_breaks_its_contract_is_named(checked, plan, monkeypatch, broken):
    sound = {
        "ids": np.array(["a", "b"], np.dtypes.StringDType()),
        "failed": np.zeros(2, dtype=bool),
        "details": ("", ""),
    }
    installed(monkeypatch, lambda subject, rng: Checked(**(sound | broken)))
    assert "check 'finite' must give" in checked(plan('"finite"'), progress=Noted())[0].error


def test_a_model_that_cannot_be_opened_says_so_for_every_check(candidate, task, plan, tmp_path):
    one, store = candidate(), Store(tmp_path / "run")
    cells = {one.name: fill_cells(one, task.test, store)}
    (one.model.path / one.model.file).write_bytes(b"no model")
    found = run_checks(plan('"finite"', '"golden"'), task, [one], cells, store, Noted())
    assert len(found) == 2
    assert all("cannot read" in result.error for result in found)


def test_no_checks_ask_nothing(task, plan):
    assert run_checks(plan(), task, [], {}, Store(plan().path.parent), Noted()) == ()


def test_rows_that_a_check_will_ask(plan):
    read = plan('"batch_invariance"', '"golden"', rows=500)
    assert asked_rows(read, 900) == {"batch_invariance": 500, "golden": 0}
    assert asked_rows(read, 90)["batch_invariance"] == 90
    texts = replace(read, checks=(StepCall(use="edits"), StepCall(use="term_swaps")))
    assert asked_rows(texts, 900) == {"edits": 100, "term_swaps": 500}
    texts = replace(read, checks=(StepCall(use="edits", options=(("rows", 20),)),))
    assert asked_rows(texts, 900) == {"edits": 20}
