"""Networks of a few layers, sealed as exported programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import to_learn
from torch import nn

from surefoot import models
from surefoot.core.dataset import Dataset, Task
from surefoot.core.model import Model, Signature

CLASSES = tuple("abcde")


class Block(nn.Module):
    """Two convolutions with batch norms and a residual sum."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.c1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.b1, self.b2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.c2 = nn.Conv2d(after, after, 3, padding="same")
        self.down = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, x):
        return torch.relu(self.b2(self.c2(torch.relu_(self.b1(self.c1(x))))) + self.down(x))


class Residual(nn.Module):
    """A ResNet of two blocks, pooled over its pixels."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d(1)
        )
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(16, 5)

    def forward(self, image):
        x = self.body(image)
        return self.head(self.drop(x.view(x.size(0), -1)))


class Squeezed(nn.Module):
    """Channels weighted by their means, with sizes written into views."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, image):
        x = self.conv(image)
        gate = torch.sigmoid(self.gate(x.mean((2, 3)))).view(-1, 8, 1, 1)
        return self.head((x * gate).mean((2, 3)))


def plain():
    conv, pool = nn.Conv2d(1, 6, 3), nn.MaxPool2d(2)
    return nn.Sequential(conv, nn.ReLU(), pool, nn.Flatten(), nn.Linear(6 * 25, 5))


def perceptron():
    norms = nn.BatchNorm1d(7), nn.LayerNorm(6)
    return nn.Sequential(nn.Linear(4, 7), norms[0], nn.GELU(), nn.Linear(7, 6), norms[1],
                         nn.Linear(6, 5))  # fmt: skip


NETWORKS = {"residual": Residual, "squeezed": Squeezed, "plain": plain, "perceptron": perceptron}


class Written(nn.Module):
    """Two linear layers around a view that has their sizes written into it."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 12), nn.Linear(12, 5)

    def forward(self, features):
        x = self.first(features).view(-1, 3, 4).transpose(1, 2)
        return self.head(torch.relu(x).reshape(-1, 12))


class Depthwise(nn.Module):
    """A convolution for each channel by itself between two of all, as in MobileNet."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 12, 3, bias=False), nn.BatchNorm2d(12)
        self.each = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.all, self.head = nn.Conv2d(12, 10, 1), nn.Linear(10, 5)

    def forward(self, image):
        x = self.each(torch.relu(self.norm(self.first(image))))
        return self.head(torch.relu(self.all(x)).amax((2, 3)))


class Rare(nn.Module):
    """Layers that are seldom seen: groups, sequences, norms of groups, slopes, padding "same"."""

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(1, 8, 3, padding="same", dilation=2)
        self.pairs = nn.Conv2d(8, 8, (1, 3), stride=(2, 1), groups=4, bias=False)
        self.norm, self.slope = nn.GroupNorm(2, 8), nn.PReLU(8)
        self.line, self.bare = nn.Conv1d(8, 6, 3, padding=1), nn.Linear(6, 6, bias=False)
        self.plain, self.head = nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 5)

    def forward(self, image):
        x = self.slope(self.norm(self.pairs(self.grouped(image))))
        x = self.line(x.mean(2)).mean(2)
        return self.head(self.plain(self.bare(x)))


NETWORKS |= {"written": Written, "depthwise": Depthwise, "rare": Rare}


@pytest.fixture
def network() -> Callable[[str], nn.Module]:
    """A network by its name, with batch norms that have seen something."""

    def make(name: str) -> nn.Module:
        torch.manual_seed(0)
        module = NETWORKS[name]()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(layer.running_mean)
                nn.init.uniform_(layer.running_var, 0.5, 2)
        return module

    return make


@pytest.fixture
def program(network: Callable[[str], nn.Module], tmp_path: Path) -> Callable[..., Model]:
    """Seals a network, by its name or itself, as an exported program."""

    def make(which: str | nn.Module, *, decomposed: bool = False, train: bool = False) -> Model:
        module = network(which) if isinstance(which, str) else which
        numeric = next(m for m in module.modules() if list(m.parameters(recurse=False)))
        numeric = next(numeric.parameters(recurse=False)).ndim <= 2
        example = torch.rand((2, 4) if numeric else (2, 1, 12, 12))
        rows = ({0: torch.export.Dim.DYNAMIC},)
        made = torch.export.export(module.train(train), (example,), dynamic_shapes=rows)
        made = made.run_decompositions() if decomposed else made
        folder = tmp_path / f"program-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        torch.export.save(made, folder / "model.pt2")
        signature = Signature(
            input="numeric" if numeric else "image",
            classes=CLASSES,
            tensors=made.graph_signature.user_inputs,
            width=4 if numeric else None,
            shape=() if numeric else (12, 12),
        )
        return models.seal(folder, name="p", format="pt2", file="model.pt2", signature=signature)

    return make


@pytest.fixture
def task_for() -> Callable[..., Task]:
    """A task of random rows that a model takes, labelled by the model's own answers."""

    def make(model: Model, rows: int = 60) -> Task:
        rng, numeric = np.random.default_rng(0), model.signature.input == "numeric"
        inputs = rng.integers(0, 256, (rows, 12, 12), dtype=np.uint8)
        inputs = rng.standard_normal((rows, 4)).astype(np.float32) if numeric else inputs
        with models.open_model(model) as predict:
            labels = predict(inputs).argmax(axis=1)
        ids = np.array([f"row-{i}" for i in range(rows)], np.dtypes.StringDType())
        train = Dataset(name="train", ids=ids, inputs=inputs, labels=labels, classes=CLASSES)
        kind = "tabular-classification" if numeric else "image-classification"
        return to_learn("random", kind, train)

    return make
