"""The banking77 baseline of the searches: data, a fine-tuned MiniLM and two plans.

    python benchmarks/refinery_banking77.py BANKING77 FOLDER

BANKING77 holds train.csv and test.csv with the columns text and category (Casanueva et al. 2020,
"Efficient Intent Detection with Dual Sentence Encoders"). A linear head is fitted on the frozen
encoder; from there all weights are trained, since a head that starts at random spoils them (Kumar
et al. 2022, "Fine-Tuning can Distort Pretrained Features"). Both models are written, as
FOLDER/frozen and FOLDER/tuned; the plans take the second. Only the part of train.csv that they
give to steps is learnt from, so selection and calibration rows are new to the model. One core.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn.functional import cross_entropy

from surefoot.core.dataset import Dataset
from surefoot.core.progress import Silent
from surefoot.data import read, split
from surefoot.data.load import SHARES
from surefoot.demos.sentiment import _features, _head, _unpack_encoder
from surefoot.models.formats.huggingface import HEAD, huggingface, save
from surefoot.models.heads import fit_linear_head
from surefoot.models.preprocess import read_tokenizer
from surefoot.store import whole_folder

EPOCHS, BATCH, PEAK, HEAD_PEAK, WARM, SEED = 4, 32, 1e-4, 1e-3, 0.1, 0
MAX_LENGTH, L2 = 64, 1.0
PLANS = [Path(__file__).with_name(f"refinery_banking77{end}.toml") for end in ("", "_20x")]


def write_data(source: Path, folder: Path) -> None:
    """The two tables with ids, and `category` called `label`."""
    for name in ("train", "test"):
        with (source / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
            rows = [(r["text"], r["category"]) for r in csv.DictReader(stream)]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as sink:
            writer = csv.writer(sink)
            writer.writerow(("id", "text", "label"))
            writer.writerows((f"{name}-{i}", *row) for i, row in enumerate(rows))


def read_data(folder: Path) -> dict[str, Dataset]:
    """The parts as the plan cuts them."""
    options = {"text": "text", "label": "label", "id": "id"}
    whole = {
        name: read("csv", {"path": str(folder / f"{name}.csv"), **options}, name=name, slices={})
        for name in ("train", "test")
    }
    return {**split(whole["train"], shares=SHARES, seed=0), "test": whole["test"]}


def write_frozen(folder: Path, data: Dataset) -> None:
    """The encoder as it comes, with a linear head on its mean-pooled features."""
    _unpack_encoder(folder, Silent())
    config = json.loads((folder / "config.json").read_text())
    classes = len(data.classes)
    config["id2label"] = dict(enumerate(data.classes))
    config["label2id"] = {name: i for i, name in enumerate(data.classes)}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    save_file(_head(np.zeros((classes, 384)), np.zeros(classes)), folder / HEAD)
    features = _features(folder, data.inputs, Silent())
    spread = features.std(axis=0)
    # Of three features nothing is left but rounding; scaled up, they would outweigh all the others.
    features[:, spread < 1e-6 * spread.max()] = 0.0
    weight, bias = fit_linear_head(features, np.eye(classes)[data.labels], l2=L2)
    save_file(_head(weight, bias), folder / HEAD)


def tokens_of(folder: Path, texts: np.ndarray) -> list[list[int]]:
    """The token ids of each text, cut off where the plan cuts them off."""
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    return [t.ids for t in tokenizer.encode_batch(texts.tolist())]


def logits(module: Any, tokens: list[list[int]], rows: np.ndarray) -> torch.Tensor:
    """What the model gives for some rows."""
    width = max(len(tokens[i]) for i in rows)
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.int64)
    for j, i in enumerate(rows):
        ids[j, : len(tokens[i])] = torch.tensor(tokens[i])
        mask[j, : len(tokens[i])] = 1
    return module(ids, mask)


def batches(tokens: list[list[int]], rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of like length in a random order: lengths are compared with noise of two tokens."""
    noisy = np.array([len(t) for t in tokens]) + rng.normal(0, 2, len(tokens))
    order = np.argsort(noisy)
    parts = np.split(order, range(BATCH, len(order), BATCH))
    return [parts[i] for i in rng.permutation(len(parts))]


def tune(module: Any, tokens: list[list[int]], labels: np.ndarray) -> None:
    """Fixed epochs of AdamW over all weights; the rate rises, then falls linearly to none."""
    rng, wanted = np.random.default_rng(SEED), torch.from_numpy(labels)
    groups = [
        {"params": list(module.encoder.parameters()), "lr": PEAK},
        {"params": list(module.head.parameters()), "lr": HEAD_PEAK},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = EPOCHS * -(-len(tokens) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / (WARM * steps), (steps - step) / (steps - WARM * steps))
    )
    module.train()
    for epoch in range(EPOCHS):
        started, total = time.perf_counter(), 0.0
        for rows in batches(tokens, rng):
            with torch.autocast("cpu", torch.bfloat16):
                outputs = logits(module, tokens, rows)
            loss = cross_entropy(outputs.float(), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        seconds = time.perf_counter() - started
        mean = total / len(tokens)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {mean:.4f}, {seconds:.0f} s", flush=True)
    module.eval()


def accuracy(module: Any, folder: Path, data: Dataset) -> float:
    """Share of right answers in float32."""
    tokens = tokens_of(folder, data.inputs)
    order = np.argsort([len(t) for t in tokens], kind="stable")
    parts = np.split(order, range(BATCH, len(order), BATCH))
    with torch.inference_mode():
        right = sum(
            (logits(module, tokens, rows).argmax(1).numpy() == data.labels[rows]).sum()
            for rows in parts
        )
    return float(right / len(data))


def main(source: str, folder: str) -> None:
    """Write FOLDER/data, the models FOLDER/frozen and FOLDER/tuned, and two plans."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    out = Path(folder)
    if not (out / "data").exists():
        with whole_folder(out / "data") as part:
            write_data(Path(source), part)
    data = read_data(out / "data")
    if not (out / "frozen").exists():
        with whole_folder(out / "frozen") as part:
            write_frozen(part, data["train"])
    if not (out / "tuned").exists():
        module = huggingface(out / "frozen")
        tune(module, tokens_of(out / "frozen", data["train"].inputs), data["train"].labels)
        with whole_folder(out / "tuned") as part:
            save(module, part)
            shutil.copyfile(out / "frozen" / "tokenizer.json", part / "tokenizer.json")
    for name in ("frozen", "tuned"):
        module = huggingface(out / name)
        found = (f"{p} {accuracy(module, out / name, data[p]):.4f}" for p in ("selection", "test"))
        print(f"{name}: {', '.join(found)}", flush=True)
    for plan in PLANS:
        shutil.copyfile(plan, out / plan.name.replace("refinery_banking77", "surefoot"))


if __name__ == "__main__":
    main(*sys.argv[1:])
