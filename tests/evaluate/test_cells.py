from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from surefoot.core.errors import ModelError
from surefoot.core.model import Candidate, Recipe, Signature
from surefoot.evaluate.cells import cell, cell_key, fill_cells, hollow
from surefoot.models import seal
from surefoot.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


@pytest.fixture
def sets(tree_set):
    return {"main": tree_set(70, 1), "late": tree_set(30, 2, name="late")}


def cells_on_disk(store):
    return {path.name: path.stat().st_mtime_ns for path in (store.root / "cells").glob("*")}


@pytest.mark.parametrize("batch", [1, 32, 1000])
def test_a_cell_holds_what_the_model_answered_to_each_row(candidate, sets, store, answers, batch):
    one = candidate(turned=1)
    filled = fill_cells(one, sets, store, batch=batch)
    assert [(c.candidate, c.dataset) for c in filled] == [
        ("baseline", "main"),
        ("baseline", "late"),
    ]
    for found, dataset in zip(filled, sets.values(), strict=True):
        expected = answers(one, dataset.inputs)
        np.testing.assert_allclose(found.scores, expected, atol=1e-5)
        assert found.predicted.tolist() == expected.argmax(axis=1).tolist()
        assert found.ids.tolist() == dataset.ids.tolist()
        assert found.labels.tolist() == dataset.labels.tolist()


def test_the_order_of_rows_does_not_matter(adopted, tiny_onnx_text, text_task, tmp_path):
    """Texts: rows are sorted by length on the way to the model, and must find their way back."""
    model = adopted(tiny_onnx_text, classes=["negative", "positive"])
    one = Candidate(name="a", model=model, runtime="onnxruntime", recipe=Recipe(name="a"))
    rows = text_task.test["main"]
    order = np.random.default_rng(0).permutation(len(rows))
    (there,) = fill_cells(one, {"main": rows}, Store(tmp_path / "a"), batch=7)
    (back,) = fill_cells(one, {"main": rows.rows(order)}, Store(tmp_path / "b"), batch=7)
    assert back.ids.tolist() == there.ids[order].tolist()
    assert back.predicted.tolist() == there.predicted[order].tolist()
    np.testing.assert_allclose(back.scores, there.scores[order], atol=1e-6)
    assert (there.predicted == there.labels).mean() > 0.9


def test_a_finished_cell_is_not_measured_again(candidate, sets, store, watch):
    one, first, second = candidate(), watch(), watch()
    filled = fill_cells(one, sets, store, progress=first)
    assert first.units == first.totals == {"baseline on main": 70, "baseline on late": 30}
    shutil.rmtree(one.model.path)  # whoever opens the model now fails
    again = fill_cells(one, sets, store, progress=second)
    assert second.totals == {}
    for old, new in zip(filled, again, strict=True):
        assert new.scores.tobytes() == old.scores.tobytes()
        assert new.scores.dtype == np.float32


def test_a_run_stopped_midway_keeps_the_finished_cell_and_measures_the_other(
    candidate, sets, store, watch
):
    one = candidate()
    with pytest.raises(KeyboardInterrupt):
        fill_cells(one, sets, store, progress=watch(stop_at="late"))
    kept = cells_on_disk(store)
    assert len(kept) == 1
    resumed = watch()
    fill_cells(one, sets, store, progress=resumed)
    assert resumed.units == {"baseline on late": 30}
    assert cells_on_disk(store).items() > kept.items()


def test_a_half_written_cell_is_never_taken_for_a_finished_one(candidate, sets, store, answers):
    one = candidate()
    final = store.path("cells", cell_key(one, sets["main"], 32))
    half = store.root / f".cells-{final.name}.surefoot-part"  # as a killed process leaves it
    half.mkdir(parents=True)
    np.save(half / "scores.npy", np.zeros((35, 3), np.float32))
    found, _ = fill_cells(one, sets, store)
    np.testing.assert_allclose(found.scores, answers(one, sets["main"].inputs), atol=1e-5)
    assert not half.exists()


