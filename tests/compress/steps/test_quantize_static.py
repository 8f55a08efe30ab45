"""Statically quantised models multiply in integers, note their rows, and still answer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps import _calibration
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature
from surefoot.models.formats.onnx import onnx, save


def graph_of(model):
    return onnx(model.path / model.file).graph


def initializers(model):
    from onnx import numpy_helper

    return {t.name: numpy_helper.to_array(t) for t in graph_of(model).initializer}


def read_types(model, operator):
    """Types of activation and weight that an operator reads in integers."""
    from onnx import TensorProto

    graph = graph_of(model)
    makers = {name: node for node in graph.node for name in node.output}
    types = {t.name: TensorProto.DataType.Name(t.data_type) for t in graph.initializer}
    return {
        tuple(types[makers[name].input[2]] for name in node.input[:2])
        for node in graph.node
        if node.op_type == operator and makers[node.input[0]].op_type == "DequantizeLinear"
    }


def noted(model):
    return json.loads((model.path / "calibration.json").read_text())


def distance(one, other, inputs):
    with models.open_model(one) as first, models.open_model(other) as second:
        return np.abs(first(inputs) - second(inputs)).mean()


def test_a_transformer_is_small_and_still_answers(step, exported, accuracy, operators):
    made = step("quantize_static", exported)
    weights = [sum(a.nbytes for a in initializers(m).values()) for m in (made, exported)]
    assert weights[0] < 0.35 * weights[1]
    assert accuracy(made) > accuracy(exported) - 0.03
    assert read_types(made, "MatMul") == {("UINT8", "INT8")}
    assert operators(made).count("QuantizeLinear") >= 2 * 4  # none after a product
    assert noted(made)["left_in_floats"] == []


def test_products_without_weights_stay_in_floats(step, exported):
    graph = graph_of(step("quantize_static", exported))
    makers = {name: node.op_type for node in graph.node for name in node.output}
    products = [n for n in graph.node if n.op_type == "MatMul"]
    assert sum(makers.get(n.input[1]) == "DequantizeLinear" for n in products) == 2 * 6
    assert len(products) == 2 * 8 + 1  # two in each attention, and the head


def test_products_behind_fused_operators_are_quantised_too(step, fused, accuracy):
    made = step("quantize_static", fused)
    assert noted(made)["left_in_floats"] == []
    assert read_types(made, "MatMul") == {("UINT8", "INT8")}
    assert accuracy(made) > accuracy(fused) - 0.03


def test_a_convolutional_net_is_quantised_whole(step, images, operators):
    model, task = images
    made = step("quantize_static", model, on=task)
    assert read_types(made, "Conv") == {("UINT8", "INT8")}
    assert {"BatchNormalization", "Relu"}.isdisjoint(operators(made))  # both are folded
    assert distance(made, model, task.train.inputs) < 0.02


def test_per_channel_gives_every_filter_its_scale(step, images):
    model, task = images

    def scales(made):
        arrays = initializers(made)
        graph = graph_of(made)
        return [
            arrays[n.input[1]].size
            for n in graph.node
            if n.op_type == "DequantizeLinear" and arrays.get(n.input[0], np.empty(0)).ndim == 4
        ]

    assert scales(step("quantize_static", model, on=task)) == [4, 8]
    assert scales(step("quantize_static", model, on=task, per_channel=False)) == [1, 1]


def test_qoperator_writes_integer_operators(step, images, exported, operators, texts):
    model, task = images
    assert "QLinearConv" in operators(step("quantize_static", model, on=task, format="qoperator"))
    made = step("quantize_static", exported, format="qoperator")
    assert "QLinearMatMul" in operators(made)
    assert distance(made, exported, texts) < 0.1


def test_the_head_is_quantised_on_demand(step, images):
    model, task = images
    without = step("quantize_static", model, on=task)
    assert initializers(without)["head.weight"].dtype == np.float32
    made = step("quantize_static", model, on=task, head=True)
    assert noted(made)["left_in_floats"] == []
    assert read_types(made, "MatMul") == {("UINT8", "INT8")}


def test_tables_can_stay_in_floats(step, exported):
    without = step("quantize_static", exported, embeddings=False)
    assert step("quantize_static", exported).size_bytes < without.size_bytes


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_every_calibration_notes_its_rows(step, images, calibration, capfd):
    model, task = images
    made = step("quantize_static", model, on=task, calibration=calibration, rows=30)
    found = noted(made)
    assert (found["calibration"], found["rows"]) == (calibration, 30)
    wanted = task.train.ids[np.linspace(0, len(task.train) - 1, 30).astype(int)]
    assert found["ids"] == wanted.tolist()
    assert distance(made, model, task.train.inputs) < 0.05
    assert capfd.readouterr() == ("", "")


def test_calibrations_differ(step, images):
    model, task = images
    made = [
        step("quantize_static", model, on=task, calibration=c, rows=30).fingerprint
        for c in ("minmax", "percentile", "entropy")
    ]
    assert len(set(made)) == 3


def test_needs_training_rows(step, exported, text_task):
    with pytest.raises(ModelError, match="learns from training rows and there are none"):
        step("quantize_static", exported, on=replace(text_task, train=None))
    with pytest.raises(ModelError, match="rows is 0; give 1 or more"):
        step("quantize_static", exported, rows=0)


def test_says_so_when_nothing_is_left_to_quantise(step, images):
    model, task = images
    made = step("quantize_static", model, on=task)
    with pytest.raises(ModelError, match=r"has nothing to quantise: .* leave quantize_static out"):
        step("quantize_static", made, on=task)


def spoilt(model, folder, weight):
    """The model with one weight of its head in the place of all."""
    from onnx import numpy_helper

    folder.mkdir()
    proto = onnx(model.path / model.file)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("head"):
            array = np.full_like(numpy_helper.to_array(tensor), weight)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    save(proto, folder / "model.onnx")
    return models.seal(
        folder, name="s", format="onnx", file="model.onnx", signature=model.signature
    )


@pytest.mark.parametrize(
    ("weight", "complaint"),
    [(np.nan, "gives 20 rows that are not finite"), (0.0, "gives the same for all of 20 rows")],
)
def test_dead_results_are_refused(images, tmp_path, weight, complaint):
    model, task = images
    feeds = _calibration.calibration_feeds(model, task.train.rows(np.arange(20)))
    with pytest.raises(ModelError, match=complaint):
        _calibration.check_alive(spoilt(model, tmp_path / "s", weight), model, feeds)


def test_a_model_that_always_said_the_same_may_go_on(images, tmp_path):
    model, task = images
    same = spoilt(model, tmp_path / "s", 0.0)
    feeds = _calibration.calibration_feeds(model, task.train.rows(np.arange(20)))
    _calibration.check_alive(same, same, feeds)


def numeric_model(folder, nodes, arrays):
    """An ONNX model of 4 numbers and 3 classes out of these nodes."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx import save as write

    folder.mkdir()
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    write(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "model.onnx")
    signature = Signature(input="numeric", classes=("a", "b", "c"), tensors=("features",), width=4)
    return models.seal(folder, name="n", format="onnx", file="model.onnx", signature=signature)


