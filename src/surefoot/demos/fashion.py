"""Fashion-MNIST: a small CNN that dynamic int8 makes slower."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import DataError, ModelError
from surefoot.core.extras import require
from surefoot.core.progress import Progress
from surefoot.store import whole_file

FILES = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the data."""
NAMES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CLASSES = tuple(sorted(NAMES))
EPOCHS, BATCH = 3, 128


def fashion(folder: Path, progress: Progress) -> Path:
    """Write the demo's data, baseline and plan.

    Args:
        folder: Where they go.
        progress: Told of every training batch.

    Returns:
        The plan.

    Raises:
        DataError: The data are not on this machine.
    """
    if not FILES.is_dir():
        raise DataError(
            "Fashion-MNIST is not on this machine",
            where=str(FILES),
            fix="on Debian or Ubuntu: sudo apt-get install dataset-fashion-mnist",
        )
    plan = folder / "surefoot.toml"
    plan.write_text(resources.files("surefoot.demos").joinpath("fashion.toml").read_text())
    if not (folder / "data" / "test.npz").exists():
        images, labels = _read("t10k")
        with whole_file(folder / "data" / "test.npz") as part, part.open("wb") as stream:
            np.savez_compressed(stream, images=images, labels=np.array(NAMES)[labels])
    if not (folder / "cnn.onnx").exists():
        with whole_file(folder / "cnn.onnx") as part:
            _train(part, progress)
    return plan


def _read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, 28, 28) uint8 images and (n,) labels, from the IDX files."""
    with gzip.open(FILES / f"{name}-images-idx3-ubyte.gz") as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(FILES / f"{name}-labels-idx1-ubyte.gz") as stream:
        return images, np.frombuffer(stream.read(), np.uint8, offset=8)


def _train(target: Path, progress: Progress) -> None:
    torch = require("torch", extra="compress", error=ModelError)
    require("onnx", extra="compress", error=ModelError)
    torch.manual_seed(0)
    images, labels = _read("train")
    order = [NAMES.index(name) for name in CLASSES]
    pixels = torch.from_numpy(images / np.float32(255))[:, None]
    wanted = torch.from_numpy(np.argsort(order)[labels])
    network = _network(torch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    progress.start("training a small CNN on Fashion-MNIST", EPOCHS * (len(pixels) // BATCH))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(pixels)).split(BATCH)[: len(pixels) // BATCH]:
            loss = torch.nn.functional.cross_entropy(network(pixels[rows]), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            progress.advance()
    torch.onnx.export(
        network.eval(),
        (pixels[:2],),
        str(target),
        dynamo=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "rows"}, "logits": {0: "rows"}},
    )


def _network(torch: Any) -> Any:
    """Two convolutions and two linear layers; 0.4 M parameters."""
    nn = torch.nn
    layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    layers += [nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, len(NAMES))]
    return nn.Sequential(*layers)
