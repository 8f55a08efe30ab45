"""A refitted head is the logistic regression on the features that the graph gives now."""

from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps._graph import find_head, head_features
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature
from surefoot.models.formats.onnx import onnx


def head_of(model):
    proto = onnx(model.path / model.file)
    return proto, find_head(proto.graph, model.path)


def spoiled(model, folder):
    """The model with a head that answers at random."""
    from onnx import save

    from surefoot.compress.steps._graph import replace_head

    proto, head = head_of(model)
    rng = np.random.default_rng(0)
    replace_head(proto, head, rng.standard_normal(head.weight.shape), np.zeros(2))
    folder.mkdir()
    save(proto, folder / "model.onnx")
    models.copy_preprocessing(model, folder)
    return models.seal(
        folder, name="spoiled", format="onnx", file="model.onnx", signature=model.signature
    )


def test_a_head_that_was_lost_is_won_back(step, exported, accuracy, tmp_path):
    bad = spoiled(exported, tmp_path / "spoiled")
    assert accuracy(bad) < 0.8
    assert accuracy(step("refit_head", bad)) > 0.95


def test_is_the_logistic_regression_on_its_own_features(step, exported, text_task):
    train = text_task.train
    proto, head = head_of(exported)
    features = head_features(exported, proto, head, train.inputs)
    weight, bias = models.fit_linear_head(features, np.eye(2)[train.labels], l2=3.0)
    scores = features @ weight.T + bias
    with models.open_model(step("refit_head", exported, l2=3.0)) as predict:
        found = predict(train.inputs)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_works_after_quantisation(step, exported, accuracy):
    small = step("quantize_dynamic", exported, per_channel=False)
    made = step("refit_head", small)
    assert accuracy(made) > 0.95
    assert made.parent == small.fingerprint
    assert abs(made.size_bytes - small.size_bytes) < 2000


def test_works_on_a_fused_graph(step, fused, accuracy):
    assert accuracy(step("refit_head", fused)) > 0.95


def test_works_twice(step, exported, accuracy):
    once = step("refit_head", exported)
    assert accuracy(step("refit_head", once)) > 0.95


def test_the_same_twice(step, exported):
    made = step("refit_head", exported)
    assert step("refit_head", exported).fingerprint == made.fingerprint
    assert models.read_model(made.path).fingerprint == made.fingerprint


def test_fewer_rows_give_another_head(step, exported, accuracy):
    few = step("refit_head", exported, rows=60)
    assert few.fingerprint != step("refit_head", exported).fingerprint
    assert accuracy(few) > 0.85


def sealed_linear(path, folder, classes):
    folder.mkdir()
    (folder / "model.onnx").write_bytes(path.read_bytes())
    signature = Signature(input="numeric", classes=classes, tensors=("features",), width=4)
    return models.seal(folder, name="linear", format="onnx", file="model.onnx", signature=signature)


@pytest.mark.parametrize("softmax", [False, True])
def test_a_product_without_bias_gets_one(step, linear, numbers, tmp_path, softmax):
    model = sealed_linear(
        linear(tmp_path / "linear.onnx", softmax=softmax), tmp_path / "model", ("a", "b", "c")
    )
    task = numbers()
    with models.open_model(step("refit_head", model, on=task, l2=0.01)) as predict:
        assert (predict(task.train.inputs).argmax(axis=1) == task.train.labels).mean() > 0.95


def test_a_graph_without_a_head_is_named(step, numbers, tiny_onnx_image, tmp_path):
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_onnx_image.read_bytes())
    signature = Signature(input="image", classes=("a", "b"), tensors=("pixels",), shape=(8, 8, 3))
    model = models.seal(folder, name="c", format="onnx", file="model.onnx", signature=signature)
    with pytest.raises(ModelError, match=r"model\.onnx: has no linear head: .* from Flatten"):
        step("refit_head", model, on=numbers(("a", "b")))


def test_a_quantised_head_is_no_head(step, exported):
    made = step("quantize_dynamic", exported, head=True)
    with pytest.raises(ModelError, match=r"no linear head.*quantise with head = false"):
        step("refit_head", made)


def test_needs_training_rows(step, exported, text_task):
    with pytest.raises(ModelError, match="'refit_head' learns from training rows"):
        step("refit_head", exported, on=replace(text_task, train=None))


def test_needs_the_classes_of_the_model(step, exported, text_task):
    other = replace(text_task, classes=("bad", "good"))
    with pytest.raises(ModelError, match="own classes"):
        step("refit_head", exported, on=other)


def test_refuses_a_negative_number_of_rows(step, exported):
    with pytest.raises(ModelError, match="rows is -1; 0 takes all"):
        step("refit_head", exported, rows=-1)
