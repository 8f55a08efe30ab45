"""Split layers are smaller, and keep what their inputs make matter."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps._modules import module_outputs, open_module
from surefoot.core.errors import ModelError


def test_a_layer_of_low_rank_loses_nothing(step, program, task_for):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 5)
    )
    with torch.no_grad():
        module[2].weight.copy_(torch.randn(40, 4) @ torch.randn(4, 40))
    model = program(module)
    task = task_for(model)
    made = step("low_rank", model, on=task, rank_share=0.1, activations=False)
    inputs = task.train.inputs
    wanted = module_outputs(open_module(model), inputs)
    np.testing.assert_allclose(
        module_outputs(open_module(made), inputs), wanted, rtol=1e-4, atol=1e-3
    )
    notes = json.loads((made.path / "low_rank.json").read_text())
    assert notes == {"2": {"size": [40, 40], "rank": 4, "energy_kept": 1.0}}
    assert made.size_bytes < model.size_bytes
    again = step("low_rank", model, on=task, rank_share=0.1, activations=False)
    assert again.fingerprint == made.fingerprint


def test_the_inputs_tell_what_to_keep(step, program, task_for):
    """The weights that matter most by size see inputs that hardly vary."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 30), nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 5))
    with torch.no_grad():
        module[0].weight[10:] *= 0.01
        module[0].bias.zero_()
        module[1].weight[:, 10:] *= 10
    model = program(module)
    task = task_for(model)
    inputs = task.train.inputs
    wanted = module_outputs(open_module(model), inputs)
    off = {
        aware: np.abs(
            module_outputs(
                open_module(step("low_rank", model, on=task, rank_share=0.14, activations=aware)),
                inputs,
            ) - wanted
        ).mean()
        for aware in (True, False)
    }  # fmt: skip
    assert off[True] < 0.1 * off[False]


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_transformers_load_again(request, step, accuracy, kind):
    model = request.getfixturevalue(kind)
    made = step("low_rank", model, rank_share=0.4)
    assert made.size_bytes < model.size_bytes
    assert models.read_model(made.path).fingerprint == made.fingerprint
    assert accuracy(made) > 0.8
    assert accuracy(step("export_onnx", made)) == accuracy(made)


def test_pruned_layers_can_be_split(step, encoder, text_task):
    pruned = step(
        "prune_structured", encoder, ratio=0.5, importance="magnitude", allocation="uniform"
    )
    made = step("low_rank", pruned, rank_share=0.2)
    assert made.size_bytes < pruned.size_bytes
    assert np.isfinite(module_outputs(open_module(made), text_task.train.inputs[:4])).all()


def test_refuses_where_nothing_gets_smaller(step, encoder, text_task):
    with pytest.raises(ModelError, match=r"no linear layer gets smaller at rank_share = 0.9"):
        step("low_rank", encoder, rank_share=0.9)
    with pytest.raises(ModelError, match="must be above 0 and below 1"):
        step("low_rank", encoder, rank_share=1.0)
    with pytest.raises(ModelError, match="name a data source as train under"):
        step("low_rank", encoder, on=replace(text_task, train=None))