@pytest.mark.parametrize("damage", ["cut", "emptied", "lost"])
def test_a_damaged_cell_is_measured_again(candidate, sets, store, damage):
    one = candidate()
    whole = [cell.scores for cell in fill_cells(one, sets, store)]
    file = store.path("cells", cell_key(one, sets["late"], 32)) / "scores.npy"
    if damage == "lost":
        file.unlink()
    else:
        os.truncate(file, 0 if damage == "emptied" else file.stat().st_size - 10)
    mended = [cell.scores for cell in fill_cells(one, sets, store)]
    assert all((one == other).all() for one, other in zip(whole, mended, strict=True))
    assert np.load(file).shape == whole[1].shape


def test_only_what_changes_an_answer_makes_a_new_cell(candidate, tree_set):
    one, rows = candidate(), tree_set()
    key = cell_key(one, rows, 32)
    sliced = replace(rows, name="renamed", slices={"first": np.arange(100) < 10})
    assert cell_key(replace(one, name="another", recipe=Recipe(name="b")), sliced, 32) == key
    changed = [
        cell_key(candidate("other", turned=1), rows, 32),
        cell_key(replace(one, runtime="openvino"), rows, 32),
        cell_key(one, tree_set(100, 1), 32),
        cell_key(one, tree_set(99), 32),
        cell_key(one, rows, 31),
    ]
    assert key not in changed
    assert len({str(other) for other in changed}) == len(changed)


def test_an_answer_that_is_not_finite_is_refused_and_leaves_no_cell(candidate, tree_set, store):
    one, rows = candidate(), tree_set(50)
    rows.inputs[[17, 40]] = np.nan
    sets = {"good": tree_set(20, 3, name="good"), "main": rows}
    said = r"model\.onnx: gives 2 rows that are not finite, the first is row 17"
    with pytest.raises(ModelError, match=said):
        fill_cells(one, sets, store)
    assert list(cells_on_disk(store)) == [store.path("cells", cell_key(one, sets["good"], 32)).name]


def test_a_model_of_other_classes_is_refused_with_what_to_do(linear, tree_set, store, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    linear(folder / "model.onnx", classes=5)
    signature = Signature(input="numeric", classes=("a", "b", "c"), tensors=("features",), width=4)
    model = seal(folder, name="a", format="onnx", file="model.onnx", signature=signature)
    one = Candidate(name="a", model=model, runtime="onnxruntime", recipe=Recipe(name="a"))
    with pytest.raises(ModelError, match="gives 32 rows of 5 outputs for 32 rows of 3") as caught:
        fill_cells(one, {"main": tree_set(40)}, store)
    assert caught.value.where == str(folder / "model.onnx")
    assert caught.value.fix.startswith("list the model's classes under [model]")
    assert cells_on_disk(store) == {}


def test_a_tie_goes_to_the_first_class_for_every_candidate(tree_set):
    scores = np.array([[0.2, 0.4, 0.4], [0.4, 0.2, 0.4]], np.float32)
    assert cell("a", tree_set(2), scores).predicted.tolist() == [1, 0]


def test_a_baseline_that_knows_next_to_nothing_is_warned_of(candidate, tree_set):
    data = tree_set(90)
    constant = np.zeros((90, len(data.classes)), np.float32)
    constant[:, 1] = 1
    (line,) = hollow([cell("baseline", data, constant)], "baseline")
    assert "where one constant answer reaches 33.3%" in line
    right = np.eye(len(data.classes), dtype=np.float32)[data.labels]
    assert not hollow([cell("baseline", data, right)], "baseline")
    assert not hollow([cell("other", data, constant)], "baseline")
    most = np.where(np.arange(90)[:, None] % 3 == 0, right, constant)
    assert not hollow([cell("baseline", data, most)], "baseline")
