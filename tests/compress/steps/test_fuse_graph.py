"""Fused graphs hold ONNX Runtime's operators and answer as before, or the step says why not."""

import json

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps._fusion import find_heads, fused_transformer
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx


def test_attention_is_fused_and_proved(step, exported, operators, accuracy):
    made = step("fuse_graph", exported)
    assert operators(made).count("Attention") == 2
    proved = json.loads((made.path / "certificate.json").read_text())
    assert proved["fused"]["Attention"] == 2
    assert proved["flips"] == 0
    assert 0 <= proved["max_difference"] < 1e-5
    assert accuracy(made) == accuracy(exported)


def test_basic_leaves_plain_operators(step, exported, operators):
    made = step("fuse_graph", exported, level="basic")
    graph = onnx(made.path / made.file).graph
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}
    assert "Constant" not in operators(made)
    assert len(operators(made)) < len(operators(exported))


def test_heads_are_read_from_the_graph(exported):
    assert find_heads(onnx(exported.path / exported.file)) == (2, 32)


def test_a_graph_without_attention_has_no_heads(tiny_onnx_image):
    assert find_heads(onnx(tiny_onnx_image)) == (0, 0)


def test_batch_norms_are_folded_into_convolutions(step, images, operators):
    model, task = images
    assert "BatchNormalization" in operators(model)
    plain = step("fuse_graph", model, on=task, level="basic")
    assert operators(plain).count("Conv") == 2
    assert "BatchNormalization" not in operators(plain)
    assert "FusedConv" in operators(step("fuse_graph", model, on=task))


@pytest.mark.parametrize("level", ["basic", "extended"])
def test_refuses_where_nothing_is_left(step, images, level):
    model, task = images
    made = step("fuse_graph", model, on=task, level=level)
    with pytest.raises(ModelError, match=rf"nothing to fuse at level '{level}'; leave fuse_graph"):
        step("fuse_graph", made, on=task, level=level)


def test_a_graph_that_answers_otherwise_is_refused(step, exported, monkeypatch):
    from onnx import numpy_helper

    def off(proto, **options):
        made = fused_transformer(proto, **options)
        bias = next(t for t in made.graph.initializer if t.name == "head.bias")
        bias.CopyFrom(numpy_helper.from_array(np.array([0.5, 0], np.float32), "head.bias"))
        return made

    monkeypatch.setattr("surefoot.compress.steps.fuse_graph.fused_transformer", off)
    with pytest.raises(ModelError, match=r"off: fuse_graph gives outputs .* train-\d+"):
        step("fuse_graph", exported)


def test_takes_the_model_on_to_a_quantiser(step, exported, operators, accuracy):
    made = step("quantize_dynamic", step("fuse_graph", exported))
    assert "QAttention" in operators(made)
    assert accuracy(made) > accuracy(exported) - 0.03
    assert models.read_model(made.path).parent != exported.fingerprint


def cut(shape, *, width=32, perm=(0, 2, 1, 3)):
    """A graph that cuts hidden states of some columns to a shape and swaps its axes."""
    from onnx import TensorProto, helper, numpy_helper

    arrays = {"w": np.zeros((8, width), np.float32), "shape": np.array(shape)}
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["hidden"]),
                helper.make_node("Reshape", ["hidden", "shape"], ["heads"]),
                helper.make_node("Transpose", ["heads"], ["y"], perm=perm),
            ],
            "cut",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "length", 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [
                numpy_helper.from_array(weight, "w"),
                numpy_helper.from_array(np.array(shape), "shape"),
            ],
        )
    )


@pytest.mark.parametrize(
    ("graph", "heads"),
    [
        (cut([0, 0, 4, 8]), (4, 32)),
        (cut([0, 0, -1, 8]), (4, 32)),
        (cut([0, 0, 4, -1]), (4, 32)),
        (cut([0, 0, 5, -1]), (0, 0)),
        (cut([0, 0, 4, 8], perm=(0, 1, 3, 2)), (0, 0)),
    ],
)
def test_heads_may_be_given_in_several_ways(graph, heads):
    assert find_heads(graph) == heads


def test_settings_go_along(step, images):
    model, task = images
    made = step("fuse_graph", step("set_runtime", model, on=task, threads=2), on=task)
    assert made.settings.threads == 2
