"""Training with rounded tensors gives graphs of integers that answer as the trained network."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps import _fake_quant, _traced
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx


@pytest.fixture(scope="module")
def net(residual, as_program, tmp_path_factory):
    return as_program(residual, tmp_path_factory.mktemp("net"))


@pytest.fixture
def made(step, net, bars_task):
    """Runs the step on the net: `made(epochs=1)`."""

    def run(model=net, **options):
        return step("finetune_quantized", model, on=bars_task, teacher=net, **options)

    return run


def run_by(model, folder):
    """The operators that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "run.onnx")
    onnxruntime.InferenceSession(model.path / model.file, options)
    return [node.op_type for node in onnx(folder / "run.onnx").graph.node]


def test_the_runtime_computes_in_integers(made, net, tmp_path):
    operators = run_by(made(epochs=0), tmp_path)
    assert operators.count("QLinearConv") == 4
    assert operators.count("QLinearAdd") == operators.count("QLinearConcat") == 1
    assert operators.count("QGemm") == 1
    assert not {"Conv", "Relu", "Add", "BatchNormalization"} & set(operators)
    assert operators.count("Gemm") == 1  # the head, in floats


def test_the_head_is_quantised_where_asked(made, tmp_path):
    operators = run_by(made(epochs=0, head=True), tmp_path)
    assert operators.count("QGemm") == 2
    assert "Gemm" not in operators


def test_rounding_to_8_bits_costs_little_and_saves_size(made, net, bars_right):
    small = made(epochs=0)
    assert bars_right(net) > 0.9
    assert bars_right(small) > bars_right(net) - 0.02
    # Weights in bytes, a tenth for the graph itself; the program has them in floats.
    assert small.size_bytes < net.size_bytes / 2
    assert small.parent == net.fingerprint


def test_training_wins_back_what_3_bits_lose(made, net, bars_right):
    options = {"weight_bits": 3, "per_channel": False, "learning_rate": 2e-3}
    lost, won = made(epochs=0, **options), made(epochs=3, **options)
    assert bars_right(lost) < bars_right(net) - 0.04
    assert bars_right(won) > bars_right(net) - 0.02


def test_says_which_rows_gave_the_ranges_and_how_close_it_is(made, bars_task):
    folder = made(epochs=0, rows=100).path
    notes = json.loads((folder / "calibration.json").read_text())
    assert len(notes["rows"]) == 100
    assert set(notes["rows"]) <= set(bars_task.train.ids.tolist())
    parity = json.loads((folder / "certificate.json").read_text())
    assert parity["rows"] == 64
    assert 0 < parity["mean_difference"] < 0.1


def test_a_seed_gives_one_model(made):
    options = {"epochs": 1, "rows": 128}
    first = made(**options)
    assert made(**options).fingerprint == first.fingerprint
    assert made(**options, seed=1).fingerprint != first.fingerprint


def test_layers_of_texts_are_quantised(step, classifier, accuracy, tmp_path):
    small = step("finetune_quantized", classifier, teacher=classifier, epochs=1)
    assert accuracy(small) > accuracy(classifier) - 0.02
    operators = run_by(small, tmp_path)
    # Six layers of each of two blocks, and the pooler.
    assert operators.count("MatMulIntegerToFloat") + operators.count("QGemm") == 13


def test_an_encoder_with_a_head_is_quantised(step, encoder, accuracy):
    small = step("finetune_quantized", encoder, teacher=encoder, epochs=0)
    assert accuracy(small) > accuracy(encoder) - 0.03


