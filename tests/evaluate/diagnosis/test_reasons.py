"""From profiles to sentences: each is said where it is true, with the figures of the profile."""

from __future__ import annotations

import pytest

from surefoot.core.profile import Kernel, Profile
from surefoot.evaluate.diagnosis.reasons import MOST, reasons


def kernel(operator, ms, *, nodes=1, types="float x float", integer=False, weights=True):
    return Kernel(
        operator=operator, types=types, integer=integer, weights=weights, nodes=nodes, ms=ms
    )


def profile(*kernels, prepare_ms=0.0, run_ms=1.0):
    return Profile(
        batch=1, threads=1, calls=20, prepare_ms=prepare_ms, run_ms=run_ms, kernels=kernels
    )


NOTHING = profile()
INT8_CNN = profile(
    kernel("ConvInteger", 7.1, nodes=3, types="uint8 x int8", integer=True),
    kernel("DynamicQuantizeLinear", 1.2, nodes=3, types="float", weights=False),
    kernel("Mul", 1.0, nodes=6, weights=False),
    kernel("Gemm", 0.7),
)
CNN = profile(kernel("Conv", 0.9, nodes=2), kernel("FusedConv", 0.1), kernel("Gemm", 0.7))


def test_layers_in_integers_are_held_against_the_same_layers_of_the_baseline():
    assert reasons(INT8_CNN, CNN) == (
        (
            "3 of 3 convolutions run in integers (3 ConvInteger uint8 x int8): 71 % of the time,"
            " 7.1 ms a call; the baseline's 2 Conv, 1 FusedConv take 1 ms"
        ),
        (
            "dynamic quantisation takes the ranges of its inputs anew on each call:"
            " 3 DynamicQuantizeLinear, 12 % of the time"
        ),
        "operators that the baseline does not run: 6 Mul: 10 % of the time",
        (
            "1 of 1 matrix products stayed in float (1 Gemm): 7 % of the time, 0.7 ms a call;"
            " the baseline's 1 Gemm take 0.7 ms"
        ),
    )


def test_without_the_baselines_operators_the_candidates_own_are_told():
    found = reasons(INT8_CNN, NOTHING)
    assert found[0].endswith("71 % of the time, 7.1 ms a call")
    assert not any("baseline" in line for line in found)


def test_where_nothing_is_quantised_nothing_stayed_in_float():
    (line,) = reasons(CNN, NOTHING)[:1]
    assert line.startswith("3 of 3 convolutions run in float (2 Conv, 1 FusedConv): 59 % of")


def test_the_same_operators_as_the_baseline_are_no_progress():
    slower = profile(kernel("Conv", 1.8, nodes=3), kernel("Gemm", 1.4))
    same = profile(kernel("Conv", 0.9, nodes=3), kernel("Gemm", 0.7))
    assert "it runs the same 4 operators as the baseline" in reasons(slower, same)
    assert not any("the same" in line for line in reasons(INT8_CNN, CNN))


def test_what_costs_most_comes_first_and_five_are_enough():
    many = profile(
        kernel("MatMulIntegerToFloat", 3, integer=True, types="uint8 x uint8"),
        kernel("ConvInteger", 2, integer=True, types="uint8 x int8"),
        kernel("Gemm", 1),
        kernel("DynamicQuantizeLinear", 1, weights=False),
        kernel("QuantizeLinear", 1, weights=False),
        kernel("Erf", 1, weights=False),
        kernel("Mul", 1, weights=False),
    )
    found = reasons(many, CNN)
    assert len(found) == MOST
    assert "MatMulIntegerToFloat" in found[0]
    assert "the weights of 1 matrix products are uint8" in found[1]
    assert "ConvInteger" in found[2]


def test_rows_that_take_longer_to_prepare_than_to_run():
    slow = profile(kernel("Gemm", 0.1), prepare_ms=0.3, run_ms=0.1)
    found = reasons(slow, NOTHING)
    assert "takes 0.3 of 0.4 ms a call" in " ".join(found)
    quick = profile(kernel("Gemm", 0.1), prepare_ms=0.01, run_ms=0.1)
    assert not any("making tensors" in line for line in reasons(quick, NOTHING))


def test_pairs_that_were_not_fused():
    left = profile(
        kernel("QuantizeLinear", 1, nodes=4, weights=False),
        kernel("DequantizeLinear", 1, nodes=6, weights=False),
        kernel("Conv", 8),
    )
    assert (
        "4 QuantizeLinear, 6 DequantizeLinear run as operators of their own, not fused with a"
        " neighbour: 20 % of the time"
    ) in reasons(left, NOTHING)


def test_weights_that_are_made_float_on_each_call():
    kept = profile(kernel("DequantizeLinear", 5, nodes=2), kernel("Gather", 5))
    assert reasons(kept, NOTHING) == (
        (
            "weights are kept in 8 bits and made float again on each call: 2 DequantizeLinear,"
            " 50 % of the time"
        ),
    )


def test_attention_in_parts_is_told_with_what_was_fused_and_who_wrote_the_graph():
    parts = profile(
        kernel("Softmax", 2, nodes=6, weights=False),
        kernel("MatMul", 1, nodes=6, weights=False),
        kernel("FusedMatMul", 1, nodes=6, weights=False),
        kernel("Gelu", 1, nodes=6, weights=False),
        kernel("LayerNormalization", 2, nodes=13),
        kernel("MatMul", 3, nodes=36),
    )
    assert (
        "6 attention of the graph that torchscript wrote run in parts: 40 % of the time;"
        " fused: 13 layer norm, 6 GELU"
    ) in reasons(parts, NOTHING, exporter="torchscript")
    head = profile(kernel("Softmax", 2, weights=False), kernel("MatMul", 3))
    assert not any("in parts" in line for line in reasons(head, NOTHING))


@pytest.mark.parametrize("empty", [NOTHING, profile(kernel("Gemm", 0.0))])
def test_a_profile_of_nothing_says_nothing(empty):
    assert reasons(empty, CNN) == ()
