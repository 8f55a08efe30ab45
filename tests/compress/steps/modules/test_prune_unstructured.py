"""The smallest weights are zero, and what a call takes is on record."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps._modules import open_module
from surefoot.core.errors import ModelError


def weights(model):
    modules = open_module(model).module.named_modules()
    return {n: m.weight.detach() for n, m in modules if isinstance(m, nn.Linear | nn.Conv2d)}


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_the_smallest_weights_go(step, program, task_for, scope):
    model = program("residual")
    made = step("prune_unstructured", model, on=task_for(model), ratio=0.6, scope=scope)
    before, after = weights(model), weights(made)
    assert torch.equal(before.pop("head"), after.pop("head"))
    sets = [list(before)] if scope == "model" else [[name] for name in before]
    for names in sets:
        whole, left = (torch.cat([w[n].flatten() for n in names]) for w in (before, after))
        gone = left == 0
        assert gone.float().mean() == pytest.approx(0.6, abs=0.01)
        assert whole[gone].abs().max() <= whole[~gone].abs().min()
        assert torch.equal(whole[~gone], left[~gone])


def test_says_what_is_zero_and_what_a_call_takes(step, encoder):
    made = step("prune_unstructured", encoder, ratio=0.5, scope="layer")
    zeros = json.loads((made.path / "sparsity.json").read_text())["zeros"]
    assert set(zeros.values()) == {0.5}
    assert "head" not in zeros
    times = json.loads((made.path / "timings.json").read_text())
    assert times["runtime"] == "torch"
    assert times["before_ms"] > 0
    assert times["after_ms"] > 0
    assert made.size_bytes == pytest.approx(encoder.size_bytes, rel=0.05)
    assert models.read_model(made.path).fingerprint == made.fingerprint


def test_bad_input_is_refused(step, encoder, text_task, program, task_for):
    with pytest.raises(ModelError, match="must be above 0 and below 1"):
        step("prune_unstructured", encoder, ratio=1.5)
    with pytest.raises(ModelError, match="name a data source as train under"):
        step("prune_unstructured", encoder, on=replace(text_task, train=None))
    model = program(nn.Sequential(nn.Linear(4, 5)))
    with pytest.raises(ModelError, match="no layer besides the one that gives the classes"):
        step("prune_unstructured", model, on=task_for(model))
