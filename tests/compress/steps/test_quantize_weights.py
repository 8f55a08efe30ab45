"""Weights of few bits are small, their products stay products of floats, and options count."""

import numpy as np
import pytest
from onnx import TensorProto

from surefoot import models
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx


def products(model):
    """The settings of every product on weights of few bits."""
    graph = onnx(model.path / model.file).graph
    return [
        {a.name: a.i for a in node.attribute}
        for node in graph.node
        if node.op_type == "MatMulNBits"
    ]


def distance(one, other, inputs):
    with models.open_model(one) as first, models.open_model(other) as second:
        return np.abs(first(inputs) - second(inputs)).mean()


def test_all_products_with_weights_but_the_head(step, exported, operators):
    made = step("quantize_weights", exported)
    assert len(products(made)) == 2 * 6
    assert operators(made).count("MatMul") == 2 * 2 + 1
    assert len(products(step("quantize_weights", exported, head=True))) == 2 * 6 + 1


def test_eight_bits_answer_as_before(step, exported, accuracy, texts):
    made = step("quantize_weights", exported)
    assert accuracy(made) == pytest.approx(accuracy(exported), abs=0.01)
    assert distance(made, exported, texts) < 0.01


def test_fewer_bits_are_smaller_and_further_away(step, exported, texts):
    eight, four = (step("quantize_weights", exported, bits=bits) for bits in (8, 4))
    assert four.size_bytes < eight.size_bytes < exported.size_bytes
    assert distance(eight, exported, texts) < distance(four, exported, texts)


def test_settings_are_those_asked_for(step, exported):
    made = step("quantize_weights", exported, bits=4, block_size=16, compute="float32")
    found = products(made)
    assert {(p["bits"], p["block_size"], p["accuracy_level"]) for p in found} == {(4, 16, 1)}
    assert {p["accuracy_level"] for p in products(step("quantize_weights", exported))} == {4}


def test_tables_can_stay_in_floats(step, exported):
    def table_types(model):
        graph = onnx(model.path / model.file).graph
        read = {node.input[0] for node in graph.node if node.op_type == "Gather"}
        kinds = {t.data_type for t in graph.initializer if t.name in read and len(t.dims) == 2}
        return kinds & {TensorProto.UINT8, TensorProto.FLOAT}

    assert table_types(step("quantize_weights", exported)) == {TensorProto.UINT8}
    floats = table_types(step("quantize_weights", exported, embeddings=False))
    assert floats == {TensorProto.FLOAT}


def test_linear_layers_of_other_nets_count_too(step, adopted, tmp_path, numbers):
    from onnx import helper, numpy_helper, save

    rng = np.random.default_rng(0)
    shapes = {"w": (32, 4), "b": (32,), "head.w": (3, 32), "head.b": (3,)}
    arrays = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["features", "w", "b"], ["hidden"], transB=1),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "head.w", "head.b"], ["logits"], transB=1),
        ],
        "net",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "net.onnx")
    task = numbers()
    model = adopted(tmp_path / "net.onnx", "numeric", classes=["a", "b", "c"])
    made = step("quantize_weights", model, on=task)
    assert len(products(made)) == 1
    assert len(products(step("quantize_weights", model, on=task, head=True))) == 2
    assert distance(made, model, task.train.inputs) < 0.02


def test_a_block_size_without_kernels_is_refused(step, exported):
    with pytest.raises(ModelError, match=r"block_size is 24; give one of 16, 32, 64, 128, 256"):
        step("quantize_weights", exported, block_size=24)


def test_says_so_of_a_graph_without_products(step, images):
    model, task = images
    with pytest.raises(ModelError, match=r"nothing to quantise: .* leave quantize_weights out"):
        step("quantize_weights", model, on=task)
