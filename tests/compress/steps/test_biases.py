"""Quantised layers are found in every form, with their float parents, and their biases move."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from surefoot.compress.steps import _biases

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(0, 1, (4, 3)).astype(np.float32)
SCALE = np.float32(np.abs(WEIGHT).max() / 127)
CODES = np.round(WEIGHT / SCALE).astype(np.int8)
BIAS = np.array([0.5, -1, 2], np.float32)


def graph(nodes, arrays, output="y"):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def node(operator, read, write, **attributes):
    return helper.make_node(
        operator, read.split(), [write], name=f"{operator}-{write}", **attributes
    )


DECODED = {"codes": CODES, "scale": SCALE, "zero": np.int8(0)}
READ = {"read_scale": np.float32(0.1), "read_zero": np.uint8(128)}
DECODE = node("DequantizeLinear", "codes scale zero", "w")
ENCODE = [
    node("QuantizeLinear", "x read_scale read_zero", "xc"),
    node("DequantizeLinear", "xc read_scale read_zero", "xd"),
]


def floats(operator="Gemm"):
    if operator == "Gemm":
        return graph([node("Gemm", "x w b", "y")], {"w": WEIGHT, "b": BIAS})
    nodes = [node("MatMul", "x w", "p"), node("Add", "b p", "y")]
    return graph(nodes, {"w": WEIGHT, "b": BIAS})


def decoded_gemm():
    """A layer of decoded weights with a bias in floats."""
    return graph([DECODE, node("Gemm", "x w b", "y")], {**DECODED, "b": BIAS})


def decoded_product():
    """A product of decoded weights, and a sum behind it."""
    return graph(
        [DECODE, node("MatMul", "x w", "p"), node("Add", "p b", "y")], DECODED | {"b": BIAS}
    )


def integer_bias():
    """All in integers, the bias too."""
    step = np.float32(0.1) * SCALE
    bias = {"bc": np.round(BIAS / step).astype(np.int32), "bs": step}
    nodes = [DECODE, *ENCODE, node("DequantizeLinear", "bc bs", "b"), node("Gemm", "xd w b", "y")]
    return graph(nodes, {**DECODED, **READ, **bias})


def no_bias():
    """All in integers and no bias at all."""
    return graph([DECODE, *ENCODE, node("Gemm", "xd w", "y")], {**DECODED, **READ})


def bare_product():
    """A product that nothing is added to."""
    return graph([DECODE, node("MatMul", "x w", "y")], DECODED)


def dynamic():
    """As ONNX Runtime's dynamic quantiser writes it."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        node("MatMulInteger", "xq w_quantized xz w_zero", "whole"),
        node("Cast", "whole", "cast", to=TensorProto.FLOAT),
        node("Mul", "xs w_scale", "scales"),
        node("Mul", "cast scales", "p"),
        node("Add", "p b", "y"),
    ]
    arrays = {"w_quantized": CODES, "w_scale": SCALE, "w_zero": np.int8(0), "b": BIAS}
    return graph(nodes, arrays)


FORMS = [decoded_gemm, decoded_product, integer_bias, no_bias, dynamic]


def run(proto, rows):
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {"x": rows})[0]


@pytest.mark.parametrize("form", [*FORMS, bare_product])
def test_a_layer_is_found_with_its_weights_in_floats(form):
    proto = form()
    assert _biases.layers_of(proto.graph, quantised=False) == []
    (layer,) = _biases.layers_of(proto.graph, quantised=True)
    np.testing.assert_allclose(layer.weight, CODES * SCALE, rtol=1e-6)
    assert layer.output == "y"
    assert (layer.bias is None) == (form is bare_product)
    assert (layer.scale is not None) == (form in (integer_bias, no_bias))


