"""The parts of pruning and splitting against references: shapes, damage, zeros, best ranks."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.compress.steps._damage import _silenced, measure_damage
from surefoot.compress.steps._layer_times import Shape, _graph, layer_shapes, time_layer
from surefoot.compress.steps._modules import example, module_outputs, open_module
from surefoot.compress.steps._tables import quantise_tables
from surefoot.compress.steps._units import find_units, output_layer, prune
from surefoot.compress.steps.low_rank import _root, _split
from surefoot.compress.steps.prune_unstructured import _zero
from surefoot.core.errors import ModelError
from surefoot.models.formats.onnx import onnx

TIMED = {
    "linear": (nn.Linear(6, 4), (1, 5, 6)),
    "line": (nn.Conv1d(4, 6, 3, stride=2), (1, 4, 11)),
    "image": (nn.Conv2d(4, 6, (3, 1), padding=(1, 0), dilation=(2, 1)), (1, 4, 9, 8)),
    "same": (nn.Conv2d(4, 6, 3, padding="same", dilation=2), (1, 4, 9, 8)),
    "valid": (nn.Conv2d(4, 6, 3, padding="valid"), (1, 4, 9, 8)),
    "each": (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 9, 8)),
    "volume": (nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6)),
}


@pytest.mark.parametrize("name", TIMED)
def test_what_is_timed_has_the_layers_own_shape(name):
    import onnxruntime

    layer, size = TIMED[name]
    shapes = layer_shapes(nn.Sequential(layer, nn.ReLU()), [torch.rand(size)])
    assert list(shapes) == ["0"]
    graph, fed = _graph(shapes["0"], shapes["0"].inputs, shapes["0"].outputs)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    given = session.run(None, {"x": np.zeros(fed, np.float32)})[0]
    wanted = layer(torch.rand(size)).shape
    assert given.size == np.prod(wanted)
    assert given.shape[-1 if name == "linear" else 1] == shapes["0"].outputs
    assert not layer._forward_hooks


def test_a_convolution_of_each_channel_stays_one_at_every_share():
    shape = Shape(inputs=8, outputs=8, extent=(4, 4), kernel=(3, 3), stride=(1, 1),
                  padding=(1, 1), dilation=(1, 1), groups=8)  # fmt: skip
    table = time_layer(shape, narrow=(True, True))
    np.testing.assert_array_equal(table, table.T)
    assert (table > 0).all()
    assert len(set(time_layer(shape, narrow=(False, False)).ravel())) == 1


def rows(model, count=9):
    rng = np.random.default_rng(0)
    if model.signature.input == "numeric":
        return rng.standard_normal((count, 4)).astype(np.float32)
    return rng.integers(0, 256, (count, 12, 12), dtype=np.uint8)


@pytest.mark.parametrize("name", ["residual", "plain", "depthwise"])
def test_units_are_what_the_layers_say_and_shrink_as_told(program, name):
    model = program(name)
    lifted, inputs = open_module(model), rows(model)
    units = find_units(lifted, inputs, "magnitude")
    found = dict(lifted.module.named_modules())
    for unit in units:
        assert all(found[n].weight.shape[0] == unit.blocks for n in unit.writes)
        assert "head" not in unit.writes
        assert unit.importance.shape == (unit.blocks,)
        assert (unit.importance >= 0).all()
    before = module_outputs(lifted, inputs)
    prune(lifted, units[0], units[0].blocks)
    np.testing.assert_array_equal(module_outputs(lifted, inputs), before)
    width = units[0].blocks - 2
    prune(lifted, units[0], width)
    assert all(found[n].weight.shape[0] == width for n in units[0].writes)
    assert module_outputs(lifted, inputs).shape == before.shape


def test_the_layer_of_the_classes_is_the_last_that_is_called(program):
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU())
    lifted = open_module(program(module))
    last = output_layer(lifted, example(lifted, np.zeros((1, 4), np.float32)))
    assert torch.equal(last.weight, module[2].weight)
    assert not last._forward_hooks
    lifted.module.set_submodule("0", nn.Linear(4, 6))
    lifted.module.set_submodule("2", nn.Linear(6, 6))
    with pytest.raises(ModelError, match="has no layer that gives 5 classes"):
        output_layer(lifted, example(lifted, np.zeros((1, 4), np.float32)))


def test_damage_is_the_divergence_that_scipy_finds_and_leaves_no_hooks(program):
    from scipy.special import rel_entr, softmax

    model = program("perceptron")
    lifted, inputs = open_module(model), rows(model, 40)
    units = find_units(lifted, inputs, "magnitude")
    whole = softmax(module_outputs(lifted, inputs).astype(float), axis=1)
    damage = measure_damage(lifted, units, inputs)
    for unit, costs in zip(units, damage, strict=True):
        tried = sorted({round(share * unit.blocks) for share in (0, 0.25, 0.5, 0.75)})
        reference = {}
        for width in tried:
            with _silenced(lifted, unit, width):
                less = softmax(module_outputs(lifted, inputs).astype(float), axis=1)
            reference[width] = rel_entr(whole, less).sum(axis=1).mean()
        for width in set(tried) & set(costs):
            wanted = max(cost for other, cost in reference.items() if other >= width)
            assert costs[width] == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    with pytest.raises(ZeroDivisionError), _silenced(lifted, units[0], 1):
        raise ZeroDivisionError
    assert not any(m._forward_pre_hooks for m in lifted.module.modules())


@pytest.mark.parametrize(
    ("ratio", "scope", "wanted"),
    [
        (0.5, "layer", [[0, -4], [0, 40]]),
        (0.5, "model", [[0, 0], [-30, 40]]),
        (0.25, "model", [[0, -4], [-30, 40]]),
        (0.75, "model", [[0, 0], [0, 40]]),
    ],
)
def test_the_smallest_sizes_go_whatever_their_sign(ratio, scope, wanted):
    weights = {"a": torch.tensor([3.0, -4.0]), "b": torch.tensor([-30.0, 40.0])}
    _zero(weights, ratio, scope)
    assert [one.tolist() for one in weights.values()] == wanted


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_exactly_the_share_goes_where_all_weights_are_equal(share):
    weights = {"a": torch.ones(4, 5), "b": torch.ones(20)}
    _zero(weights, share, "model")
    assert sum(int((one == 0).sum()) for one in weights.values()) == round(share * 40)


def outputs_off(layer, other, x):
    with torch.no_grad():
        return float(((layer(x) - other(x)) ** 2).sum())


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_split_layer_is_the_best_of_its_rank_on_its_inputs(rank):
    """What is lost is the rest of the singular values, and no random change loses less."""
    torch.manual_seed(rank)
    layer, x = nn.Linear(8, 6), torch.randn(400, 8) @ torch.randn(8, 8)
    moments = (x.T @ x).double().numpy()
    split, kept = _split(layer, rank, moments)
    lost = outputs_off(layer, split, x)
    products = (x @ layer.weight.detach().T).double().numpy()
    values = np.linalg.svd(products, compute_uv=False) ** 2
    assert kept == pytest.approx(values[:rank].sum() / values.sum(), abs=1e-4)
    assert lost == pytest.approx(values[rank:].sum(), rel=1e-2, abs=1e-2)
    for _ in range(20 if rank < 6 else 0):
        other = nn.Sequential(nn.Linear(8, rank, bias=False), nn.Linear(rank, 6))
        other.load_state_dict(
            {k: v + 0.02 * torch.randn(v.shape) for k, v in split.state_dict().items()}
        )
        assert outputs_off(layer, other, x) >= lost * (1 - 1e-4)


@pytest.mark.parametrize("inputs", [np.zeros((4, 4)), np.ones((4, 4)), np.diag([9.0, 4, 1, 0])])
def test_inputs_that_hang_together_have_a_root_all_the_same(inputs):
    root = _root(inputs)
    assert np.isfinite(root).all()
    mean = np.trace(inputs) / 4 or 1
    np.testing.assert_allclose(root @ root.T * mean, inputs, atol=1e-5)
    split, kept = _split(nn.Linear(4, 4, bias=False), 2, inputs)
    assert split[1].bias is None
    assert all(torch.isfinite(p).all() for p in split.parameters())
    assert 0 <= kept <= 1


def test_tables_are_in_8_bits_and_products_stay(tmp_path):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    arrays = {"table": rng.normal(size=(40, 16)), "w": rng.normal(size=(16, 16))}
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("MatMul", ["rows", "w"], ["y"]),
        ],
        "tables",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    file = tmp_path / "model.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)
    quantise_tables(file)
    made = onnx(file).graph
    kinds = {tuple(t.dims): t.data_type for t in made.initializer if len(t.dims) == 2}
    assert kinds[40, 16] in (TensorProto.UINT8, TensorProto.INT8)
    assert kinds[16, 16] == TensorProto.FLOAT
    assert "MatMul" in [node.op_type for node in made.node]
    found = onnxruntime.InferenceSession(file).run(None, {"ids": np.arange(40)})[0]
    step = np.ptp(arrays["table"]) / 255
    bound = step * np.abs(arrays["w"]).sum(axis=0)
    assert (np.abs(found - arrays["table"] @ arrays["w"]) <= bound).all()
    assert np.abs(found - arrays["table"] @ arrays["w"]).max() > 1e-4
