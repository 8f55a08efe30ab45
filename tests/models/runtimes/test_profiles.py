"""Profiles of runtimes, held against the graphs that they really run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from surefoot.models.preprocess import tensors
from surefoot.models.runtimes import onnxruntime, openvino


def optimised(path, target):
    """How often each operator stands in the graph that ONNX Runtime makes of a file."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(target).graph.node)


def calls(model, inputs, number=8):
    feed = tensors(model)
    return [feed(inputs[:2]) for _ in range(number)]


@pytest.fixture
def image_model(adopted, tiny_onnx_image):
    return adopted(tiny_onnx_image, "image", classes=["cat", "dog"])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)


def test_the_operators_are_those_of_the_optimised_graph(image_model, images, tmp_path):
    found = onnxruntime.profile(image_model, calls(image_model, images))
    nodes = Counter[str]()
    for kernel in found:
        nodes[kernel.operator] += round(kernel.nodes)
    wanted = optimised(str(image_model.path / image_model.file), tmp_path / "optimised.onnx")
    assert nodes == wanted
    assert [kernel.ms for kernel in found] == sorted((k.ms for k in found), reverse=True)


def test_what_reads_weights_is_told_from_what_does_not(image_model, images):
    found = {k.operator: k for k in onnxruntime.profile(image_model, calls(image_model, images))}
    assert found["Conv"].weights
    assert found["Conv"].types == "float x float"
    assert not found["Conv"].integer
    assert not found["Flatten"].weights


def test_texts_are_profiled_too(adopted, tiny_onnx_text, texts, tmp_path):
    model = adopted(tiny_onnx_text, "text", classes=["negative", "positive"])
    found = onnxruntime.profile(model, calls(model, texts))
    nodes = Counter[str]()
    for kernel in found:
        nodes[kernel.operator] += round(kernel.nodes)
    assert nodes == optimised(str(model.path / model.file), tmp_path / "optimised.onnx")


def test_a_sum_and_a_layer_norm_stay_two_operators(tmp_path):
    """Fused they are several times slower; unasked, ONNX Runtime fuses them."""
    data = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
    ones = onnx.numpy_helper.from_array(np.ones(8, np.float32), "ones")
    nodes = [
        onnx.helper.make_node("Mul", ["x", "ones"], ["scaled"]),
        onnx.helper.make_node("Mul", ["x", "x"], ["squared"]),
        onnx.helper.make_node("Add", ["scaled", "squared"], ["sum"]),
        onnx.helper.make_node("LayerNormalization", ["sum", "ones", "ones"], ["y"], axis=-1),
    ]
    numbers = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, 8])
        for name in "xy"
    ]
    graph = onnx.helper.make_graph(nodes, "g", numbers[:1], numbers[1:], [ones])
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "norm.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    assert "SkipLayerNormalization" in optimised(str(path), tmp_path / "fused.onnx")
    session = onnxruntime.open_session(str(path), 1, profile=str(tmp_path / "profile"))
    session.run(None, {"x": data})
    assert "SkipLayerNormalization" not in Path(session.end_profiling()).read_text()


def test_no_profile_is_left_behind(image_model, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    onnxruntime.profile(image_model, calls(image_model, images))
    assert sorted(tmp_path.rglob("*")) == before


def test_openvino_names_the_precision_of_what_it_ran(image_model, images):
    found = openvino.profile(image_model, calls(image_model, images))
    (convolution,) = (k for k in found if k.operator == "Convolution")
    assert (convolution.types, convolution.integer, convolution.nodes) == ("f32", False, 1)
    assert all(kernel.ms >= 0 for kernel in found)
