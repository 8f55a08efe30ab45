"""Every operator that is lifted becomes the layer it came from, with the same answers."""

import pytest
import torch
from torch import nn

from surefoot.compress.steps._lift import lift
from surefoot.core.errors import ModelError


def lifted(module, example, *, decomposed=False, free=True):
    axes = {0: torch.export.Dim.DYNAMIC} if free else None
    made = torch.export.export(module.eval(), (example,), dynamic_shapes=(axes,))
    return lift(made.run_decompositions() if decomposed else made, "here.pt2")


def layers(module):
    return [m for m in module.modules() if type(m).__module__.startswith("torch.nn.modules")]


def same(module, made, example):
    with torch.no_grad():
        torch.testing.assert_close(made.module(example), module(example), atol=1e-5, rtol=1e-4)


TABLE, LINE, IMAGE, VOLUME = (3, 6), (3, 4, 9), (3, 4, 8, 9), (3, 4, 5, 6, 7)
LAYERS = {
    "line": (nn.Conv1d(4, 6, 3, stride=2, padding=1), LINE),
    "same": (nn.Conv2d(4, 6, (3, 5), padding="same", dilation=2), IMAGE),
    "image": (nn.Conv2d(4, 6, (3, 1), stride=(1, 2), padding=(1, 0), groups=2), IMAGE),
    "volume": (nn.Conv3d(4, 2, 2, dilation=2, bias=False), VOLUME),
    "flat": (nn.Linear(6, 3), TABLE),
    "sequence": (nn.Linear(9, 3, bias=False), LINE),
    "norm of lines": (nn.BatchNorm1d(4), LINE),
    "norm of images": (nn.BatchNorm2d(4, eps=1e-2, momentum=0.3), IMAGE),
    "norm of volumes": (nn.BatchNorm3d(4, affine=False), VOLUME),
    "norm of rows": (nn.LayerNorm(9, eps=1e-3), LINE),
    "norm of planes": (nn.LayerNorm((8, 9)), IMAGE),
    "norm without shifts": (nn.LayerNorm(6, bias=False), TABLE),
    "norm of groups": (nn.GroupNorm(2, 4, eps=1e-2), IMAGE),
}
KEPT = (
    "in_features", "out_features", "kernel_size", "stride", "padding", "dilation", "groups", "eps",
    "momentum", "affine", "normalized_shape", "num_groups", "num_channels", "num_features",
)  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_with_all_its_options(name):
    layer, size = LAYERS[name]
    module, example = nn.Sequential(layer), torch.rand(size)
    for key, buffer in layer.named_buffers():
        if "running" in key:
            nn.init.uniform_(buffer, 0.5, 2)
    made = lifted(module, example)
    (found,) = (m for m in layers(made.module) if type(m) is type(layer))
    for key in KEPT:
        assert getattr(found, key, None) == getattr(layer, key, None), key
    assert (found.bias is None) == (getattr(layer, "bias", None) is None)
    assert (made.left, made.fixed, made.free) == ((), (), ((0,),))
    same(module, made, example)
    same(module, made, torch.rand(5, *size[1:]))


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
@pytest.mark.parametrize("name", ["flat", "norm of images", "norm of groups", "image"])
def test_decomposed_operators_come_back_too(name):
    layer, size = LAYERS[name]
    module, example = nn.Sequential(layer), torch.rand(size)
    made = lifted(module, example, decomposed=True)
    same(module, made, example)
    if name != "norm of groups":  # its native operator is left as it is
        assert any(type(m) is type(layer) for m in layers(made.module))


@pytest.mark.parametrize("padding", [None, 0, 3])
def test_a_table_keeps_the_place_of_its_padding(padding):
    module = nn.Sequential(nn.Embedding(7, 4, padding_idx=padding))
    example = torch.tensor([[1, 2], [0, 3], [6, 6]])
    made = lifted(module, example)
    (found,) = (m for m in layers(made.module) if isinstance(m, nn.Embedding))
    assert (found.num_embeddings, found.embedding_dim) == (7, 4)
    assert found.padding_idx == padding
    same(module, made, example)


class Two(nn.Module):
    """Gives two outputs."""

    def forward(self, x):
        return x + 1, x - 1


class Split(nn.Module):
    """Cuts what a layer gives in halves of a size that is written down."""

    def __init__(self):
        super().__init__()
        self.both, self.head = nn.Linear(6, 8), nn.Linear(4, 3)

    def forward(self, x):
        gate, value = self.both(x).split(4, dim=1)
        return self.head(torch.sigmoid(gate) * value)


def test_more_than_one_output_is_refused():
    with pytest.raises(ModelError, match="gives more than one output, or nested ones") as caught:
        lifted(Two(), torch.rand(2, 3))
    assert "here.pt2" in str(caught.value)


def test_operators_in_training_mode_are_named_once():
    module = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 6), nn.Dropout(0.5)).train()
    made = torch.export.export(module, (torch.rand(3, 6),))
    with pytest.raises(ModelError, match=r"layers again: aten\.dropout\.default; export a float"):
        lift(made, "here.pt2")


def test_sizes_of_halves_are_named():
    example = torch.rand(3, 6)
    made = lifted(Split(), example)
    assert [name.split(".")[1] for name in made.fixed] == ["split"]


def test_transposed_convolutions_are_left_with_their_name():
    module, example = nn.Sequential(nn.ConvTranspose2d(4, 2, 2)), torch.rand(IMAGE)
    made = lifted(module, example)
    assert len(made.left) == 1
    assert "conv_transpose2d" in made.left[0]
    same(module, made, example)


def test_dropout_drops_when_it_trains_and_only_then():
    module, example = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)), torch.ones(3, 6)
    made = lifted(module, example)
    same(module, made, example)
    torch.manual_seed(0)
    training = made.module.train()
    assert not torch.equal(training(example), training(example))


def test_fixed_rows_stay_fixed():
    assert lifted(nn.Sequential(nn.Linear(6, 3)), torch.rand(3, 6), free=False).free == ((),)
