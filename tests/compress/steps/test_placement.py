"""Where networks are rounded: everywhere between layers of integers, and nowhere else."""

import numpy as np
import pytest
import torch
from torch import nn

from surefoot.compress.steps import _placement, _traced
from surefoot.compress.steps._fake_quant import already, fake_quantise
from surefoot.compress.steps._rows import quiet
from surefoot.core.errors import ModelError


class Sum(nn.Module):
    """Two convolutions, the first of which is added to the second."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3 * 16, 2)

    def forward(self, image):
        first = torch.relu(self.one(image))
        both = torch.relu(self.two(first) + first)
        return self.head(nn.functional.max_pool2d(both, 2).flatten(1))


class Wave(Sum):
    """The same with an operator between the two that has no integers."""

    def forward(self, image):
        first = torch.sin(self.one(image))
        return self.head(nn.functional.max_pool2d(self.two(first) + first, 2).flatten(1))


class Plain(nn.Module):
    """Linear layers alone, the first two without a ReLU between them."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, rows):
        return self.head(torch.relu(self.b(self.a(rows))))


_DRAW = torch.Generator().manual_seed(0)
IMAGE = torch.randn(4, 1, 8, 8, generator=_DRAW)
ROWS = torch.randn(4, 8, generator=_DRAW)


def graph_of(module, example):
    torch.manual_seed(0)
    free = ({0: torch.export.Dim("n")},)
    with quiet():  # torch warns of its own internals
        program = torch.export.export(module().eval(), (example,), dynamic_shapes=free)
        network = program.run_decompositions({}).module()
    network = torch.fx.GraphModule(network, network.graph)
    _traced._make_plain(network, ("x",))
    return network


def short(node):
    return node.name if node.op == "placeholder" else str(node.target).split(".")[1]


@pytest.mark.parametrize(
    ("module", "example", "wanted"),
    [
        # The sum is in integers: what goes in, each ReLU, and the second convolution.
        (Sum, IMAGE, [("image", False), ("relu", True), ("conv2d", True), ("relu", True)]),
        # A sine gives floats, and so does the sum that reads it.
        (
            Wave,
            IMAGE,
            [("image", False), ("conv2d", True), ("sin", False), ("conv2d", True)],
        ),
        (Plain, ROWS, [("rows", False), ("linear", False), ("relu", True)]),
    ],
)
def test_what_is_rounded(module, example, wanted):
    network = graph_of(module, example)
    layers = _placement.layers_of(network, head=False)
    found = _placement.quantised_activations(network, layers)
    if module is Plain:  # the head reads the ReLU in floats
        assert [short(layer) for layer in layers] == ["linear", "linear"]
    assert [(short(node), whole) for node, whole in found.items()] == wanted


@pytest.mark.parametrize(("head", "count"), [(False, 2), (True, 3)])
def test_the_head_is_the_last_linear_layer(head, count):
    for module, example in ((Sum, IMAGE), (Plain, ROWS)):
        layers = _placement.layers_of(graph_of(module, example), head=head)
        assert len(layers) == count
        assert (layers[-1].target == _traced.LINEAR) == (head or module is Plain)


def test_a_lone_head_is_nothing_to_quantise_unless_asked_for():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 2)

        def forward(self, rows):
            return self.head(rows)

    network = graph_of(Head, ROWS)
    with pytest.raises(ModelError, match=r"no convolution .* are aten\.linear\.default \(1\)"):
        _placement.layers_of(network, head=False)
    assert len(_placement.layers_of(network, head=True)) == 1


def placed(module, example, bits=8, head=False):
    network = graph_of(module, example)
    layers = _placement.layers_of(network, head=head)
    nodes = list(_placement.quantised_activations(network, layers))
    seen = _placement.observed(network, nodes, iter([(example,), (2 * example,)]))
    _placement.place(network, layers, seen, bits=bits, per_channel=True)
    return network


