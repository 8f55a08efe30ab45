"""Recipes: steps in order, each done once, nothing left of a step that failed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surefoot.compress import NotMade, make_all
from surefoot.compress import compress as compress_apart
from surefoot.core.errors import ModelError
from surefoot.core.model import Model, Recipe, StepCall
from surefoot.core.progress import Silent
from surefoot.models import open_model, read_model
from surefoot.store import Store

QUANTIZE = StepCall(use="quantize_dynamic", options=(("head", True),))
PER_TENSOR = StepCall(use="quantize_dynamic", options=(("head", True), ("per_channel", False)))
STUDENT = StepCall(use="distill_static", options=(("dim", 8), ("epochs", 1), ("start", "random")))
EXPORT = StepCall(use="export_onnx")


@pytest.fixture
def lexicon(adopted, tiny_onnx_text) -> Model:
    """A text model that is an ONNX file already."""
    return adopted(tiny_onnx_text, classes=["negative", "positive"])


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def recipe(name: str, *steps: StepCall, seed: int = 0) -> Recipe:
    return Recipe(name=name, steps=steps, seed=seed)


def compress(baseline, asked, task, store, *, runtime=None, progress=None):
    """`compress` in this process, which is quicker to start."""
    jobs = [(asked, runtime)]
    ((_, found),) = make_all(baseline, jobs, task, store, processes=0, progress=progress)
    if isinstance(found, NotMade):
        raise ModelError(found.why)
    return found


def made(store: Store) -> set[Path]:
    """Every model that the store holds."""
    return set((store.root / "models").glob("*"))


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []

    def start(self, title: str, total: int) -> None:
        self.lines.append((title, total))

    def advance(self, units: int = 1) -> None:
        self.lines.append(("advanced", units))


def test_a_candidate_says_how_it_came_about(lexicon, text_task, store):
    asked = recipe("int8", QUANTIZE)
    found = compress_apart(lexicon, asked, text_task, store)
    assert (found.name, found.recipe, found.runtime) == ("int8", asked, "onnxruntime")
    assert found.model.parent == lexicon.fingerprint
    assert found.model.fingerprint != lexicon.fingerprint
    assert found.cost.wall_s > 0
    assert read_model(found.model.path) == found.model


def test_a_recipe_without_steps_gives_the_baseline_for_nothing(lexicon, text_task, store):
    found = compress(lexicon, recipe("as-is"), text_task, store, runtime="openvino")
    assert found.model == lexicon
    assert found.runtime == "openvino"
    assert (found.cost.wall_s, found.cost.cpu_s) == (0, 0)
    assert not store.root.exists()


def test_what_a_candidate_answers_is_kept_with_it(lexicon, text_task, store):
    """Golden vectors are those of the first training rows, as the sealed model gives them."""
    found = compress(lexicon, recipe("int8", QUANTIZE), text_task, store)
    with np.load(found.model.path / "golden.npz") as stored, open_model(found.model) as predict:
        (rows,) = (stored[key] for key in stored.files if stored[key].ndim == 2)
        wanted = predict(text_task.train.inputs[: len(rows)])
    np.testing.assert_allclose(rows, wanted, atol=1e-6)


def test_a_step_of_another_format_says_what_to_put_before_it(
    adopted, tiny_sklearn_text, text_task, store
):
    teacher = adopted(tiny_sklearn_text)
    with pytest.raises(ModelError, match=r"needs onnx.*given skops; put export_onnx before it"):
        compress(teacher, recipe("wrong", QUANTIZE), text_task, store)
    assert not store.root.exists()


def test_each_step_adds_its_cost_and_its_parent(adopted, tiny_encoder, text_task, store):
    teacher = adopted(tiny_encoder, classes=["negative", "positive"])
    refit = StepCall(use="refit_head")
    told = Told()
    one = compress(teacher, recipe("one", EXPORT), text_task, store)
    two = compress(teacher, recipe("two", EXPORT, refit), text_task, store, progress=told)
    assert two.model.parent == one.model.fingerprint
    assert one.model.parent == teacher.fingerprint
    assert two.cost.wall_s > one.cost.wall_s
    assert len(made(store)) == 2
    assert told.lines == [("making two", 2), ("advanced", 1), ("advanced", 1)]


def test_a_step_that_was_done_is_not_done_again(lexicon, text_task, store):
    first = compress(lexicon, recipe("one", QUANTIZE), text_task, store)
    stamp = (first.model.path / "model.onnx").stat().st_mtime_ns
    again = compress(lexicon, recipe("two", QUANTIZE), text_task, store)
    assert again.model == first.model
    assert again.cost == first.cost
    assert (again.model.path / "model.onnx").stat().st_mtime_ns == stamp
    assert len(made(store)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda task: replace(task, train=replace(task.train, fingerprint="other rows")),
        lambda task: replace(task, train=None),
        lambda task: replace(task, selection=replace(task.selection, fingerprint="other rows")),
    ],
    ids=["other rows", "no rows", "other selection"],
)
def test_other_rows_to_learn_from_make_another_model(lexicon, text_task, store, change):
    compress(lexicon, recipe("int8", QUANTIZE), text_task, store)
    compress(lexicon, recipe("int8", QUANTIZE), change(text_task), store)
    assert len(made(store)) == 2


def test_test_rows_are_no_part_of_what_a_model_depends_on(lexicon, text_task, store):
    compress(lexicon, recipe("int8", QUANTIZE), text_task, store)
    fewer = {"main": text_task.test["main"].rows(np.arange(50))}
    compress(lexicon, recipe("int8", QUANTIZE), replace(text_task, test=fewer), store)
    assert len(made(store)) == 1


def test_other_options_make_another_model(lexicon, text_task, store):
    compress(lexicon, recipe("a", QUANTIZE), text_task, store)
    compress(lexicon, recipe("b", PER_TENSOR), text_task, store)
    assert len(made(store)) == 2


def test_the_content_of_a_file_counts_and_not_its_name(lexicon, text_task, store, tmp_path):
    ids = text_task.train.ids.tolist()

    def student(name: str, answer: str) -> Model:
        (tmp_path / name).write_text("\n".join(["id,predicted", *(f"{i},{answer}" for i in ids)]))
        options = (*STUDENT.options, ("outputs", str(tmp_path / name)))
        asked = recipe("student", StepCall(use=STUDENT.use, options=options))
        return compress(lexicon, asked, text_task, store).model

    first = student("a.csv", "positive")
    assert student("b.csv", "positive").path == first.path
    assert student("a.csv", "negative").path != first.path
    gone = StepCall(use=STUDENT.use, options=(("outputs", str(tmp_path / "gone.csv")),))
    with pytest.raises(ModelError, match=r"gone\.csv: step 'distill_static': no such file"):
        compress(lexicon, recipe("student", gone), text_task, store)


def test_a_seed_counts_for_steps_that_draw_and_for_no_others(lexicon, text_task, store):
    for seed in (0, 1):
        compress(lexicon, recipe("int8", QUANTIZE, seed=seed), text_task, store)
    assert len(made(store)) == 1
    students = [
        compress(lexicon, recipe("student", STUDENT, seed=seed), text_task, store)
        for seed in (0, 1, 0)
    ]
    assert len(made(store)) == 3
    assert students[0].model == students[2].model
    assert students[0].model.fingerprint != students[1].model.fingerprint


def test_a_seed_of_the_step_itself_goes_before_that_of_the_recipe(lexicon, text_task, store):
    fixed = replace(STUDENT, options=(*STUDENT.options, ("seed", 5)))
    found = [
        compress(lexicon, recipe("student", fixed, seed=seed), text_task, store).model
        for seed in (0, 1)
    ]
    assert found[0] == found[1]


def test_a_step_that_fails_leaves_nothing_and_can_be_tried_again(lexicon, text_task, store):
    student = recipe("student", STUDENT)
    with pytest.raises(ModelError):
        compress(lexicon, student, replace(text_task, train=None), store)
    assert made(store) == set()
    assert compress(lexicon, student, text_task, store).model.size_bytes > 0
    assert len(made(store)) == 1


def test_the_baseline_is_left_as_it_was(lexicon, text_task, store):
    before = {p: p.read_bytes() for p in lexicon.path.rglob("*")}
    compress(lexicon, recipe("int8", QUANTIZE), text_task, store)
    assert {p: p.read_bytes() for p in lexicon.path.rglob("*")} == before


def test_what_a_folder_was_made_from_is_written_beside_it(lexicon, text_task, store):
    found = compress(lexicon, recipe("int8", PER_TENSOR), text_task, store)
    inputs = json.loads((found.model.path / ".inputs.json").read_text())
    assert inputs["step"] == "quantize_dynamic"
    assert inputs["options"] == {"head": True, "per_channel": False}
    assert inputs["model"] == lexicon.fingerprint
