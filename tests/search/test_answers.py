"""Candidates answer each row once, in blocks of one random order."""

import numpy as np
import pytest
from tests.search.conftest import WEIGHT, rows

from surefoot import stats
from surefoot.core.dataset import SelectionSet
from surefoot.core.errors import ModelError
from surefoot.search.answers import FIRST, Answers
from surefoot.search.clock import Clock
from surefoot.store import Store

OTHER = WEIGHT[:, ::-1].copy()
"""A weight with the classes in another order: wrong on most rows."""


def answers_of(data, folder, seed=0):
    return Answers(SelectionSet(data), Store(folder), batch=50, seed=seed, clock=Clock())


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [(1, FIRST), (FIRST, FIRST), (FIRST + 1, 512), (513, 1024), (1024, 1024), (1025, 1100)],
)
def test_blocks_double(tmp_path, linear_candidate, wanted, asked):
    answers = answers_of(rows(1100), tmp_path / "store")
    candidate = linear_candidate("lean")
    assert answers.asked(candidate) == 0
    answers.ask(candidate, wanted)
    assert answers.asked(candidate) == asked


def test_more_rows_than_there_are_is_all_of_them(tmp_path, linear_candidate):
    answers, candidate = answers_of(rows(90), tmp_path / "store"), linear_candidate("lean")
    answers.ask(candidate, 10_000)
    assert answers.asked(candidate) == 90


def test_right_speaks_of_the_very_rows_that_were_asked_for(tmp_path, linear_candidate):
    data = rows(600)
    answers, candidate = answers_of(data, tmp_path / "store"), linear_candidate("other", OTHER)
    truth = (data.inputs @ OTHER).argmax(axis=1) == data.labels
    assert 0 < truth.sum() < 600
    wanted = np.array([599, 0, 17, 300, 17])
    assert answers.right(candidate, wanted).tolist() == truth[wanted].tolist()
    assert (answers.right(candidate, np.arange(600)) == truth).all()
    assert answers.right(candidate, np.array([], np.int64)).tolist() == []


def test_a_cell_has_the_rows_in_their_own_order(tmp_path, linear_candidate):
    data = rows(300)
    answers, candidate = answers_of(data, tmp_path / "store"), linear_candidate("other", OTHER)
    found = answers.cell(candidate)
    assert found.ids.tolist() == data.ids.tolist()
    assert (found.predicted == (data.inputs @ OTHER).argmax(axis=1)).all()
    assert found.scores.sum(axis=1) == pytest.approx(1.0)


def test_the_difference_is_on_the_rows_both_were_asked(tmp_path, linear_candidate):
    data = rows(600)
    answers = answers_of(data, tmp_path / "store", seed=5)
    baseline, other = linear_candidate("baseline"), linear_candidate("other", OTHER)
    answers.ask(baseline, 600)
    answers.ask(other, 1)
    seen = np.random.default_rng(5).permutation(600)[:FIRST]
    old, new = ((data.inputs[seen] @ weight).argmax(axis=1) for weight in (WEIGHT, OTHER))
    lost = int((new != old).sum())
    gain, flips = answers.compared(other, baseline)
    assert (gain.n, flips) == (FIRST, lost)
    assert gain.value == pytest.approx(-lost / FIRST)
    known = stats.paired_proportions(lost, 0, FIRST, level=0.9)
    assert (gain.low, gain.high) == (known.low, known.high)


def test_nobody_differs_from_itself(tmp_path, linear_candidate):
    answers, candidate = answers_of(rows(80), tmp_path / "store"), linear_candidate("lean")
    answers.ask(candidate, 80)
    gain, flips = answers.compared(candidate, candidate)
    assert (gain.value, flips) == (0.0, 0)
    assert gain.low < 0 < gain.high


def test_two_models_of_one_name_answer_for_themselves(tmp_path, linear_candidate):
    """Names are for people; what was asked of one model says nothing of another."""
    data = rows(100)
    answers = answers_of(data, tmp_path / "store")
    one, two = linear_candidate("lean"), linear_candidate("lean", OTHER)
    every = np.arange(100)
    assert answers.right(one, every).all()
    assert not answers.right(two, every).all()
    assert answers.right(one, every).all()


def test_what_the_store_holds_is_not_asked_again(tmp_path, linear_candidate):
    data, candidate = rows(300), linear_candidate("lean")
    before = answers_of(data, tmp_path / "store").cell(candidate)
    (candidate.model.path / "model.onnx").unlink()
    again = answers_of(data, tmp_path / "store").cell(candidate)
    assert (again.scores == before.scores).all()


def test_a_failure_on_a_later_block_leaves_the_earlier_answers(tmp_path, linear_candidate):
    answers = answers_of(rows(600, negative_from=300), tmp_path / "store")
    candidate = linear_candidate("fragile", root=True)
    answers.ask(candidate, FIRST)
    with pytest.raises(ModelError, match=r"not finite|non-finite|nan"):
        answers.ask(candidate, 600)
    assert answers.asked(candidate) == FIRST
    assert answers.right(candidate, np.random.default_rng(0).permutation(600)[:9]).all()


def test_the_clock_counts_asking_as_work(tmp_path, linear_candidate):
    answers = answers_of(rows(80), tmp_path / "store")
    answers.ask(linear_candidate("lean"), 80)
    assert 0 < answers.clock.worked <= answers.clock.here


def test_the_clock_counts_work_that_fails_and_what_was_before():
    clock = Clock(earlier=100.0)
    with pytest.raises(ValueError, match="broken"), clock.working():
        raise ValueError("broken")
    assert clock.worked > 0
    assert clock.elapsed >= 100.0 + clock.worked
