"""Quantised models are small, still answer, and every option does what it says."""

import numpy as np
import pytest

from surefoot import models
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature


def scales(model):
    """The number of scales of every quantised weight matrix."""
    from onnx import numpy_helper

    from surefoot.models.formats.onnx import onnx

    graph = onnx(model.path / model.file).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    products = [n for n in graph.node if n.op_type in ("MatMulInteger", "QAttention")]
    weights = [node.input[1] for node in products]
    names = [weight.removesuffix("_quantized") + "_scale" for weight in weights]
    return [numpy_helper.to_array(tensors[name]).size for name in names]


def tensor_bytes(model):
    from onnx import numpy_helper

    from surefoot.models.formats.onnx import onnx

    graph = onnx(model.path / model.file).graph
    return sum(numpy_helper.to_array(tensor).nbytes for tensor in graph.initializer)


def weight_types(model):
    from onnx import TensorProto

    from surefoot.models.formats.onnx import onnx

    graph = onnx(model.path / model.file).graph
    kinds = {
        tensor.name: TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer
    }
    return {kinds[node.input[1]] for node in graph.node if node.op_type == "MatMulInteger"}


def test_is_small_and_still_answers(step, exported, accuracy):
    made = step("quantize_dynamic", exported)
    assert tensor_bytes(made) < 0.35 * tensor_bytes(exported)
    assert accuracy(made) > accuracy(exported) - 0.03


def test_all_products_but_the_head_are_in_integers(step, exported, operators):
    made = step("quantize_dynamic", exported)
    assert operators(made).count("MatMulInteger") == 2 * 6
    assert operators(step("quantize_dynamic", exported, head=True)).count("MatMulInteger") == 13


def test_products_inside_fused_attention_are_in_integers(step, fused, operators, accuracy):
    made = step("quantize_dynamic", fused)
    found = operators(made)
    assert (found.count("QAttention"), found.count("MatMulInteger")) == (2, 2 * 3)
    assert "Attention" not in found
    assert accuracy(made) > accuracy(fused) - 0.03


@pytest.mark.parametrize("model", ["exported", "fused"])
def test_per_channel_gives_every_column_its_scale(step, request, model):
    source = request.getfixturevalue(model)
    assert min(scales(step("quantize_dynamic", source))) >= 32
    assert set(scales(step("quantize_dynamic", source, per_channel=False))) == {1}


def test_per_channel_is_closer_to_the_source(step, exported, texts):
    def distance(model):
        with models.open_model(model) as one, models.open_model(exported) as other:
            return np.abs(one(texts) - other(texts)).mean()

    fine, coarse = (step("quantize_dynamic", exported, per_channel=p) for p in (True, False))
    assert 0 < distance(fine) < distance(coarse)


def test_types_are_those_asked_for(step, exported):
    assert weight_types(step("quantize_dynamic", exported)) == {"INT8"}
    assert weight_types(step("quantize_dynamic", exported, weights="uint8")) == {"UINT8"}


def test_reduce_range_uses_seven_bits(step, exported):
    from onnx import numpy_helper

    from surefoot.models.formats.onnx import onnx

    def largest(model):
        graph = onnx(model.path / model.file).graph
        used = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
        chosen = [numpy_helper.to_array(t) for t in graph.initializer if t.name in used]
        return max(np.abs(array.astype(int)).max() for array in chosen)

    assert largest(step("quantize_dynamic", exported)) == 127
    assert largest(step("quantize_dynamic", exported, reduce_range=True)) <= 64


def test_embeddings_can_stay_in_floats(step, exported):
    with_tables, without = (
        step("quantize_dynamic", exported, embeddings=choice).size_bytes for choice in (True, False)
    )
    assert with_tables < without


def test_the_same_twice(step, exported):
    made = step("quantize_dynamic", exported)
    assert step("quantize_dynamic", exported).fingerprint == made.fingerprint
    assert made.fingerprint != exported.fingerprint
    assert made.parent == models.read_model(exported.path).fingerprint


def test_says_so_when_nothing_is_left_to_quantise(step, exported):
    made = step("quantize_dynamic", exported, head=True)
    with pytest.raises(ModelError, match=r"model\.onnx: has nothing to quantise"):
        step("quantize_dynamic", made, head=True)


@pytest.mark.parametrize("imports", [0, 2])
def test_says_so_of_a_graph_of_scikit_learns_own_operators(
    step, adopted, tiny_sklearn, numbers, imports
):
    """Exporters import the plain operators twice, or, where none is used, not at all."""
    import onnx

    model = adopted(tiny_sklearn, "numeric")
    made = step("export_onnx", model, on=numbers(model.signature.classes))
    proto = onnx.load(made.path / "model.onnx")
    del proto.opset_import[:]
    proto.opset_import.extend(
        onnx.helper.make_opsetid(*pair) for pair in [("ai.onnx.ml", 1), *[("", 18)] * imports]
    )
    onnx.save(proto, made.path / "model.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx: has nothing to quantise"):
        step("quantize_dynamic", made)


def test_convolutions(step, tiny_onnx_image, tmp_path, operators, numbers):
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "model.onnx").write_bytes(tiny_onnx_image.read_bytes())
    signature = Signature(input="image", classes=("a", "b"), tensors=("pixels",), shape=(8, 8, 3))
    model = models.seal(
        tmp_path / "image", name="c", format="onnx", file="model.onnx", signature=signature
    )
    made = step("quantize_dynamic", model, on=numbers())
    assert "ConvInteger" in operators(made)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    with models.open_model(made) as one, models.open_model(model) as other:
        assert np.abs(one(pixels) - other(pixels)).max() < 0.02


def test_prints_nothing(step, exported, capfd):
    step("quantize_dynamic", exported)
    assert capfd.readouterr() == ("", "")