class Pooled(nn.Module):
    """Feature maps that a sum of another kind and a mean read in floats."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(1, 6, 3)
        self.deep = nn.Conv2d(6, 6, 3, groups=6, padding="same")
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, image):
        x = nn.functional.hardtanh(self.wide(image), 0.0, 6.0)
        x = nn.functional.silu(self.deep(self.norm(x))) + 1.0
        return torch.softmax(self.head(x.mean((2, 3))), dim=1)


def test_other_operators_stay_in_floats(made, as_program, tmp_path, bars_task):
    torch.manual_seed(1)
    model = as_program(Pooled(), tmp_path / "pooled", "probabilities")
    small = made(model, epochs=1, rows=64)
    assert run_by(small, tmp_path).count("QLinearConv") == 2
    inputs = bars_task.test["main"].inputs[:50]
    with models.open_model(small) as predict, models.open_model(model) as wanted:
        np.testing.assert_allclose(predict(inputs), wanted(inputs), atol=0.03)


def test_folding_changes_no_answer(net, residual):
    rows = torch.rand(5, 1, 12, 12)
    graph = _traced.traced(net, {"image": rows.numpy()})
    with torch.no_grad():
        wanted = residual(rows)
        assert _traced.fold_batch_norms(graph) == 3
        torch.testing.assert_close(graph(rows), wanted, atol=1e-5, rtol=1e-5)
    assert not graph.graph.find_nodes(op="call_function", target=_traced.BATCH_NORM)


@pytest.mark.parametrize(("low", "high", "axis"), [(0, 255, None), (-127, 127, 0), (-7, 7, 1)])
def test_rounds_as_torch_does(low, high, axis):
    values = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 40
    size = () if axis is None else (values.shape[axis],)
    scale = torch.rand(size, generator=torch.Generator().manual_seed(1)) + 0.05
    shift = 3 if axis is None else 0
    zero = torch.full(size, shift, dtype=torch.int32)
    if axis is None:
        wanted = torch.fake_quantize_per_tensor_affine(values, scale, zero, low, high)
    else:
        wanted = torch.fake_quantize_per_channel_affine(values, scale, zero, axis, low, high)
    found = _fake_quant.fake_quantise(values, scale.log(), shift, low, high, axis)
    torch.testing.assert_close(found, wanted)


def test_the_gradient_of_a_scale_is_that_of_learned_step_size_quantization():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 3
    log_scale = torch.tensor(0.02).log().requires_grad_()
    upstream = torch.randn(400, generator=torch.Generator().manual_seed(1))
    found = _fake_quant.fake_quantise(values, log_scale, 0, -127, 127, None)
    (found * upstream).sum().backward()
    # Equation 3 of Esser et al. (2020), times the scale since its logarithm is trained.
    steps = values / 0.02
    slope = torch.where(steps.abs() < 127, steps.round() - steps, steps.sign() * 127)
    torch.testing.assert_close(
        log_scale.grad, (slope * upstream).sum() * 0.02, rtol=1e-3, atol=1e-4
    )


def test_a_range_that_errs_least_cuts_off_outliers():
    values = torch.cat([torch.linspace(0, 1, 5000), torch.tensor([4.0])])
    log_scale, zero = _fake_quant.activation_range([values])
    assert zero == 0
    assert 1.0 <= float(log_scale.exp()) * 255 <= 4.0
    signed = _fake_quant.activation_range([torch.linspace(-1, 3, 999)])
    assert signed[1] == 64


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"weight_bits": 9}, "weight_bits is 9, takes 2 to 8"),
        ({"epochs": -1}, "epochs is -1"),
        ({"label_weight": 2.0}, "label_weight 2.0"),
        ({"learning_rate": 1e37, "epochs": 2}, r"the loss is (nan|inf) in epoch 1, batch \d+"),
    ],
)
def test_options_out_of_range(made, options, complaint):
    with pytest.raises(ModelError, match=complaint):
        made(**options)


def test_a_network_without_layers_names_its_operators(made, as_program, tmp_path):
    class Sums(nn.Module):
        def forward(self, image):
            return image.flatten(1).cumsum(1)[:, :3].sin()

    with pytest.raises(ModelError, match=r"no convolution or linear layer.*aten\.sin"):
        made(as_program(Sums(), tmp_path / "sums"))


def test_needs_training_rows(step, net, bars_task):
    with pytest.raises(ModelError, match="learns from training rows"):
        step("finetune_quantized", net, on=replace(bars_task, train=None), teacher=net)
