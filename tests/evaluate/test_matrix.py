"""Many cells at once: the same cells, whoever fills them, and nobody keeps others from theirs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.dataset import ConfirmationSet
from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Recipe, StepCall
from surefoot.evaluate import under_shifts
from surefoot.evaluate.cells import ASKED_AGAIN, fill_cells
from surefoot.evaluate.jobs import Job, filler, identity
from surefoot.evaluate.matrix import WORTH, Filling, _room, ask_again, fill_matrix
from surefoot.store import Store


@pytest.fixture
def how(tmp_path):
    return Filling(store=Store(tmp_path / "run"))


@pytest.fixture
def sets(tree_set):
    return {"main": tree_set(70, 1), "late": tree_set(30, 2, name="late")}


@pytest.fixture
def shifted(sets):
    call = StepCall(use="missing", options=(("severity", 3.0),))
    main = {"main": ConfirmationSet(sets["main"])}
    return under_shifts(main, [call])


def written(how):
    return {path.name for path in (how.store.root / "cells").glob("*")}


def test_several_processes_fill_the_cells_that_one_fills(candidate, sets, tmp_path):
    everyone = {"a": candidate("a"), "b": candidate("b", turned=1)}
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    one, two = (
        fill_matrix(everyone, sets, Filling(store=store, processes=number))
        for number, store in enumerate(stores, 1)
    )
    assert not one.failed
    assert not two.failed
    for name, model in everyone.items():
        alone = fill_cells(model, sets, Store(tmp_path / "alone"))
        for here, there, bare in zip(one.cells[name], two.cells[name], alone, strict=True):
            assert here.dataset == there.dataset == bare.dataset
            assert here.scores.tobytes() == there.scores.tobytes() == bare.scores.tobytes()
            assert here.predicted.tolist() == there.predicted.tolist()


def test_one_model_under_two_names_is_asked_once(candidate, sets, how, watch):
    one, counted = candidate("a"), watch()
    filled = fill_matrix(
        {"first": one, "second": replace(one, name="b")}, sets, replace(how, progress=counted)
    )
    assert counted.units == counted.totals == {"filling 2 cells": 100}
    assert [c.candidate for cells in filled.cells.values() for c in cells] == ["a", "a", "b", "b"]


def test_a_new_shift_fills_its_own_cells_alone(candidate, sets, shifted, how, watch):
    one = {"a": candidate("a")}
    fill_matrix(one, {"main": sets["main"]}, how)
    before, counted = written(how), watch()
    filled = fill_matrix(one, shifted, replace(how, progress=counted))
    assert counted.units == {"filling a cell": 70}
    assert len(written(how) - before) == 1
    plain, moved = filled.cells["a"]
    assert (moved.shift, moved.severity, moved.dataset) == ("missing", 3.0, "main")
    assert plain.ids.tolist() == moved.ids.tolist()
    shutil.rmtree(one["a"].model.path)  # what is finished needs neither the model nor the shift
    assert fill_matrix(one, shifted, how).cells["a"][1].scores.tobytes() == moved.scores.tobytes()


def test_whoever_cannot_be_run_is_named_and_keeps_nobody_from_it(candidate, sets, how):
    good, bad = candidate("good"), candidate("bad", turned=1)
    (bad.model.path / bad.model.file).write_bytes(b"no model")
    filled = fill_matrix({"bad": bad, "good": good}, sets, how)
    assert list(filled.cells) == ["good"]
    assert list(filled.failed) == ["bad"]
    assert "model.onnx" in filled.failed["bad"]


@pytest.fixture
def deadly(tmp_path, monkeypatch, adopted):
    """A real estimator of a module of its own, whose process is killed as by the system."""
    pytest.importorskip("sklearn")
    import joblib

    (tmp_path / "deadly.py").write_text(
        "import os, numpy as np\n"
        "class Deadly:\n"
        "    classes_ = np.arange(3)\n"
        "    n_features_in_ = 4\n"
        "    def predict_proba(self, x):\n"
        "        flag = os.environ.get('DEADLY')\n"
        "        if flag and len(x) != 8 and not os.path.exists(flag):\n"
        "            if os.environ.get('ONCE'):\n"
        "                open(flag, 'w').close()\n"
        "            os.kill(os.getpid(), 9)\n"
        "        return np.full((len(x), 3), 1 / 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    import deadly

    joblib.dump(deadly.Deadly(), tmp_path / "deadly.pkl")
    names = ["ash", "birch", "oak"]
    model = adopted(tmp_path / "deadly.pkl", "numeric", folder="dead", classes=names, trust=True)
    dead = Candidate(name="dead", model=model, runtime="sklearn", recipe=Recipe(name="dead"))
    monkeypatch.setenv("DEADLY", str(tmp_path / "died"))
    return dead


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_model_that_takes_its_process_down_fails_alone(deadly, candidate, sets, how, processes):
    everyone = {"dead": deadly, "good": candidate("good"), "other": candidate("other", turned=1)}
    filled = fill_matrix(everyone, sets, replace(how, processes=processes))
    assert sorted(filled.cells) == ["good", "other"]
    assert filled.failed == {"dead": "the process that ran dead was killed by signal 9, twice"}


def test_whoever_was_killed_once_is_asked_again_alone(deadly, candidate, sets, how, monkeypatch):
    """As when the system ends a process for the memory that all of them took."""
    monkeypatch.setenv("ONCE", "1")
    everyone = {"dead": deadly, "good": candidate("good")}
    filled = fill_matrix(everyone, sets, replace(how, processes=2))
    assert not filled.failed
    assert sorted(filled.cells) == ["dead", "good"]
    assert (filled.cells["dead"][0].scores == np.float32(1 / 3)).all()


def test_equal_sets_under_several_names_are_filled_once(candidate, tree_set, how, watch):
    counted, rows = watch(), tree_set(60)
    sets = {f"set{i}": replace(rows, name=f"set{i}") for i in range(12)}
    one = replace(how, processes=2, progress=counted)
    filled = fill_matrix({"a": candidate("a")}, sets, one)
    assert counted.units == {"filling a cell": 60}
    assert [c.dataset for c in filled.cells["a"]] == [*sets]
    assert len({c.scores.tobytes() for c in filled.cells["a"]}) == 1


def test_open_models_make_room_for_the_next(candidate, sets, how):
    """With memory for one model only the one used last stays open, and all answer as ever."""
    everyone = [candidate("a"), candidate("b", turned=1)]
    jobs = [
        Job(examples=examples, candidates=everyone, batch=32, store=how.store)
        for examples in sets.values()
    ]
    said: list[tuple[str, int]] = []
    with filler(memory=1) as fill:
        assert [fill(job, said.append) for job in jobs] == [{}, {}]
        assert len(fill.args[0]._open) == 1
    assert sum(units for _, units in said) == 200
    assert {who for who, _ in said} == {identity(c) for c in everyone}
    assert len(written(how)) == 4


def test_there_are_as_many_processes_as_there_is_memory_for(candidate, sets, how, monkeypatch):
    jobs = [Job(examples=sets["main"], candidates=[candidate("a")], batch=32, store=how.store)] * 4
    for free, wanted, processes in ((100e9, 3, 3), (100e9, 9, 4), (2.5e9, 9, 2), (1e6, 9, 1)):
        monkeypatch.setattr("surefoot.evaluate.matrix.free_memory", lambda free=free: int(free))
        number, memory = _room(jobs, wanted)
        assert number == processes
        assert memory >= 0


def test_little_work_stays_in_this_process(candidate, tree_set, how, monkeypatch):
    asked = []
    monkeypatch.setattr("surefoot.evaluate.matrix.usable_cpus", lambda: asked.append(1) or 1)
    fill_matrix({"a": candidate("a")}, {"main": tree_set(50)}, how)
    assert not asked
    fill_matrix({"a": candidate("a")}, {"main": tree_set(WORTH + 1)}, how)
    assert asked


def test_a_baseline_that_cannot_be_asked_again_is_an_error(candidate, sets, how):
    one = candidate()
    (one.model.path / one.model.file).write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        ask_again(one, sets, how)


def test_a_deterministic_baseline_changes_no_answer_when_asked_again(candidate, sets, how):
    one = candidate()
    again = ask_again(one, sets, how)
    assert (again.rows, again.flips) == (100, 0)
    assert again.largest == pytest.approx(0, abs=1e-6)


def test_answers_that_changed_are_counted(candidate, sets, how):
    one = candidate()
    ask_again(one, sets, how)
    file = next(f for f in how.store.root.rglob("scores.npy") if np.load(f).shape[1] == 70)
    rounds = np.load(file)
    rounds[1, [3, 8]] = np.eye(3, dtype=np.float32)[(rounds[0, [3, 8]].argmax(axis=1) + 1) % 3]
    np.save(file, rounds)
    again = ask_again(one, sets, how)
    assert (again.rows, again.flips) == (100, 2)
    assert again.largest == pytest.approx(np.abs(rounds[1] - rounds[0]).max())


def test_only_the_first_rows_of_a_long_set_are_asked_again_and_only_once(candidate, tree_set, how):
    one, sets = candidate(), {"main": tree_set(ASKED_AGAIN + 50), "late": tree_set(5, name="late")}
    first = ask_again(one, sets, how)
    assert first.rows == ASKED_AGAIN + 5
    shutil.rmtree(one.model.path)
    assert ask_again(one, sets, how) == first
