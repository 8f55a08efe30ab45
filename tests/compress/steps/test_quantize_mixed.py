"""The guiltiest layers go back to floats, and what stays in 8 bits is said and measured."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps._mixed import sqnr_db
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature


def graph_of(model):
    from surefoot.models.formats.onnx import onnx

    return onnx(model.path / model.file).graph


def in_codes(model):
    """The names of the layers that read decoded codes."""
    graph = graph_of(model)
    decoded = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    products = ("Conv", "MatMul", "Gemm")
    return {n.name for n in graph.node if n.op_type in products and n.input[1] in decoded}


def report(model):
    return json.loads((model.path / "sensitivity.json").read_text())


def answers(model, inputs, runtime="onnxruntime"):
    with models.open_model(model, runtime=runtime) as predict:
        return predict(inputs)


@pytest.fixture
def image(tmp_path):
    """Two convolutions, the second of which adds what went into it."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    shapes = {"first": (4, 3, 3, 3), "second": (4, 4, 3, 3), "head": (4, 2)}
    weights = {k: rng.normal(0, 0.3, v).astype(np.float32) for k, v in shapes.items()}
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixels", "first"], ["a"], "conv-1", **pads),
            helper.make_node("Relu", ["a"], ["b"], "relu-1"),
            helper.make_node("Conv", ["b", "second"], ["c"], "conv-2", **pads),
            helper.make_node("Add", ["b", "c"], ["d"], "add"),
            helper.make_node("Relu", ["d"], ["e"], "relu-2"),
            helper.make_node("GlobalAveragePool", ["e"], ["f"], "pool"),
            helper.make_node("Flatten", ["f"], ["g"], "flat"),
            helper.make_node("MatMul", ["g", "head"], ["logits"], "head"),
        ],
        "residual",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    folder = tmp_path / "image"
    folder.mkdir()
    opsets = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), folder / "model.onnx")
    signature = Signature(input="image", classes=("a", "b"), tensors=("pixels",), shape=(8, 8, 3))
    return models.seal(folder, name="c", format="onnx", file="model.onnx", signature=signature)


@pytest.fixture
def pictures(text_task):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    train = replace(text_task.train.rows(np.arange(60)), inputs=pixels, classes=("a", "b"))
    return replace(text_task, train=train, selection=None, classes=("a", "b"))


def test_all_layers_stay_in_8_bits_where_few_answers_change(step, exported, accuracy):
    made = step("quantize_mixed", exported, rows=24, max_flips=0.05)
    assert made.size_bytes < exported.size_bytes
    assert len(in_codes(made)) == 2 * 6
    assert report(made)["way"] == [{"put_back": 0, "flips": report(made)["way"][0]["flips"]}]
    assert accuracy(made) > accuracy(exported) - 0.03


def test_the_ranking_names_every_layer_once_the_guiltiest_first(step, exported):
    made = step("quantize_mixed", exported, rows=24)
    ranking = report(made)["ranking"]
    assert {layer["name"] for layer in ranking} >= in_codes(made)
    assert [layer["sqnr_db"] for layer in ranking] == sorted(la["sqnr_db"] for la in ranking)


def test_a_layer_that_8_bits_spoil_is_found_and_put_back(step, exported, tmp_path):
    """One weight's columns are scaled beyond what its input's codes can tell apart."""
    import shutil

    import onnx
    from onnx import helper, numpy_helper

    folder = tmp_path / "spoilt"
    shutil.copytree(exported.path, folder)
    proto = onnx.load(folder / "model.onnx")
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    (bad,) = [n for n in proto.graph.node if n.op_type == "MatMul" and "layer.1/output" in n.name]
    # A column of huge activations that meets weights of zero: no answer changes, every code does.
    source, weight = bad.input[0], numpy_helper.to_array(weights[bad.input[1]])
    wide = np.concatenate([weight, np.zeros((1, weight.shape[1]), np.float32)])
    proto.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([[[1e4]]]), "huge"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    place = list(proto.graph.node).index(bad)
    shape = [
        helper.make_node("ReduceMean", [source, "last"], ["mean"], "mean"),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"], "nothing"),
        helper.make_node("Add", ["nothing", "huge"], ["column"], "column"),
        helper.make_node("Concat", [source, "column"], ["widened"], "widened", axis=2),
    ]
    proto.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "last"))
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    bad.input[0], bad.input[1] = "widened", "wide"
    for offset, node in enumerate(shape):
        proto.graph.node.insert(place + offset, node)
    onnx.save(proto, folder / "model.onnx")
    (folder / "golden.npz").unlink(missing_ok=True)
    spoilt = models.seal(
        folder, name="s", format="onnx", file="model.onnx", signature=exported.signature
    )
    made = step("quantize_mixed", spoilt, rows=24, max_flips=0.0, most=0.5)
    noted = report(made)
    assert noted["ranking"][0]["name"] == bad.name
    assert noted["ranking"][0]["sqnr_db"] < noted["ranking"][1]["sqnr_db"] - 5
    if noted["way"][0]["flips"]:
        assert bad.name in noted["put_back"]
        assert bad.name not in in_codes(made)


def test_sums_past_attention_read_floats(step, exported):
    graph = graph_of(step("quantize_mixed", exported, rows=24, max_flips=1.0, embeddings=False))
    decoded = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    readers = {n.op_type for n in graph.node if set(n.input) & decoded}
    assert readers <= {"MatMul", "Gemm"}