def test_what_is_seen_holds_the_extremes_of_every_call():
    network = graph_of(Plain, ROWS)
    before = network(ROWS)
    (rows,) = network.graph.find_nodes(op="placeholder")
    calls = [ROWS, 10 * ROWS, ROWS[:1]]
    found = _placement.observed(network, [rows], iter([(call,) for call in calls]))[rows]
    for call, values in zip(calls, found, strict=True):
        assert values.min() == call.min()
        assert values.max() == call.max()
    torch.testing.assert_close(network(ROWS), before)  # it answers as it did


def test_of_a_large_call_some_is_kept():
    network = graph_of(Plain, ROWS)
    (rows,) = network.graph.find_nodes(op="placeholder")
    many = torch.randn(5000, 8)
    (found,) = _placement.observed(network, [rows], iter([(many,)]))[rows]
    assert 4096 <= len(found) < 2 * 4096 + 2
    assert (found.min(), found.max()) == (many.min(), many.max())


@pytest.mark.parametrize(("module", "example"), [(Sum, IMAGE), (Wave, IMAGE), (Plain, ROWS)])
def test_rounding_to_8_bits_changes_little_and_to_2_bits_much(module, example):
    wanted = graph_of(module, example)(example)
    fine, coarse = (
        (placed(module, example, bits)(example) - wanted).abs().mean().item() for bits in (8, 2)
    )
    assert 0 < fine < 0.05 * float(wanted.detach().std())
    assert coarse > 3 * fine


def test_every_layer_reads_rounded_numbers_and_rounded_weights():
    network = placed(Sum, IMAGE, head=True)
    layers = [n for n in network.graph.nodes if n.target in (*_traced.CONVOLUTIONS, _traced.LINEAR)]
    assert len(layers) == 3
    for layer in layers:
        read, weight = layer.args[:2]
        assert read.target in (fake_quantise, already)
        assert weight.target is fake_quantise
        assert weight.args[3:5] == (-127, 127)


def test_integers_that_are_only_moved_are_rounded_once():
    """Behind a pooling and a flattening they are said to be integers still, and not rounded."""
    network = placed(Sum, IMAGE, head=True)
    head = next(n for n in network.graph.nodes if n.target == _traced.LINEAR)
    read, moved = head.args[0], 0
    while read.target is not fake_quantise:
        moved += read.target is already
        read = read.args[0]
    assert moved == 2
    assert short(read.args[0]) == "relu"


def test_scales_are_trained_and_have_gradients():
    network = placed(Plain, ROWS)
    network(ROWS).square().sum().backward()
    scales = {k: p for k, p in network.named_parameters() if k.endswith("_scale")}
    assert len(scales) == 3 + 2
    assert all(torch.isfinite(p.grad).all() for p in scales.values())
    assert all(p.grad.abs().sum() > 0 for p in scales.values())


@pytest.mark.parametrize(("affine", "bias"), [(True, False), (True, True), (False, True)])
def test_norms_behind_convolutions_are_folded_whatever_they_hold(affine, bias):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, bias=bias)
            self.norm = nn.BatchNorm2d(3, affine=affine)
            self.norm.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
            self.norm.running_var.copy_(torch.tensor([0.1, 1.0, 9.0]))
            if affine:
                nn.init.uniform_(self.norm.weight, 0.5, 2)
                nn.init.uniform_(self.norm.bias)

        def forward(self, image):
            return self.norm(self.conv(image)).mean((2, 3))

    network = graph_of(Normed, IMAGE)
    wanted = network(IMAGE)
    assert _traced.fold_batch_norms(network) == 1
    assert "batch_norm" not in _traced.operators_of(network)
    torch.testing.assert_close(network(IMAGE), wanted, atol=1e-5, rtol=1e-4)


def test_a_convolution_that_others_read_too_keeps_its_norm():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)

        def forward(self, image):
            found = self.conv(image)
            return (self.norm(found) + found).mean((2, 3))

    network = graph_of(Shared, IMAGE)
    assert _traced.fold_batch_norms(network) == 0
    assert np.isfinite(network(IMAGE).detach().numpy()).all()
