"""Small models to compress, and a way to run a step on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import labelled, to_learn

from surefoot import models, plugins
from surefoot.core.dataset import Dataset, Task
from surefoot.core.model import Model, Signature

CLASSES = ("negative", "positive")
BARS = ("across", "down", "spot")


@pytest.fixture
def step(tmp_path: Path, text_task: Task) -> Callable[..., Model]:
    """Runs a step into a folder of its own: `step("refit_head", model, l2=2.0)`."""
    made = []

    def run(name: str, model: Model, *, on: Task | None = None, **options: object) -> Model:
        folder = tmp_path / f"made-{len(made)}"
        folder.mkdir()
        made.append(folder)
        return plugins.find("step", name)(model, on or text_task, folder, **options)

    return run


def sealed(source: Path, folder: Path, *, classes: tuple[str, ...] = CLASSES) -> Model:
    """A text model of the Hugging Face format in a folder of its own."""
    shutil.copytree(source, folder)
    signature = Signature(
        input="text",
        classes=classes,
        tensors=("input_ids", "attention_mask"),
        max_length=40,
    )
    return models.seal(folder, name="tiny", format="huggingface", file=".", signature=signature)


@pytest.fixture(scope="session")
def encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """An encoder of two layers with a head."""
    return sealed(tiny_encoder, tmp_path_factory.mktemp("sealed") / "encoder")


@pytest.fixture(scope="session")
def classifier(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A BERT of two layers for sequence classification."""
    return sealed(tiny_bert, tmp_path_factory.mktemp("sealed") / "bert")


