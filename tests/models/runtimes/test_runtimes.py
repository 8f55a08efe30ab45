"""What every runtime has to do, and what only one of them does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surefoot import plugins
from surefoot.core.errors import ModelError
from surefoot.core.model import Model
from surefoot.models import open_model
from surefoot.models.runtimes._common import class_output

TWO = ["negative", "positive"]


@pytest.fixture
def everything(adopted, request) -> list[Model]:
    names = ("tiny_bert", "tiny_onnx_text", "tiny_onnx_numeric", "tiny_onnx_image", "tiny_sklearn")
    tiny_bert, tiny_onnx_text, tiny_onnx_numeric, tiny_onnx_image, tiny_sklearn = map(
        request.getfixturevalue, names
    )
    return [
        adopted(tiny_bert, folder="bert"),
        adopted(tiny_onnx_text, folder="lexicon", classes=TWO),
        adopted(tiny_onnx_numeric, "numeric", "linear", classes=["a", "b", "c"]),
        adopted(tiny_onnx_image, "image", "image", classes=TWO),
        adopted(tiny_sklearn, "numeric", "sklearn"),
    ]


def inputs_for(model: Model, texts: np.ndarray, rows: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    if model.signature.input == "text":
        return texts[:rows]
    if model.signature.input == "image":
        return rng.integers(0, 256, (rows, *model.signature.shape), np.uint8)
    return rng.standard_normal((rows, model.signature.width or 1), np.float32)


@pytest.mark.parametrize("name", plugins.names("runtime"))
def test_runtimes_agree_with_the_default_one(name, everything, texts) -> None:
    formats = plugins.module("runtime", name).FORMATS
    able = [model for model in everything if model.format in formats]
    assert able
    for model in able:
        inputs = inputs_for(model, texts)
        with open_model(model) as reference, open_model(model, runtime=name, threads=2) as predict:
            np.testing.assert_allclose(predict(inputs), reference(inputs), atol=1e-5)
            np.testing.assert_array_equal(predict(inputs), predict(inputs))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_broken_file_is_named(name, everything) -> None:
    model = everything[2]
    path = model.path / model.file
    path.write_bytes(path.read_bytes()[:60])
    with (
        pytest.raises(ModelError, match=r"model\.onnx: .* cannot read it"),
        open_model(model, runtime=name),
    ):
        pass


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_inputs_that_break_the_graph_are_a_model_error(name, everything) -> None:
    features = np.zeros((2, 9), np.float32)
    with (
        plugins.find("runtime", name)(everything[2]) as run,
        pytest.raises(ModelError, match="fails on its inputs"),
    ):
        run({"features": features})


def test_results_outlive_the_next_call(everything) -> None:
    model = everything[2]
    for name in ("onnxruntime", "openvino"):
        with plugins.find("runtime", name)(model) as run:
            first = run({"features": np.ones((2, 4), np.float32)})
            before = first.copy()
            run({"features": np.full((2, 4), 9, np.float32)})
            np.testing.assert_array_equal(first, before)


def test_torch_gives_its_threads_back(everything) -> None:
    before = torch.get_num_threads()
    with open_model(everything[0], threads=before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_onnx_of_scikit_learn_needs_no_zipmap(adopted, tiny_sklearn, tmp_path) -> None:
    from skl2onnx import to_onnx

    from surefoot.models.formats.skops import skops

    estimator = skops(tiny_sklearn)
    sample = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)
    options = {"classes": ["ash", "birch", "oak"], "sample": sample}
    plain = to_onnx(estimator, sample[:1], options={"zipmap": False})
    (tmp_path / "plain.onnx").write_bytes(plain.SerializeToString())
    model = adopted(tmp_path / "plain.onnx", "numeric", "plain", **options)
    assert model.signature.output == "probabilities"
    with open_model(model) as predict:
        np.testing.assert_allclose(predict(sample), estimator.predict_proba(sample), atol=1e-5)
    mapped = to_onnx(estimator, sample[:1])
    (tmp_path / "mapped.onnx").write_bytes(mapped.SerializeToString())
    with pytest.raises(ModelError, match=r"no output is a matrix of class scores: .*zipmap=False"):
        adopted(tmp_path / "mapped.onnx", "numeric", "mapped", **options)


def test_onnx_that_takes_strings(adopted, tmp_path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    encode = helper.make_node(
        "LabelEncoder",
        ["text"],
        ["score"],
        domain="ai.onnx.ml",
        keys_strings=["good", "bad"],
        values_floats=[1.0, -1.0],
        default_float=0.0,
    )
    graph = helper.make_graph(
        [encode, helper.make_node("MatMul", ["score", "signs"], ["logits"])],
        "words",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n", 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array([[-1, 1]], np.float32), "signs")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 2)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "words.onnx")
    with open_model(adopted(tmp_path / "words.onnx", classes=TWO)) as predict:
        found = predict(np.array(["good", "bad", "other"], np.dtypes.StringDType()))
    np.testing.assert_allclose(found[:, 1], [0.8808, 0.1192, 0.5], atol=1e-4)


def test_onnx_that_takes_doubles_and_gives_them(adopted, tmp_path) -> None:
    from onnx import TensorProto, helper, save

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, tmp_path / "same.onnx")
    with open_model(adopted(tmp_path / "same.onnx", "numeric", classes=["a", "b", "c"])) as predict:
        found = predict(np.eye(3, dtype=np.float32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.argmax(1), [0, 1, 2])


@pytest.mark.parametrize("classes", [2, 3])
def test_decision_functions_become_logits(adopted, tmp_path: Path, classes: int) -> None:
    from sklearn.svm import LinearSVC

    from surefoot.models.formats.skops import save

    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((60, 4)).astype(np.float32)
    estimator = LinearSVC().fit(inputs, inputs[:, :classes].argmax(1))
    save(estimator, tmp_path / "svc.skops")
    model = adopted(tmp_path / "svc.skops", "numeric", sample=inputs[:8])
    assert model.signature.classes == tuple("012"[:classes])
    assert model.signature.output == "logits"
    with open_model(model) as predict:
        np.testing.assert_array_equal(predict(inputs).argmax(1), estimator.predict(inputs))


def test_the_output_named_logits_goes_before_the_first() -> None:
    states, logits = ("states", "float32", 2), ("logits", "tensor(float)", 2)
    assert class_output([states, logits], "m") == 1
    assert class_output([("label", "tensor(int64)", 1), states], "m") == 1
    assert class_output([("all", "float32", 3), ("open", "float32", None)], "m") == 1
    with pytest.raises(ModelError, match="'all' is float32 of rank 3"):
        class_output([("all", "float32", 3)], "m")
