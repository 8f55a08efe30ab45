"""Fused graphs hold ONNX Runtime's operators and answer as before, or the step says why not."""

import json

import numpy as np
import onnxruntime
import pytest

from surefoot import models
from surefoot.compress.steps._fusion import _cuts, _write_heads, find_heads, fused_transformer
from surefoot.compress.steps._modules import open_module, save_module
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
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
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


@pytest.mark.parametrize("form", ["constant", "joined"])
def test_open_numbers_of_heads_are_written_for_each_layer(form):
    """Two layers that cut 32 and 16 columns into heads of 8, with one shape between them."""
    from onnx import TensorProto, checker, helper, numpy_helper

    arrays = {"w32": np.zeros((8, 32), np.float32), "w16": np.zeros((8, 16), np.float32)}
    nodes = []
    if form == "constant":
        arrays["shape"] = np.array([0, 0, -1, 8])
    else:
        arrays |= {
            name: np.array([size]) for name, size in (("any", 0), ("open", -1), ("eight", 8))
        }
        nodes = [helper.make_node("Concat", ["any", "any", "open", "eight"], ["shape"], axis=0)]
    for width in (32, 16):
        nodes += [
            helper.make_node("MatMul", ["x", f"w{width}"], [f"hidden{width}"]),
            helper.make_node("Reshape", [f"hidden{width}", "shape"], [f"cut{width}"]),
            helper.make_node("Transpose", [f"cut{width}"], [f"y{width}"], perm=(0, 2, 1, 3)),
        ]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "heads",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "length", 8])],
            [
                helper.make_tensor_value_info(f"y{w}", TensorProto.FLOAT, [None] * 4)
                for w in (32, 16)
            ],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    _write_heads(proto)
    checker.check_model(proto)
    assert [cut[1:] for cut in _cuts(proto)] == [(4, 32), (2, 16)]
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    shapes = [y.shape for y in session.run(None, {"x": np.zeros((3, 5, 8), np.float32)})]
    assert shapes == [(3, 4, 5, 8), (3, 2, 5, 8)]


def uneven(encoder, folder):
    """The encoder with one of its two heads gone from the second layer, and a split product."""
    import torch
    from torch import nn

    lifted = open_module(encoder)
    first, second = lifted.module.encoder.encoder.layer
    attention = second.attention
    with torch.no_grad():
        for name in ("query", "key", "value"):
            whole = getattr(attention.self, name)
            half = nn.Linear(32, 16)
            half.weight.copy_(whole.weight[:16])
            half.bias.copy_(whole.bias[:16])
            setattr(attention.self, name, half)
        half = nn.Linear(16, 32)
        half.weight.copy_(attention.output.dense.weight[:, :16])
        half.bias.copy_(attention.output.dense.bias)
        attention.output.dense = half
    attention.self.num_attention_heads, attention.self.all_head_size = 1, 16
    first.intermediate.dense = nn.Sequential(nn.Linear(32, 8, bias=False), nn.Linear(8, 64))
    folder.mkdir()
    return save_module(lifted, folder, name="uneven", inputs=make_rows())


def make_rows():
    return np.array(["the film was lovely", "a dull story"], np.dtypes.StringDType())


def heads_of(model):
    graph = onnx(model.path / model.file).graph
    return [
        next(a.i for a in node.attribute if a.name == "num_heads")
        for node in graph.node
        if node.op_type == "Attention"
    ]


def test_layers_with_heads_of_their_own_are_fused_with_them(step, encoder, accuracy, tmp_path):
    """The configuration says 2 heads for all; structure.json says 1 for the second layer."""
    model = uneven(encoder, tmp_path / "uneven")
    assert json.loads((model.path / "structure.json").read_text())
    at_once = step("export_onnx", model, fuse=True, exporter="torchscript")
    later = step("fuse_graph", step("export_onnx", model, exporter="torchscript"))
    for made in (at_once, later):
        assert heads_of(made) == [2, 1]
        proved = json.loads((made.path / "certificate.json").read_text())
        assert proved["flips"] == 0
        assert proved["max_difference"] < 1e-5
        assert accuracy(made) == accuracy(model)


def test_attention_of_split_products_is_left_as_it_is(step, encoder, accuracy, operators):
    thin = step("low_rank", encoder, rank_share=0.2, activations=False)
    made = step("export_onnx", thin, fuse=True, exporter="torchscript")
    assert heads_of(made) == []
    assert "BiasGelu" in operators(made)
    assert accuracy(made) == accuracy(thin)