@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
def test_layers_in_floats_are_no_quantised_ones(operator):
    proto = floats(operator)
    assert _biases.layers_of(proto.graph, quantised=True) == []
    (layer,) = _biases.layers_of(proto.graph, quantised=False)
    np.testing.assert_array_equal(layer.weight, WEIGHT)
    assert layer.output == "y"
    assert layer.bias[1] == (2 if operator == "Gemm" else 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_bias_moves_by_what_it_is_told_in_every_form(form):
    proto, delta = form(), np.array([0.25, -0.5, 1.0])
    rows = RNG.normal(0, 1, (20, 4)).astype(np.float32)
    before = run(proto, rows)
    (layer,) = _biases.layers_of(proto.graph, quantised=True)
    assert _biases.move_bias(proto, layer, delta)
    (again,) = _biases.layers_of(proto.graph, quantised=True)
    np.testing.assert_array_equal(again.weight, layer.weight)
    step = 0.1 * SCALE if form in (integer_bias, no_bias) else 1e-6
    np.testing.assert_allclose(run(proto, rows) - before, np.tile(delta, (20, 1)), atol=step)


def test_a_bias_with_nowhere_to_go_is_told():
    proto = bare_product()
    before = proto.SerializeToString()
    (layer,) = _biases.layers_of(proto.graph, quantised=True)
    assert not _biases.move_bias(proto, layer, np.ones(3))
    assert proto.SerializeToString() == before


def test_a_sum_of_two_activations_is_no_bias():
    nodes = [DECODE, node("MatMul", "x w", "p"), node("Relu", "p", "r"), node("Add", "p r", "y")]
    (layer,) = _biases.layers_of(graph(nodes, DECODED).graph, quantised=True)
    assert (layer.bias, layer.output) == (None, "p")


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_goes_with_its_parent(form):
    other = WEIGHT[:, ::-1].copy()
    nodes = [node("MatMul", "x v", "q"), node("Gemm", "x w b", "y")]
    parent = graph(nodes, {"w": WEIGHT, "v": other, "b": BIAS})
    found, left = _biases.pairs(form().graph, parent.graph)
    assert left == []
    ((_, mate),) = found
    np.testing.assert_array_equal(mate.weight, WEIGHT)


def test_a_parent_may_hold_its_weights_turned_round():
    nodes = [node("Gemm", "x w b", "y", transB=1)]
    parent = graph(nodes, {"w": WEIGHT.T.copy(), "b": BIAS})
    found, left = _biases.pairs(decoded_gemm().graph, parent.graph)
    assert (len(found), left) == (1, [])


@pytest.mark.parametrize("change", [lambda w: -w, lambda w: 2 * w, lambda w: w[:, :2].copy()])
def test_a_layer_without_a_parent_is_named(change):
    parent = graph([node("MatMul", "x w", "y")], {"w": change(WEIGHT)})
    found, left = _biases.pairs(decoded_gemm().graph, parent.graph)
    assert (found, left) == ([], ["Gemm-y"])


def test_no_parent_is_taken_twice():
    """Two layers of the same weights, as where a model uses one layer twice, need two."""
    nodes = [
        DECODE,
        node("MatMul", "x w", "p"),
        node("MatMul", "x w", "q"),
        node("Add", "p q", "y"),
    ]
    found, left = _biases.pairs(graph(nodes, DECODED).graph, floats().graph)
    assert (len(found), len(left)) == (1, 1)


@pytest.mark.parametrize(("axis", "shape"), [(0, (4, 1)), (1, (1, 3)), (-1, (1, 3))])
def test_scales_per_channel_lie_along_their_axis(axis, shape):
    scale = RNG.uniform(0.1, 1, shape).astype(np.float32)
    zero = np.full(scale.size, 3, np.int8)
    found = _biases._spread(CODES, scale.ravel(), zero, axis)
    np.testing.assert_allclose(found, (CODES.astype(float) - 3) * scale, rtol=1e-6)


def test_errors_are_the_mean_over_channels():
    wanted, found = [np.array([1.0, 2.0]), np.array([0.0])], [np.array([2.0, 0.0]), np.array([0.0])]
    assert list(_biases.errors(wanted, found)) == [1.5, 0.0]
