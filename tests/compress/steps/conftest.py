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