def test_with_all_layers_put_back_it_is_its_source(exported, text_task, tmp_path):
    from surefoot.compress.steps import quantize_mixed as module
    from surefoot.compress.steps._calibration import calibration_feeds
    from surefoot.compress.steps._mixed import outputs

    feeds = calibration_feeds(exported, text_task.train.rows(np.arange(16)))
    mixed = module._quantised(exported, feeds, tmp_path, embeddings=False, head=True)
    calls = module._calls(exported, text_task.selection, 20)
    made = mixed.put_back(mixed.layers)
    assert not {n.op_type for n in made.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    assert np.allclose(
        outputs(made, calls, tmp_path), outputs(mixed.floats, calls, tmp_path), atol=1e-5
    )


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_run_it(step, exported, texts, runtime):
    pytest.importorskip(runtime)
    made = step("quantize_mixed", exported, rows=24)
    wanted, found = answers(exported, texts), answers(made, texts, runtime)
    assert (found.argmax(1) != wanted.argmax(1)).mean() <= 0.05


def test_convolutions_pass_integers_and_can_be_put_back(step, image, pictures):
    from surefoot.compress.steps import quantize_mixed as module
    from surefoot.compress.steps._calibration import calibration_feeds

    made = step("quantize_mixed", image, on=pictures, rows=40, max_flips=0.1)
    assert in_codes(made) == {"conv-1", "conv-2"}
    assert report(made)["judged_on"]["dataset"] == "train"
    pixels = pictures.train.inputs
    for runtime in ("onnxruntime", "openvino"):
        assert np.abs(answers(made, pixels, runtime) - answers(image, pixels)).max() < 0.1
    feeds = calibration_feeds(image, pictures.train)
    mixed = module._quantised(image, feeds, image.path.parent, embeddings=True, head=False)
    assert mixed.whole
    halfway = mixed.put_back(["conv-2"]).graph
    (layer,) = [n for n in halfway.node if n.name == "conv-2"]
    assert layer.input[1] == "second_in_floats"


def test_max_flips_of_1_asks_nothing_and_most_of_0_puts_nothing_back(step, exported):
    for options in ({"max_flips": 1.0}, {"max_flips": 0.0, "most": 0.0}):
        noted = report(step("quantize_mixed", exported, rows=16, **options))
        assert noted["put_back"] == []
        assert len(noted["way"]) == 1


def test_says_so_when_nothing_is_left_to_quantise(step, exported):
    made = step("quantize_dynamic", exported, head=True)
    with pytest.raises(ModelError, match="has nothing to quantise"):
        step("quantize_mixed", made, rows=8)


def test_refuses_shares_that_are_none(step, exported):
    with pytest.raises(ModelError, match=r"max_flips is 3; give a share from 0 to 1"):
        step("quantize_mixed", exported, max_flips=3)


def test_sqnr_is_of_what_tells_classes_apart():
    wanted = np.array([[1.0, -1.0], [2.0, -2.0]])
    assert sqnr_db(wanted, wanted + 5.0) > 200
    assert sqnr_db(wanted, 1.1 * wanted) == pytest.approx(20.0)


def test_prints_nothing(step, exported, capfd):
    step("quantize_mixed", exported, rows=8)
    assert capfd.readouterr() == ("", "")


def test_sqnr_falls_by_6_db_where_the_noise_doubles():
    rng = np.random.default_rng(0)
    wanted, noise = rng.normal(0, 1, (9000, 5)), rng.normal(0, 0.01, (9000, 5))
    once, twice = sqnr_db(wanted, wanted + noise), sqnr_db(wanted, wanted + 2 * noise)
    assert once - twice == pytest.approx(20 * np.log10(2))
    assert once == pytest.approx(40, abs=0.5)  # a hundredth of the length
    assert sqnr_db(3 * wanted, 3 * (wanted + noise)) == pytest.approx(once)
    assert np.isfinite(sqnr_db(wanted * 0, wanted * 0))


@pytest.mark.parametrize("back", [[], ["conv-1"], ["conv-2"], ["conv-1", "conv-2"]])
def test_what_is_put_back_is_in_floats_and_the_rest_in_codes(image, pictures, tmp_path, back):
    from surefoot.compress.steps import quantize_mixed as module
    from surefoot.compress.steps._calibration import calibration_feeds
    from surefoot.compress.steps._mixed import outputs

    feeds = calibration_feeds(image, pictures.train)
    mixed = module._quantised(image, feeds, tmp_path, embeddings=True, head=False)
    before = mixed.codes.SerializeToString()
    made = mixed.put_back(back)
    assert mixed.codes.SerializeToString() == before
    held = {t.name: t for t in made.graph.initializer}
    layers = {n.name: n for n in made.graph.node if n.op_type == "Conv"}
    assert {name for name, n in layers.items() if n.input[1] in held} == set(back)
    read = {name for n in made.graph.node for name in n.input}
    assert set(held) <= read  # no weight lies there twice
    calls = module._calls(image, pictures.train, 20)
    wanted, found = (outputs(g, calls, tmp_path) for g in (mixed.floats, made))
    assert np.abs(found - wanted).max() < 0.1


@pytest.mark.parametrize("rows", [1, 2, 59, 60, 1000])
def test_rows_to_judge_on_are_spread_and_none_comes_twice(pictures, rows):
    found = pictures.train.spread(rows)
    assert len(found) == len(set(found.ids.tolist())) == min(rows, 60)
    assert found.ids[0] == pictures.train.ids[0]
    assert rows == 1 or found.ids[-1] == pictures.train.ids[-1]
