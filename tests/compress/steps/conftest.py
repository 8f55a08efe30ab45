"""Small models to compress, and a way to run a step on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from surefoot import models, plugins
from surefoot.core.dataset import Dataset, Task
from surefoot.core.model import Model, Signature

CLASSES = ("negative", "positive")


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
        return Task(
            name="numbers",
            kind="tabular-classification",
            classes=classes,
            train=train,
            selection=None,
            calibration=None,
            test={},
            metric="accuracy",
        )

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
    task = Task(
        name="images",
        kind="image-classification",
        classes=classes,
        train=train,
        selection=None,
        calibration=None,
        test={},
        metric="accuracy",
    )
    return model, task
