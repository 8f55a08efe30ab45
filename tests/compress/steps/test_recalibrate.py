"""What depends on data is taken anew: as torch does for batch norms, as it should for biases."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import numpy_helper, save
from torch import nn

from surefoot import models
from surefoot.compress.steps import _biases
from surefoot.compress.steps._modules import open_module
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx


@pytest.fixture(scope="module")
def net(residual, as_program, tmp_path_factory):
    return as_program(residual, tmp_path_factory.mktemp("net"))


@pytest.fixture
def made(step, net, bars_task):
    """Runs the step with the net as baseline: `made(model, rows=100)`."""

    def run(model, on=bars_task, **options):
        return step("recalibrate", model, on=on, teacher=net, **options)

    return run


def norms_of(model):
    return [m for m in open_module(model).module.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.fixture
def shifted(residual, as_program, tmp_path):
    """The net with statistics that are not those of its channels."""
    copy = type(residual)()
    copy.load_state_dict(residual.state_dict())
    for module in copy.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.add_(0.8)
            module.running_var.mul_(3)
    return as_program(copy, tmp_path / "shifted")


def test_lost_statistics_are_found_again(made, shifted, net, bars_right):
    assert bars_right(shifted) < bars_right(net) - 0.1
    assert bars_right(made(shifted)) > bars_right(net) - 0.03


def test_statistics_are_those_that_torch_takes(made, shifted, residual, bars_task):
    pixels = torch.from_numpy(bars_task.train.inputs[:100] / np.float32(255))[:, None]
    small = replace(bars_task, train=bars_task.train.rows(np.arange(100)))
    reference = type(residual)()
    reference.load_state_dict(residual.state_dict())
    reference.drop.p = 0.0
    torch.optim.swa_utils.update_bn([pixels], reference)
    wanted = [m for m in reference.modules() if isinstance(m, nn.BatchNorm2d)]
    found = norms_of(made(shifted, on=small))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.running_mean, other.running_mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(one.running_var, other.running_var, atol=1e-4, rtol=1e-4)
        assert one.momentum == other.momentum


def test_a_program_without_batch_norms(made, as_program, tmp_path):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))

        def forward(self, image):
            return self.inner(image)

    with pytest.raises(ModelError, match="no batch norm"):
        made(as_program(Plain(), tmp_path / "plain"))


@pytest.fixture
def rounded(step, net, bars_task):
    """The net in weights of 4 bits: no batch norm is left, the layers read integers."""
    options = {"epochs": 0, "weight_bits": 4, "per_channel": False}
    return step("finetune_quantized", net, on=bars_task, teacher=net, **options)


def test_biases_of_rounded_layers_are_corrected(made, rounded, bars_right):
    corrected = made(rounded)
    notes = json.loads((corrected.path / "calibration.json").read_text())
    assert len(notes["layers"]) == 5
    before, after = np.array(list(notes["layers"].values())).T
    assert after.sum() < before.sum() / 3
    assert bars_right(corrected) > bars_right(rounded) - 0.01
    assert corrected.format == "onnx"
    assert corrected.parent == rounded.fingerprint


def test_no_weight_changes(made, rounded):
    def weights(model):
        layers = _biases.layers_of(onnx(model.path / model.file).graph, quantised=True)
        return [layer.weight for layer in layers]

    for one, other in zip(weights(rounded), weights(made(rounded)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bias_that_was_moved_comes_back(made, rounded, bars_task):
    proto = onnx(rounded.path / rounded.file)
    layers = _biases.layers_of(proto.graph, quantised=True)
    clean = _biases.channel_means(rounded, proto, layers[:1], bars_task.train.inputs)[0]
    assert _biases.move_bias(proto, layers[0], np.full(len(clean), 0.7))
    moved = _biases.channel_means(rounded, proto, layers[:1], bars_task.train.inputs)[0]
    np.testing.assert_allclose(moved - clean, 0.7, atol=0.01)


def test_products_of_dynamic_quantisation_are_corrected(step, exported, encoder):
    small = step("quantize_dynamic", exported, per_channel=False)
    corrected = step("recalibrate", small, teacher=exported)
    again = step("recalibrate", small, teacher=encoder)
    for model in (corrected, again):
        notes = json.loads((model.path / "calibration.json").read_text())
        before, after = np.array(list(notes["layers"].values())).T
        assert len(before) == 12
        assert after.sum() < before.sum()
    assert len(notes["rows"]) == 300


def test_layers_of_another_model_are_an_error(step, exported, tmp_path):
    small = step("quantize_dynamic", exported)
    proto = onnx(small.path / small.file)
    for tensor in proto.graph.initializer:
        if tensor.name.startswith("onnx::MatMul") and tensor.name.endswith("_scale"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 3, tensor.name))
    shutil.copytree(small.path, tmp_path / "other")
    save(proto, tmp_path / "other" / small.file)
    other = models.seal(
        tmp_path / "other", name="other", format="onnx", file=small.file, signature=small.signature
    )
    with pytest.raises(ModelError, match=r"the layers .*query.* are not the baseline's"):
        step("recalibrate", other, teacher=exported)


def test_a_graph_in_floats_has_nothing_to_recalibrate(step, exported):
    with pytest.raises(ModelError, match=r"no quantised layer.*behind steps that only export"):
        step("recalibrate", exported, teacher=exported)


def test_needs_training_rows(step, rounded, net, bars_task):
    with pytest.raises(ModelError, match="learns from training rows"):
        step("recalibrate", rounded, on=replace(bars_task, train=None), teacher=net)