@pytest.fixture(scope="session")
def exported(encoder: Model, text_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The encoder as ONNX."""
    folder = tmp_path_factory.mktemp("exported")
    return plugins.find("step", "export_onnx")(encoder, text_task, folder)


@pytest.fixture(scope="session")
def fused(encoder: Model, text_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The encoder as ONNX with ONNX Runtime's own operators."""
    folder = tmp_path_factory.mktemp("fused")
    return plugins.find("step", "export_onnx")(encoder, text_task, folder, fuse=True)


@pytest.fixture(scope="session")
def accuracy(text_task: Task) -> Callable[[Model], float]:
    """The share of right answers on the 200 test rows."""

    def measure(model: Model) -> float:
        rows = text_task.test["main"]
        with models.open_model(model) as predict:
            return float((predict(rows.inputs).argmax(axis=1) == rows.labels).mean())

    return measure


@pytest.fixture(scope="session")
def operators() -> Callable[[Model], list[str]]:
    """The operator of every node of an ONNX model."""

    def read(model: Model) -> list[str]:
        graph = plugins.find("format", "onnx")(model.path / model.file).graph
        return [node.op_type for node in graph.node]

    return read


@pytest.fixture
def numbers() -> Callable[..., Task]:
    """Makes a task of 3 classes on rows of 4 numbers."""

    def make(classes: tuple[str, ...] = ("a", "b", "c"), shape: tuple[int, ...] = (4,)) -> Task:
        rng = np.random.default_rng(0)
        inputs = rng.standard_normal((120, *shape)).astype(np.float32)
        train = Dataset(
            name="train",
            ids=np.array([f"row-{i}" for i in range(120)], np.dtypes.StringDType()),
            inputs=inputs,
            labels=inputs.reshape(120, -1)[:, : len(classes)].argmax(axis=1).astype(np.int64),
            classes=classes,
        )
        return to_learn("numbers", "tabular-classification", train)

    return make


def _convolutions(path: Path) -> None:
    """A net of two convolutions with batch norms, from 8 by 8 images of three colours."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    arrays = {
        "w1": rng.normal(0, 0.3, (4, 3, 3, 3)),
        "w2": rng.normal(0, 0.3, (8, 4, 3, 3)),
        "head.weight": rng.normal(0, 1, (8, 2)),
        "head.bias": np.zeros(2),
    }
    for i, width in ((1, 4), (2, 8)):
        arrays |= {f"scale{i}": rng.uniform(0.5, 2, width), f"shift{i}": rng.normal(0, 1, width)}
        arrays |= {f"mean{i}": rng.normal(0, 1, width), f"var{i}": rng.uniform(0.5, 2, width)}
    nodes, read = [], "pixels"
    for i in (1, 2):
        norms = [f"{part}{i}" for part in ("scale", "shift", "mean", "var")]
        nodes += [
            helper.make_node("Conv", [read, f"w{i}"], [f"c{i}"], kernel_shape=[3, 3]),
            helper.make_node("BatchNormalization", [f"c{i}", *norms], [f"b{i}"]),
            helper.make_node("Relu", [f"b{i}"], [f"r{i}"]),
        ]
        read = f"r{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [read], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head.weight", "head.bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture
def images(tmp_path: Path) -> tuple[Model, Task]:
    """A convolutional net as ONNX, and a task of 60 images for it."""
    folder = tmp_path / "net"
    folder.mkdir()
    _convolutions(folder / "model.onnx")
    classes = ("a", "b")
    signature = Signature(input="image", classes=classes, tensors=("pixels",), shape=(8, 8, 3))
    model = models.seal(folder, name="n", format="onnx", file="model.onnx", signature=signature)
    pixels = np.random.default_rng(1).integers(0, 256, (60, 8, 8, 3), np.uint8)
    train = Dataset(
        name="train",
        ids=np.array([f"image-{i}" for i in range(60)], np.dtypes.StringDType()),
        inputs=pixels,
        labels=np.arange(60) % 2,
        classes=classes,
    )
    task = to_learn("images", "image-classification", train)
    return model, task


def _bars(rows: int, seed: int, name: str) -> Dataset:
    """Noisy images of a bar across, a bar down, or a spot."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    pixels = rng.integers(0, 120, (rows, 12, 12))
    for image, label in zip(pixels, labels, strict=True):
        i, j = rng.integers(1, 12 - 1, 2)
        where = ((i, slice(None)), (slice(None), j), (slice(i - 1, i + 2), slice(j - 1, j + 2)))
        image[where[label]] += 90
    inputs = pixels.clip(0, 255).astype(np.uint8)
    return labelled(name, inputs, labels, BARS)


@pytest.fixture(scope="session")
def bars_task() -> Task:
    """A task of 600 training and 400 test images of 12 by 12 pixels."""
    return Task(
        name="bars",
        kind="image-classification",
        classes=BARS,
        train=_bars(600, 1, "train"),
        selection=None,
        calibration=None,
        test={"main": _bars(400, 2, "main")},
        metric="accuracy",
    )


@pytest.fixture(scope="session")
def as_program() -> Callable[..., Model]:
    """Seals a network on the images of bars as an exported program: `as_program(net, folder)`."""
    import torch

    def seal(network: Any, folder: Path, output: str = "logits") -> Model:
        rows = {"image": {0: torch.export.Dim("rows")}}
        example = (torch.zeros(2, 1, 12, 12),)
        program = torch.export.export(network.eval(), example, dynamic_shapes=rows)
        folder.mkdir(parents=True, exist_ok=True)
        torch.export.save(program, folder / "net.pt2")
        signature = Signature(
            input="image", classes=BARS, output=output, tensors=("image",), shape=(12, 12)
        )
        return models.seal(folder, name="net", format="pt2", file="net.pt2", signature=signature)

    return seal


@pytest.fixture(scope="session")
def bars_right(bars_task: Task) -> Callable[[Model], float]:
    """The share of right answers on the 400 test images."""

    def measure(model: Model) -> float:
        rows = bars_task.test["main"]
        with models.open_model(model, golden=False) as predict:
            return float((predict(rows.inputs).argmax(axis=1) == rows.labels).mean())

    return measure


@pytest.fixture(scope="session")
def residual(bars_task: Task) -> Any:
    """A network of four convolutions, trained on the bars; it sums in place, as many do."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
            self.relu = nn.ReLU(inplace=True)
            self.one = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
            self.two = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
            self.side = nn.Conv2d(8, 4, 1)
            self.drop = nn.Dropout(0.1)
            self.hidden = nn.Linear(12 * 6 * 6, 16)
            self.head = nn.Linear(16, len(BARS))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.stem(image))
            y = self.two(self.relu(self.one(x)))
            y += x
            y = self.relu(y)
            y = torch.cat([y, self.side(y)], dim=1)
            y = nn.functional.max_pool2d(y, 2).flatten(1)
            return self.head(self.drop(torch.relu(self.hidden(y))))

    torch.manual_seed(0)
    network = Residual()
    pixels = torch.from_numpy(bars_task.train.inputs / np.float32(255))[:, None]
    labels = torch.from_numpy(bars_task.train.labels)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(12):
        for rows in torch.randperm(len(labels)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(pixels[rows]), labels[rows]).backward()
            optimiser.step()
    return network.eval()