def layers(*extra):
    """Two linear layers with something between them."""
    from onnx import helper

    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(0, 1, (4, 16)), "head": rng.normal(0, 1, (16, 3))}
    nodes = [helper.make_node("MatMul", ["features", "w"], ["hidden"]), *extra]
    nodes.append(helper.make_node("MatMul", [nodes[-1].output[0], "head"], ["logits"]))
    return nodes, arrays


def test_numbers_are_quantised_whole(step, numbers, tmp_path, operators):
    from onnx import helper

    model = numeric_model(
        tmp_path / "net", *layers(helper.make_node("Relu", ["hidden"], ["active"]))
    )
    task = numbers()
    made = step("quantize_static", model, on=task, head=True)
    assert operators(made).count("QuantizeLinear") == 3  # what goes in, between, and comes out
    assert distance(made, model, task.train.inputs) < 0.05


def test_a_softmax_inside_leaves_what_is_between_products_in_floats(
    step, numbers, tmp_path, operators
):
    from onnx import helper

    softmax = helper.make_node("Softmax", ["hidden"], ["shares"])
    model = numeric_model(tmp_path / "net", *layers(softmax))
    made = step("quantize_static", model, on=numbers(), head=True)
    graph = graph_of(made)
    readers = {name: node.op_type for node in graph.node for name in node.input}
    products = [node.output[0] for node in graph.node if node.op_type == "MatMul"]
    assert readers[products[0]] == "Softmax"
    assert operators(made).count("QuantizeLinear") == 2


def test_a_quantiser_that_fails_is_said_with_the_operators(step, images, monkeypatch):
    from onnxruntime import quantization

    def fails(*_, **__):
        raise ValueError("odd operator")

    monkeypatch.setattr(quantization, "quantize_static", fails)
    model, task = images
    with pytest.raises(ModelError, match=r"Conv, Flatten.* quantiser fails: odd operator"):
        step("quantize_static", model, on=task)


def test_the_same_twice(step, images):
    model, task = images
    made = step("quantize_static", model, on=task)
    assert step("quantize_static", model, on=task).fingerprint == made.fingerprint
    assert made.parent == model.fingerprint
