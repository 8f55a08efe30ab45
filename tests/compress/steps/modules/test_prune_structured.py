"""Pruned models answer as if what was pruned gave nothing, and are as fast as was asked for."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from surefoot import models
from surefoot.compress.steps._allocate import Times, fastest
from surefoot.compress.steps._damage import _silenced, measure_damage
from surefoot.compress.steps._layer_times import SHARES, Shape, time_layer
from surefoot.compress.steps._modules import module_outputs, open_module
from surefoot.compress.steps._units import Unit, find_units
from surefoot.core.errors import ModelError
from surefoot.models.formats.huggingface import huggingface

PROGRAMS = ["residual", "squeezed", "plain", "depthwise"]


def notes(model):
    return json.loads((model.path / "pruning.json").read_text())


def silenced(lifted, units, kept, inputs):
    """What the whole model gives where readers see zeros in the place of what was pruned."""
    if not units:
        return module_outputs(lifted, inputs)
    with _silenced(lifted, units[0], kept[units[0].name]):
        return silenced(lifted, units[1:], kept, inputs)


def check_answers(model, made, inputs):
    lifted = open_module(model)
    units = find_units(lifted, inputs, "magnitude")
    kept = {each["unit"]: each["after"] for each in notes(made)["units"]}
    assert kept.keys() == {unit.name for unit in units}
    wanted = silenced(lifted, units, kept, inputs)
    np.testing.assert_allclose(module_outputs(open_module(made), inputs), wanted, atol=1e-4)
    assert np.abs(module_outputs(lifted, inputs) - wanted).max() > 1e-4


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_lose_channels_and_nothing_else(step, program, task_for, name):
    model = program(name)
    task = task_for(model)
    options = {"ratio": 0.5, "importance": "magnitude", "allocation": "uniform"}
    made = step("prune_structured", model, on=task, **options)
    check_answers(model, made, task.train.inputs)
    for unit in notes(made)["units"]:
        assert unit["after"] == pytest.approx(unit["before"] / 2, abs=1)
    last = list(notes(made)["layers"].values())[-1]
    assert last["after"][0] == last["before"][0] == 5
    assert sum(a * b for a, b in sizes(made)) < sum(a * b for a, b in sizes(model))
    exported = step("export_onnx", made, on=task)
    with models.open_model(exported) as predict:
        assert predict(task.train.inputs[:1]).shape == (1, 5)


def sizes(model):
    modules = open_module(model).module.modules()
    return [m.weight.shape[:2] for m in modules if isinstance(m, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize("kind", ["encoder", "classifier"])
def test_transformers_lose_heads_and_hidden_units(request, step, text_task, accuracy, kind):
    model = request.getfixturevalue(kind)
    options = {"ratio": 0.5, "importance": "magnitude", "allocation": "uniform"}
    made = step("prune_structured", model, **options)
    check_answers(model, made, text_task.train.inputs[:20])
    counts = {(each["counts"], each["before"], each["after"]) for each in notes(made)["units"]}
    assert {("heads", 2, 1), ("channels", 64, 32)} <= counts
    module = huggingface(made.path)
    layer = (getattr(module, "encoder", None) or module.model.bert).encoder.layer[1]
    assert layer.attention.self.query.weight.shape == (16, 32)
    assert layer.attention.self.num_attention_heads == 1
    assert layer.attention.output.dense.weight.shape == (32, 16)
    assert layer.output.dense.weight.shape == (32, 32)
    assert made.size_bytes < model.size_bytes
    shorter = step("drop_layers", made, keep=1)
    assert accuracy(shorter) > 0.8
    assert accuracy(step("export_onnx", shorter)) == accuracy(shorter)


def test_heads_of_a_pruned_model_can_be_pruned_again(step, encoder, text_task):
    options = {"importance": "magnitude", "allocation": "uniform"}
    once = step("prune_structured", encoder, ratio=0.25, **options)
    twice = step("prune_structured", once, ratio=0.25, **options)
    assert twice.size_bytes < once.size_bytes
    assert np.isfinite(module_outputs(open_module(twice), text_task.train.inputs[:4])).all()


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
def test_channels_that_do_nothing_go_first(step, program, network, task_for, importance):
    module = network("plain")
    with torch.no_grad():
        for channel in (1, 4):
            module[0].weight[channel] = 0
            module[0].bias[channel] = -1
            module[4].weight.view(5, 6, 25)[:, channel] = 0
    model = program(module)
    task = task_for(model)
    made = step(
        "prune_structured", model, on=task, ratio=0.34, importance=importance, allocation="uniform"
    )
    assert sizes(made)[0][0] == 4
    inputs = task.train.inputs
    wanted = module_outputs(open_module(model), inputs)
    np.testing.assert_allclose(module_outputs(open_module(made), inputs), wanted, atol=1e-5)


def test_pruning_by_time_gives_the_time_that_was_asked_for(step, program, task_for):
    model = program("residual")
    # Of layers so small most of the time does not fall with their width.
    made = step("prune_structured", model, on=task_for(model), ratio=0.05)
    times = json.loads((made.path / "timings.json").read_text())
    assert times["layers_ms_after"] <= 0.95 * times["layers_ms_before"] + 1e-9
    assert set(times["milliseconds"]) <= set(notes(made)["layers"])
    (made.path / "timings.json").write_text("{}")
    assert models.read_model(made.path).fingerprint == made.fingerprint


def test_a_time_that_cannot_be_reached(step, program, task_for):
    model = program("residual")
    with pytest.raises(ModelError, match=r"narrowest layers still take .* ms; set ratio to 0"):
        step("prune_structured", model, on=task_for(model), ratio=0.999)


def test_the_same_channels_go_every_time(step, program, task_for):
    model = program("residual")
    task = task_for(model)
    made = [step("prune_structured", model, on=task, ratio=0.5, allocation="uniform") for _ in "ab"]
    assert made[0].fingerprint == made[1].fingerprint


def test_convolutions_of_wide_groups_stay(step, program, task_for):
    model = program("rare")
    made = step("prune_structured", model, on=task_for(model), ratio=0.5, allocation="uniform")
    layers = notes(made)["layers"]
    assert layers["pairs"]["before"] == layers["pairs"]["after"] == [8, 8]
    assert layers["line"]["after"] == [3, 8]
    assert layers["head"]["after"] == [5, 3]


def test_a_pruned_transformer_is_a_baseline_like_any_other(step, encoder, adopted, text_task):
    made = step("prune_structured", encoder, ratio=0.5, allocation="uniform")
    model = adopted(made.path, classes=["negative", "positive"])
    assert (model.path / "structure.json").exists()
    inputs = text_task.train.inputs[:9]
    wanted = module_outputs(open_module(made), inputs)
    np.testing.assert_allclose(module_outputs(open_module(model), inputs), wanted, atol=1e-6)


def test_a_loss_that_is_no_number_is_named(step, program, network, task_for):
    module = network("plain")
    task = task_for(program(module))
    with torch.no_grad():
        module[4].bias[0] = torch.nan
    with pytest.raises(ModelError, match="the loss is nan in the batch of 'row-"):
        step("prune_structured", program(module), on=task)


@pytest.mark.parametrize("ratio", [0, 1, -0.5])
def test_a_ratio_is_a_share(step, encoder, ratio):
    with pytest.raises(ModelError, match="must be above 0 and below 1"):
        step("prune_structured", encoder, ratio=ratio)


def test_needs_training_rows(step, encoder, text_task):
    with pytest.raises(ModelError, match="name a data source as train under"):
        step("prune_structured", encoder, on=replace(text_task, train=None))


def test_sizes_in_a_program_are_named(step, program, task_for):
    model = program("written")
    with pytest.raises(ModelError, match=r"aten.view.default to \[-1, 3, 4\].*export it with flat"):
        step("prune_structured", model, on=task_for(model))


def test_a_model_of_one_layer_has_nothing_to_prune(step, program, task_for):
    model = program(nn.Sequential(nn.Linear(4, 5)))
    with pytest.raises(ModelError, match="has no channels or heads"):
        step("prune_structured", model, on=task_for(model))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder.layer.0.output.dense": {"linear": [10**9, 32]}}, "are no 2 sizes of at most 64"),
        ({"encoder.layer.9": {"linear": [1, 1]}}, "does not fit the model that config.json"),
        ({"encoder.layer.0.attention.self": {"query": 3}}, "'query' is no size|does not fit"),
        ({"encoder.layer.0.output.dense": {"low_rank": [64, 3, 32]}}, "weights do not fit"),
        ({}, "weights are missing, the first is 'encoder.layer.0"),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(step, encoder, change, reason):
    made = step("low_rank", encoder, rank_share=0.2, activations=False)
    (made.path / "structure.json").write_text(json.dumps(change))
    with pytest.raises(ModelError, match=reason):
        huggingface(made.path)


# The parts.


def unit(name, blocks):
    empty = {"group": None, "size": 1, "importance": np.arange(blocks, dtype=float)}
    return Unit(name=name, blocks=blocks, writes=(f"{name}.w",), reads=(f"{name}.r",), **empty)


@pytest.mark.parametrize("seed", range(5))
def test_the_search_is_near_the_best_of_all_widths(seed):
    """Against all widths of 4 units: within the time, and at most 5 % more damage."""
    rng = np.random.default_rng(seed)
    units = [unit(name, 16) for name in "abcd"]
    share = np.array(SHARES)
    tables = {
        f"{u.name}.{side}": rng.uniform(1, 3) * (0.2 + (share[:, None] if side == "r" else share))
        * np.ones((5, 5)) for u in units for side in "rw"
    }  # fmt: skip
    damage = [
        {w: float(rng.uniform(0.5, 2) * (1 - w / 16) ** 2) for w in u.widths()} for u in units
    ]
    damage = [dict(zip(d, np.maximum.accumulate(list(d.values())), strict=True)) for d in damage]
    times = Times(units, tables)
    limit = 0.6 * times.milliseconds((16,) * 4)
    found = fastest(damage, times, limit)
    assert times.milliseconds(found) <= limit
    cost = {
        widths: sum(d[w] for d, w in zip(damage, widths, strict=True))
        for widths in itertools.product(range(2, 17, 2), repeat=4)
        if times.milliseconds(widths) <= limit
    }
    assert all(w in d for d, w in zip(damage, found, strict=True))
    assert sum(d[w] for d, w in zip(damage, found, strict=True)) <= 1.05 * min(cost.values())


def test_times_lie_on_lines_between_shares():
    table = np.add.outer(np.array(SHARES), 10 * np.array(SHARES))
    times = Times([unit("a", 16), unit("b", 8)], {"a.r": table})
    assert times.milliseconds((16, 8)) == pytest.approx(11)
    assert times.milliseconds((10, 8)) == pytest.approx(10 + 10 / 16)
    assert times.milliseconds((1, 8)) == pytest.approx(10 + 1 / 8)


def test_narrow_layers_take_less_time():
    shape = Shape(inputs=64, outputs=64, extent=(24, 24), kernel=(3, 3), stride=(1, 1),
                  padding=(1, 1), dilation=(1, 1))  # fmt: skip
    table = time_layer(shape, narrow=(True, True))
    assert table[0, 0] < table[-1, -1] / 4
    only = time_layer(replace(shape, extent=(8, 8)), narrow=(True, False))
    assert (only == only[:, :1]).all()


def test_damage_is_nothing_for_all_and_grows(encoder, text_task):
    lifted, inputs = open_module(encoder), text_task.train.inputs[:30]
    units = find_units(lifted, inputs, "magnitude")
    for unit, costs in zip(units, measure_damage(lifted, units, inputs), strict=True):
        values = [costs[width] for width in sorted(costs, reverse=True)]
        assert values[0] == 0
        assert values == sorted(values)
        assert max(costs) == unit.blocks
