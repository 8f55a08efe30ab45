"""A model's own settings are kept beside it, carried on, and obeyed."""

import json

import numpy as np
import pytest

from surefoot import models, plugins
from surefoot.compress import compress
from surefoot.core.errors import ModelError
from surefoot.core.model import Recipe, Settings, StepCall
from surefoot.models.runtimes.onnxruntime import open_session
from surefoot.store import Store


def test_the_weights_stay_and_the_settings_are_read_again(step, exported):
    made = step("set_runtime", exported, threads=2, graph_level="basic")
    assert made.settings == Settings(threads=2, graph_level="basic")
    assert models.read_model(made.path).settings == made.settings
    weights = [(m.path / m.file).read_bytes() for m in (made, exported)]
    assert weights[0] == weights[1]
    assert made.fingerprint != exported.fingerprint
    assert made.signature == exported.signature


def test_later_steps_carry_them_on_and_add_to_them(step, exported):
    made = step("set_runtime", exported, threads=2)
    later = step("set_runtime", step("quantize_dynamic", made), runtime="onnxruntime")
    assert later.settings == Settings(runtime="onnxruntime", threads=2)


def test_a_candidate_runs_where_its_model_says(exported, text_task, tmp_path):
    pytest.importorskip("openvino")
    call = StepCall(use="set_runtime", options=(("runtime", "openvino"),))
    made = compress(
        exported, Recipe(name="c", steps=(call,)), text_task, Store(tmp_path / "run", "key")
    )
    assert made.runtime == "openvino"
    assert models.own_runtime(exported) == "onnxruntime"
    with models.open_model(made.model) as one, models.open_model(exported) as other:
        rows = text_task.test["main"].inputs[:20]
        assert np.abs(one(rows) - other(rows)).max() < 1e-4


def test_own_threads_win(step, exported, monkeypatch):
    asked = []

    def open_watched(path, threads, **options):
        asked.append(threads)
        return open_session(path, threads, **options)

    monkeypatch.setattr("surefoot.models.runtimes.onnxruntime.open_session", open_watched)
    made = step("set_runtime", exported, threads=2)
    for model in (made, exported):
        with models.open_model(model, threads=1):
            pass
    assert asked == [2, 1]
    assert models.own_threads(made, 1) == 2


def test_the_graph_level_is_obeyed(step, exported):
    """The operators that run are those that ONNX Runtime makes of the graph at each level."""
    profile = plugins.module("runtime", "onnxruntime").profile

    def kernels(level):
        model = step("set_runtime", exported, graph_level=level)
        feeds = {name: np.ones((1, 8), np.int64) for name in model.signature.tensors}
        return sum(k.nodes for k in profile(model, [feeds] * 5))

    assert kernels("all") < kernels("none")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "changes nothing; give one of runtime, threads, graph_level"),
        ({"runtime": "torch"}, "runtime 'torch' does not read onnx; known: onnxruntime"),
        ({"runtime": "openvnio"}, "does not read onnx; did you mean 'openvino'"),
        ({"threads": 0}, "threads is 0; 1 or more"),
        (
            {"runtime": "openvino", "graph_level": "basic"},
            "openvino has no graph level 'basic'; leave graph_level out",
        ),
    ],
)
def test_what_cannot_be_is_refused(step, exported, options, complaint):
    with pytest.raises(ModelError, match=complaint):
        step("set_runtime", exported, **options)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not settings"),
        (json.dumps({"threads": True}), "not settings"),
        (json.dumps({"threads": 0}), "not settings"),
        (json.dumps({"runtime": 3}), "not settings"),
        (json.dumps({"graph_level": "most"}), "not settings"),
        (json.dumps({"colour": "red"}), "not settings"),
        (json.dumps({"runtime": "openvnio"}), "no runtime called 'openvnio'; did you mean"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, text, complaint):
    (tmp_path / "runtime.json").write_text(text)
    with pytest.raises(ModelError, match=complaint):
        models.settings.read(tmp_path)
