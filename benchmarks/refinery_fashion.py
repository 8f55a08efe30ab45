"""The Fashion-MNIST baseline of the searches: data, a small ResNet and a plan.

    python benchmarks/refinery_fashion.py FOLDER

Trains on 55,000 of the 60,000 training rows on one core, about 15 minutes, and goes on from the
last epoch where it was stopped. The other 5,000 rows, drawn by a fixed seed, are the selection and
calibration sets of the plan. The number of epochs is fixed beforehand: no row that is held out
chooses anything. Needs Debian's package dataset-fashion-mnist, and torch.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from surefoot.demos.fashion import CLASSES, NAMES, _read
from surefoot.store import whole_file

EPOCHS, BATCH, PEAK, SEED = 20, 128, 0.2, 0
SELECTION, HELD_OUT = 4_000, 5_000
"""Rows for selection, and rows for selection and calibration together."""
PLAN = Path(__file__).with_name("refinery_fashion.toml")
RECIPE = Path(__file__).with_name("refinery_fashion_recipe.toml")


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, given: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(given, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        projected = (nn.Conv2d(given, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if given == out else nn.Sequential(*projected)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both, rectified."""
        return torch.relu(self.body(x) + self.shortcut(x))


def network() -> nn.Module:
    """0.31 M parameters; the stages have 32, 64 and 128 channels."""
    stem = (nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    stages = (Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, len(NAMES)))
    return nn.Sequential(*stem, *stages, *head)


def write_data(folder: Path) -> None:
    """train.npz, selection.npz and test.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = _read("train")
    order = np.random.default_rng(SEED).permutation(len(images))
    parts = {
        "selection": order[:SELECTION],
        "calibration": order[SELECTION:HELD_OUT],
        "train": order[HELD_OUT:],
    }
    sets = {name: (images[rows], labels[rows]) for name, rows in parts.items()}
    sets["test"] = _read("t10k")
    for name, (rows, found) in sets.items():
        with whole_file(folder / f"{name}.npz") as part, part.open("wb") as stream:
            np.savez_compressed(stream, images=rows, labels=np.array(NAMES)[found])


def read_data(file: Path) -> tuple[Tensor, Tensor]:
    """Pixels from 0 to 1, and positions in `CLASSES`."""
    with np.load(file) as arrays:
        pixels = torch.from_numpy(arrays["images"] / np.float32(255))[:, None]
        return pixels, torch.from_numpy(np.searchsorted(CLASSES, arrays["labels"]))


def augmented(rows: Tensor, draw: torch.Generator) -> Tensor:
    """Every row moved by up to two pixels each way, and half of them mirrored."""
    n, side = len(rows), rows.shape[-1]
    down, right = torch.randint(5, (2, n, 1), generator=draw) + torch.arange(side)
    flip = torch.rand(n, generator=draw) < 0.5
    right = torch.where(flip[:, None], right.flip(1), right)
    return pad(rows, (2, 2, 2, 2))[torch.arange(n)[:, None, None], 0, down[:, :, None],
                                   right[:, None, :]][:, None]  # fmt: skip


def train(model: nn.Module, pixels: Tensor, labels: Tensor, checkpoint: Path) -> None:
    """Fixed epochs of SGD under one cycle of the learning rate, in bfloat16."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=PEAK, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = len(pixels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=EPOCHS * steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    begin = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        begin = saved["epochs"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for epoch in range(begin, EPOCHS):
        started, total = time.perf_counter(), 0.0
        draw = torch.Generator().manual_seed(SEED * 1000 + epoch)
        for i in torch.randperm(len(pixels), generator=draw)[: steps * BATCH].split(BATCH):
            rows = augmented(pixels[i], draw).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = model(rows)
            loss = cross_entropy(outputs.float(), labels[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / steps:.4f}, {seconds:.0f} s", flush=True)
        with whole_file(checkpoint) as part_file:
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"epochs": epoch + 1, **states}, part_file)


def accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    """Share of right answers in float32."""
    with torch.inference_mode():
        answers = torch.cat([model(rows).argmax(1) for rows in pixels.split(500)])
    return float((answers == labels).float().mean())


def export(model: nn.Module, target: Path) -> None:
    """The program, for any number of rows."""
    rows = torch.zeros(2, 1, 28, 28)
    dynamic = ({0: torch.export.Dim("rows", min=1)},)
    program = torch.export.export(model, (rows,), dynamic_shapes=dynamic)
    with whole_file(target) as part:
        torch.export.save(program, part.with_name("part.pt2"))
        part.with_name("part.pt2").replace(part)


def main(folder: str) -> None:
    """Write FOLDER/data, FOLDER/resnet.pt2 and the two plans beside it."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    out = Path(folder)
    if not (out / "data" / "train.npz").exists():
        write_data(out / "data")
    model = network().to(memory_format=torch.channels_last)
    train(model, *read_data(out / "data" / "train.npz"), out / "checkpoint.pt")
    model = model.to(memory_format=torch.contiguous_format).eval()
    for name in ("selection", "test"):
        print(f"{name}: {accuracy(model, *read_data(out / 'data' / f'{name}.npz')):.4f}")
    export(model, out / "resnet.pt2")
    shutil.copyfile(PLAN, out / "surefoot.toml")
    shutil.copyfile(RECIPE, out / "recipe.toml")


if __name__ == "__main__":
    main(*sys.argv[1:])
