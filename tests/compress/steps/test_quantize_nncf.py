"""NNCF's models are in 8 bits in both runtimes, and nothing is said or reported on the way."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature

pytest.importorskip("nncf")


@pytest.fixture(scope="module")
def made(exported, text_task, tmp_path_factory):
    from surefoot import plugins

    folder = tmp_path_factory.mktemp("nncf")
    return plugins.find("step", "quantize_nncf")(exported, text_task, folder, rows=24)


@pytest.fixture
def image(tiny_onnx_image, tmp_path):
    """A convolution and rows of its kind, as a task without labels worth learning."""
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_onnx_image.read_bytes())
    signature = Signature(input="image", classes=("a", "b"), tensors=("pixels",), shape=(8, 8, 3))
    return models.seal(folder, name="c", format="onnx", file="model.onnx", signature=signature)


@pytest.fixture
def pictures(text_task):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    train = text_task.train.rows(np.arange(40))
    return replace(
        text_task, train=replace(train, inputs=pixels, classes=("a", "b")), classes=("a", "b")
    )


def graph_of(model):
    from surefoot.models.formats.onnx import onnx

    return onnx(model.path / model.file).graph


def types(model):
    """The types of zero points: of activations, and of what is stored."""
    graph = graph_of(model)
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    activations = {kinds[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"}
    stored = {
        kinds[n.input[0]]
        for n in graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in kinds
    }
    return activations, stored


def answers(model, inputs, runtime):
    with models.open_model(model, runtime=runtime) as predict:
        return predict(inputs)


def test_is_small_and_still_answers(made, exported, accuracy):
    assert made.size_bytes < exported.size_bytes
    assert accuracy(made) > accuracy(exported) - 0.03


def test_all_products_with_weights_but_the_head_read_decoded_codes(made):
    graph = graph_of(made)
    decoded = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    products = [n for n in graph.node if n.op_type in ("MatMul", "Gemm")]
    assert sum(set(n.input[:2]) <= decoded for n in products) >= 2 * 6
    assert products[-1].input[0] not in decoded


def test_activations_are_unsigned_and_weights_signed(made):
    from onnx import TensorProto

    assert types(made) == ({TensorProto.UINT8}, {TensorProto.INT8})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_both_runtimes_run_it(made, exported, texts, runtime):
    pytest.importorskip(runtime)
    wanted = answers(exported, texts, "onnxruntime")
    found = answers(made, texts, runtime)
    assert (found.argmax(1) != wanted.argmax(1)).mean() <= 0.03
    assert 0 < np.abs(found - wanted).mean() < 0.03


def test_no_table_is_decoded_whole(made):
    graph = graph_of(made)
    makers = {n.output[0]: n.op_type for n in graph.node}
    tables = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    looked_up = [n for n in graph.node if n.op_type == "Gather" and n.input[0] in tables]
    assert looked_up
    assert "DequantizeLinear" not in {
        makers.get(n.input[0]) for n in graph.node if n.op_type == "Gather"
    }


def test_names_its_rows(made, text_task):
    noted = json.loads((made.path / "calibration.json").read_text())
    assert noted["rows"] == len(set(noted["ids"])) == 24
    assert set(noted["ids"]) <= set(text_task.train.ids.tolist())


def test_the_head_can_be_quantised_too(step, exported, made):
    whole = step("quantize_nncf", exported, rows=24, head=True)
    count = [sum(n.op_type == "QuantizeLinear" for n in graph_of(m).node) for m in (whole, made)]
    assert count[0] == count[1] + 1


def test_convolutions(step, image, pictures):
    made = step("quantize_nncf", image, on=pictures, rows=20)
    assert len(types(made)[0]) == 1
    pixels = pictures.train.inputs
    for runtime in ("onnxruntime", "openvino"):
        found, wanted = (answers(m, pixels, runtime) for m in (made, image))
        assert 0 < np.abs(found - wanted).max() < 0.05


@pytest.mark.parametrize("preset", ["mixed", "performance"])
def test_presets_lay_ranges_around_zero_or_where_they_lie(step, exported, preset):
    from onnx import numpy_helper

    graph = graph_of(step("quantize_nncf", exported, rows=8, preset=preset))
    known = {tensor.name: tensor for tensor in graph.initializer}
    points = {
        int(numpy_helper.to_array(known[n.input[2]]))
        for n in graph.node
        if n.op_type == "QuantizeLinear"
    }
    assert (points <= {0, 128}) == (preset == "performance")


def test_says_so_when_nothing_is_left_to_quantise(step, exported):
    floats = step("quantize_dynamic", exported, head=True)
    with pytest.raises(ModelError, match="nothing that NNCF can quantise"):
        step("quantize_nncf", floats, rows=4)


def test_needs_training_rows(step, exported, text_task):
    with pytest.raises(ModelError, match="'quantize_nncf' learns from training rows"):
        step("quantize_nncf", exported, on=replace(text_task, train=None))
    with pytest.raises(ModelError, match="rows is 0"):
        step("quantize_nncf", exported, rows=0)


def test_prints_nothing(step, exported, capfd):
    step("quantize_nncf", exported, rows=4)
    assert capfd.readouterr() == ("", "")


def test_reports_nothing_to_its_makers():
    """Within pytest NNCF is mute anyway: ask in a process of its own."""
    code = (
        "from surefoot.compress.steps import quantize_nncf as step;"
        "step._library(); from nncf.telemetry import decorator;"
        "print(type(decorator.telemetry).__name__)"
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith("NNCF_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain
    )
    assert done.stdout.strip() == "MagicMock"


def test_biases_are_corrected_when_asked(step, exported):
    """Only biases differ: the ranges stay."""
    from onnx import numpy_helper

    found = {}
    for asked in (False, True):
        made = step("quantize_nncf", exported, rows=8, fast_bias_correction=asked)
        noted = json.loads((made.path / "calibration.json").read_text())
        assert noted["fast_bias_correction"] is asked
        found[asked] = {
            t.name: numpy_helper.to_array(t) for t in graph_of(made).initializer if t.dims
        }
    off = [k for k, v in found[False].items() if not np.array_equal(v, found[True].get(k))]
    assert off
    assert {found[False][name].ndim for name in off} == {1}


def test_rewriting_codes_is_exact(exported, text_task, texts, tmp_path):
    """Unsigned codes and rows decoded after they are looked up give what NNCF's own graph gives."""
    import nncf
    import onnx

    from surefoot.compress.steps._codes import look_up_first, make_unsigned
    from surefoot.compress.steps._mixed import outputs
    from surefoot.compress.steps._rows import batches, quiet

    feeds = [t for _, t in batches(exported, text_task.train.inputs[:8], size=1)]
    with quiet():
        made = nncf.quantize(
            onnx.load(exported.path / exported.file),
            nncf.Dataset(feeds),
            subset_size=8,
            model_type=nncf.ModelType.TRANSFORMER,
        )
    calls = list(batches(exported, texts[:40]))
    before = outputs(made, calls, tmp_path)
    assert {n.op_type for n in made.graph.node} >= {"QuantizeLinear", "Gather"}
    make_unsigned(made)
    look_up_first(made)
    after = outputs(made, calls, tmp_path)
    # Kernels for other types add in another order, and a code may fall to the other side.
    assert np.abs(after - before).max() < 0.02
