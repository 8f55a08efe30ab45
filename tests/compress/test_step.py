"""What a step depends on, and what an error of it comes to."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from surefoot.compress import step as module
from surefoot.compress.step import NotDone, draws, finished, step_of
from surefoot.compress.workshop import UNLABELLED, blind, threads
from surefoot.core.errors import ModelError
from surefoot.core.model import StepCall
from surefoot.store import Store


@pytest.fixture
def lexicon(adopted, tiny_onnx_text):
    return adopted(tiny_onnx_text, classes=["negative", "positive"])


@pytest.fixture
def asked(lexicon, text_task):
    """The step that a call comes to: `asked("distill_static", dim=8, seed=3)`."""

    def ask(use, *, recipe_seed=0, on=text_task, baseline=lexicon, **options):
        call = StepCall(use=use, options=tuple(sorted(options.items())))
        return step_of(call, lexicon, recipe_seed, baseline, on)

    return ask


@pytest.mark.parametrize(
    ("use", "options", "wanted"),
    [
        ("distill_static", {}, 7),  # that of the recipe
        ("distill_static", {"seed": 3}, 3),  # its own
        ("quantize_dynamic", {}, None),  # draws nothing
    ],
)
def test_the_seed_is_an_option_of_steps_that_draw(asked, use, options, wanted):
    step = asked(use, recipe_seed=7, **options)
    assert step.options.get("seed") == wanted
    assert step.inputs["options"].get("seed") == wanted
    call = StepCall(use=use, options=tuple(options.items()))
    assert draws(call) == (wanted == 7)


@pytest.mark.parametrize(("use", "given"), [("recalibrate", ("teacher",)), ("refit_head", ())])
def test_the_baseline_counts_for_steps_that_are_given_it(asked, lexicon, use, given):
    other = replace(lexicon, fingerprint="another")
    one, two = asked(use), asked(use, baseline=other)
    assert one.given == given
    assert ("teacher" in one.inputs) == bool(given)
    assert (one.inputs != two.inputs) == bool(given)


def test_unlabelled_rows_count_where_there_are_any(asked, text_task):
    extra = replace(text_task.selection, fingerprint="more")
    assert "extra" not in asked("distill_static").inputs
    found = asked("distill_static", on=replace(text_task, unlabelled=extra))
    assert found.inputs["extra"] == "more"


@pytest.mark.parametrize(
    ("use", "fix"), [("distill", None), ("drop_layers", None), ("low_rank", None)]
)
def test_another_format_is_refused(asked, lexicon, use, fix):
    with pytest.raises(ModelError, match=rf"step '{use}' needs .*, but is given onnx") as error:
        asked(use)
    assert (error.value.where, error.value.fix) == (lexicon.name, fix)


def test_an_onnx_step_on_another_format_names_the_exporter(lexicon, text_task):
    call, model = StepCall(use="quantize_static"), replace(lexicon, format="pickle")
    with pytest.raises(ModelError, match="but is given pickle") as error:
        step_of(call, model, 0, lexicon, text_task)
    assert error.value.fix == "put export_onnx before it"


def test_a_file_that_is_not_there_is_named(asked, tmp_path):
    missing = tmp_path / "scores.csv"
    with pytest.raises(ModelError, match="step 'distill_static': no such file") as error:
        asked("distill_static", outputs=str(missing))
    assert error.value.where == str(missing)


@pytest.mark.parametrize(
    ("there", "device", "alone"),
    [(True, "auto", True), (True, "cuda", True), (True, "cpu", False), (False, "auto", False)],
)
def test_a_step_is_alone_where_it_may_take_the_accelerator(
    lexicon, text_task, tmp_path, monkeypatch, there, device, alone
):
    place = tmp_path / "accelerator"
    if there:
        place.touch()
    monkeypatch.setattr(module, "ACCELERATORS", (str(place),))
    call = StepCall(use="distill", options=(("device", device),))
    model = replace(lexicon, format="huggingface")
    assert step_of(call, model, 0, lexicon, text_task).alone == alone


@pytest.mark.parametrize(
    ("error", "short_of", "why"),
    [
        (MemoryError(), "memory", "the step s needs more memory than there is"),
        (MemoryError("of 3 GB"), "memory", "needs more memory than there is: of 3 GB"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "memory",
            "more memory than there is: DefaultCPUAllocator",
        ),
        (ValueError("odd"), "", "the step s failed: ValueError: odd; SUREFOOT_DEBUG=1"),
        (
            KeyError("a"),
            "",
            "the step s failed: KeyError: 'a'; SUREFOOT_DEBUG=1",
        ),
        (
            RuntimeError("bad\nNo Op registered for Foo with"),
            "",
            r"RuntimeError: bad (operator Foo); SUREFOOT",
        ),
        (
            RuntimeError("No Op registered for Foo with"),  # named once is enough
            "",
            "RuntimeError: No Op registered for Foo with; SUREFOOT",
        ),
    ],
)
def test_errors_in_the_words_of_a_user(monkeypatch, error, short_of, why):
    monkeypatch.delenv("SUREFOOT_DEBUG", raising=False)
    found = module._explained("s", error)
    assert isinstance(found, NotDone)
    assert found.short_of == short_of
    assert why in found.why


def test_who_looks_for_the_place_is_not_told_how_to(monkeypatch):
    monkeypatch.setenv("SUREFOOT_DEBUG", "1")
    assert module._explained("s", ValueError("odd")).why == "the step s failed: ValueError: odd"


def test_torch_has_its_threads_again_after_a_step_that_failed():
    import torch

    before = torch.get_num_threads()
    with suppress(KeyError), module._threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_model_that_was_changed_since_is_not_taken(lexicon, text_task, tmp_path):
    call = StepCall(use="quantize_dynamic", options=(("head", True),))
    step = step_of(call, lexicon, 0, lexicon, text_task)
    with module.stepper(lexicon, text_task, Store(tmp_path / "store"), 1) as do:
        made, cost = do(step, print)
        again, same = do(step, print)
    assert (again.fingerprint, same) == (made.fingerprint, cost)
    assert cost.rows == 0  # it learns from none
    with (made.path / made.file).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError):
        finished(made.path)


def test_a_step_that_says_what_is_wrong_is_quoted(lexicon, text_task, tmp_path):
    step = step_of(StepCall(use="quantize_dynamic"), lexicon, 0, lexicon, text_task)
    bare = replace(step, use="quantize_static", options={"rows": 0})
    with module.stepper(lexicon, text_task, Store(tmp_path / "store"), 1) as do:
        found = do(bare, print)
    assert found == NotDone(
        why="step 'quantize_static': rows is 0; give 1 or more, for example 256"
    )


@pytest.mark.parametrize(
    ("said", "cpus", "wanted"),
    [(None, 1, 1), (None, 2, 1), (None, 6, 3), (None, 64, 4), ("7", 2, 7), ("many", 4, 2)],
)
def test_threads_are_half_of_the_processors_unless_said(monkeypatch, said, cpus, wanted):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    assert threads() == wanted


@pytest.mark.parametrize("kept", ["train", "selection"])
def test_steps_see_no_test_row_where_there_are_others(text_task, kept):
    lost = {"train": "selection", "selection": "train"}[kept]
    task = replace(text_task, **{lost: None}, calibration=text_task.test["main"])
    found = blind(task)
    assert found.test == {}
    assert found.calibration is None
    assert getattr(found, kept) is getattr(task, kept)


def test_steps_see_a_few_test_inputs_without_labels_where_there_is_nothing_else(text_task):
    found = blind(replace(text_task, train=None, selection=None))
    (few,) = found.test.values()
    rows = text_task.test["main"]
    assert len(few) == UNLABELLED
    assert not few.labels.any()
    assert set(few.ids.tolist()) <= set(rows.ids.tolist())
    assert (few.ids[0], few.ids[-1]) == (rows.ids[0], rows.ids[-1])
    small = replace(text_task, train=None, selection=None, test={"main": rows.rows(np.arange(5))})
    assert len(blind(small).test["main"]) == 5
