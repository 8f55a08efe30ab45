"""Cells of the same rows become what paired tests need."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.dataset import ConfirmationSet, Dataset, SelectionSet
from surefoot.core.errors import DataError
from surefoot.core.evidence import Budget
from surefoot.evaluate import confirmation_evidence, selection_evidence
from surefoot.evaluate.cells import cell
from surefoot.evaluate.pairs import pairs
from surefoot.gate import gate_evidence


def dataset(labels, **more):
    n = len(labels)
    return Dataset(
        name="main", ids=np.array([f"r{i}" for i in range(n)], np.dtypes.StringDType()),
        inputs=np.zeros((n, 1), np.float32), labels=np.asarray(labels), classes=("a", "b", "c"),
        **more,
    )  # fmt: skip


def answers(predicted, sure=0.8):
    """Scores that lead to these answers."""
    scores = np.full((len(predicted), 3), (1 - sure) / 2, np.float32)
    scores[np.arange(len(predicted)), predicted] = sure
    return scores


LABELS = [0, 0, 1, 1, 2, 2]
BASE, LEAN = [0, 0, 1, 2, 0, 1], [0, 1, 1, 1, 1, 1]


def test_counts_by_hand():
    data = dataset(LABELS, slices={"late": np.array([0, 0, 0, 1, 1, 1], bool)})
    base, lean = cell("base", data, answers(BASE)), cell("lean", data, answers(LEAN))
    everything, late = pairs(base, [lean], data, ["accuracy"])
    assert (everything.n, everything.lost, everything.won, everything.other) == (6, 1, 1, 1)
    assert (late.slice, late.n, late.lost, late.won, late.other) == ("late", 3, 0, 1, 1)
    assert (everything.baseline, everything.value) == (0.5, 0.5)
    assert everything.difference is None  # the counts say it all


def test_every_metric_is_paired_in_every_place():
    data = dataset(LABELS, slices={"late": np.array([0, 0, 0, 1, 1, 1], bool)})
    base, lean = cell("base", data, answers(BASE)), cell("lean", data, answers(LEAN))
    found = list(pairs(base, [lean], data, ["accuracy", "log_loss", "macro_f1"]))
    places = [(p.metric, p.slice) for p in found]
    assert places == [(m, s) for m in ("accuracy", "log_loss", "macro_f1") for s in (None, "late")]
    assert not found[2].higher_is_better
    np.testing.assert_allclose(found[2].difference.mean(), found[2].value - found[2].baseline)
    own, difference = found[4].drawn
    assert found[4].value == own.value == pytest.approx(found[4].baseline + difference.value)


def test_groups_keep_what_happened_to_each_row():
    data = dataset(LABELS, groups=np.array(list("xxyyzz"), np.dtypes.StringDType()))
    base, lean = cell("base", data, answers(BASE)), cell("lean", data, answers(LEAN))
    (paired,) = pairs(base, [lean], data, ["accuracy"])
    assert paired.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert paired.change.tolist() == [0, 1, 0, 2, 3, 0]
    assert paired.difference.tolist() == [0, -1, 0, 1, 0, 0]


def test_seeds_are_a_dimension_of_their_own_and_their_variances_are_told_apart():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    data = dataset(labels)
    base = cell("base", data, answers(labels))

    def seed(loss):
        wrong = rng.uniform(size=600) < loss
        return cell("lean", data, answers((labels + wrong) % 3))

    (paired,) = pairs(base, [seed(0.02), seed(0.10), seed(0.18)], data, ["accuracy"])
    assert paired.difference.shape == (3, 600)
    assert paired.lost == (paired.difference[0] < 0).sum()  # the counts are the first seed's
    assert paired.value == pytest.approx(1 + paired.difference.mean())
    assert paired.seeds["between_seeds"] == pytest.approx(0.08**2, rel=0.5)
    verdicts = gate_evidence(
        replace(
            confirmation_evidence(
                {"base": [base], "lean": [seed(0.02)]}, {"main": ConfirmationSet(data)},
                ["accuracy"], repeats={"lean": [[seed(0.02)], [seed(0.02)], [seed(0.02)]]},
            ),
            sizes={"lean": 1},
        ),
        [Budget(quantity="accuracy", max_drop=0.10)],
    )  # fmt: skip
    (finding,) = verdicts[0].findings
    assert finding.estimate.method == "crossed t, 4 seeds"
    assert verdicts[0].outcome == "PASS"


def test_rows_that_do_not_pair_are_refused():
    data = dataset(LABELS)
    base, lean = cell("base", data, answers(BASE)), cell("lean", data, answers(LEAN))
    with pytest.raises(DataError, match="main: the rows of 'base' and 'lean' do not pair by id"):
        list(pairs(base, [replace(lean, ids=lean.ids[::-1])], data, ["accuracy"]))


def test_selection_evidence_holds_the_same_comparison():
    data = dataset(LABELS)
    cells = {"base": [cell("base", data, answers(BASE))], "lean": [cell("l", data, answers(LEAN))]}
    found = selection_evidence(cells, SelectionSet(data), ["accuracy"])
    assert (found.paired[0].lost, found.paired[0].won) == (1, 1)


MIXED = """
from collections.abc import Mapping
from surefoot.core.dataset import Task
from surefoot.core.evidence import Budget, Cell, SelectionEvidence
from surefoot.evaluate import confirmation_evidence, selection_evidence
from surefoot.gate import finalists, gate_evidence

def mixed(task: Task, cells: Mapping[str, list[Cell]], budgets: list[Budget]) -> None:
    assert task.selection is not None
    chosen = selection_evidence(cells, task.selection, ["accuracy"])
    proved = confirmation_evidence(cells, task.test, ["accuracy"])
    finalists(chosen, budgets, {})
    gate_evidence(proved, budgets)
    gate_evidence(chosen, budgets)  # wrong
    finalists(proved, budgets, {})  # wrong
    selection_evidence(cells, task.test["main"], ["accuracy"])  # wrong
    confirmation_evidence(cells, {"x": task.selection}, ["accuracy"])  # wrong
"""


@pytest.mark.slow
def test_code_that_mixes_selection_and_confirmation_does_not_type_check(tmp_path):
    file = tmp_path / "mixed.py"
    file.write_text(MIXED)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(file)],
        capture_output=True, text=True,
    )  # fmt: skip
    wrong = [n for n, line in enumerate(MIXED.splitlines(), 1) if line.endswith("# wrong")]
    found = [line for line in checked.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in found] == wrong, checked.stdout
