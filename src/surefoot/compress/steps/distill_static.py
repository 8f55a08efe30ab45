"""Trains a student that only looks tokens up: thousands of texts a second on one core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._graph import WEIGHTS, seal_graph
from surefoot.compress.steps._parity import ROWS, Parity, feeds_of, prove
from surefoot.compress.steps._rows import batches
from surefoot.compress.steps._student import (
    Student,
    Training,
    student_graph,
    student_logits,
    token_features,
    train,
)
from surefoot.compress.steps._table import embedding_table
from surefoot.compress.steps._targets import training_targets
from surefoot.core.dataset import Dataset, Task
from surefoot.core.errors import ModelError
from surefoot.core.model import Model, Signature
from surefoot.models.formats.onnx import save
from surefoot.models.preprocess import read_tokenizer

NEEDS = ()
GIVES = "onnx"
_TENSORS = ("input_ids", "attention_mask")


def distill_static(
    model: Model,
    task: Task,
    folder: Path,
    *,
    features: Literal["embeddings", "ngrams"] = "embeddings",
    start: Literal["teacher", "random"] = "teacher",
    dim: int = 256,
    buckets: int = 65536,
    epochs: int = 5,
    learning_rate: float = 1e-2,
    temperature: float = 2.0,
    label_weight: float = 0.5,
    outputs: Path | None = None,
    seed: int = 0,
) -> Model:
    """Trains a student that only looks tokens up: thousands of texts a second on one core.

    It learns from the labels and from the teacher's probabilities, on rows of `task.unlabelled`
    from these alone, and reads the teacher's own tokens. It knows no order of words beyond
    neighbours, so look at test sets of another kind than the training rows. Its graph is held
    against what was trained on real rows in a fresh process; `certificate.json` says what came.

    Args:
        model: The teacher, a text model of any format with a `tokenizer.json`.
        task: Gives training rows, unlabelled rows, or both.
        folder: Where the new model goes.
        features: `embeddings`: the mean of a vector per token, then a layer of as many units and a
            linear head. `ngrams`: a linear model of tokens and hashed pairs of neighbours.
        start: Where token vectors start from: the teacher's input embeddings (drawn at random where
            it has none in floats), or at random.
        dim: Width of a token vector; at most the teacher's own where it starts from that.
        buckets: How many buckets pairs of neighbours are hashed into.
        epochs: Times that every training row is seen.
        learning_rate: Step size at the start of the training.
        temperature: Softens the probabilities that the student imitates.
        label_weight: Weight of the labels, 0 to 1; the teacher's probabilities have the rest.
        outputs: A file of the teacher's scores by row id (csv, jsonl or parquet), which any model
            may have written; the model itself is then not asked.
        seed: What random starts and the order of rows are drawn from.

    Raises:
        ModelError: No rows to learn from, no tokenizer, a file of scores that does not fit, or an
            option out of its range.
    """
    _check(dim=dim, buckets=buckets, epochs=epochs)
    _check_rates(learning_rate=learning_rate, temperature=temperature, label_weight=label_weight)
    vocabulary = _vocabulary(model)
    targets = training_targets(
        task,
        model,
        model,
        "distill_static",
        label_weight=label_weight,
        outputs=outputs and Path(outputs),
    )
    paired = buckets if features == "ngrams" else 0
    tokens = _tokens(model, targets.data.inputs)
    if features == "ngrams":
        student = _linear(vocabulary + buckets, len(task.classes), buckets)
    else:
        table = embedding_table(model, vocabulary) if start == "teacher" else None
        student = _averaging(table, tokens, (vocabulary, dim, len(task.classes)), seed)
    texts = [token_features(row, vocabulary, paired) for row in tokens]
    how = Training(
        epochs=epochs,
        learning_rate=learning_rate,
        temperature=temperature,
        seed=seed,
    )
    student = train(student, texts, targets, how)
    graph = student_graph(student, vocabulary)
    _prove(student, graph, model, targets.data, vocabulary).write(folder)
    save(graph, folder / WEIGHTS)
    return seal_graph(
        model,
        folder,
        "distill_static",
        signature=Signature(
            input="text",
            classes=model.signature.classes,
            tensors=_TENSORS,
            max_length=model.signature.max_length,
        ),
    )


def _prove(student: Student, graph: Any, model: Model, data: Dataset, vocabulary: int) -> Parity:
    """Hold the graph against the student that was trained, on real rows in a fresh process."""
    rows = data.spread(ROWS)
    tokens = _tokens(model, rows.inputs)
    wanted = student_logits(
        student, [token_features(row, vocabulary, student.buckets) for row in tokens]
    )
    feeds = feeds_of(_as_seen(model), rows.inputs)
    places = np.concatenate([positions for positions, _ in feeds])
    return prove(graph, feeds, wanted[places], rows.ids, "distill_static")


def _as_seen(model: Model) -> Model:
    """The model with the tensors that the student takes: the teacher itself may take no mask."""
    return replace(model, signature=replace(model.signature, tensors=_TENSORS))


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ModelError(f"step 'distill_static': {name} is {size}, must be at least 1")


def _check_rates(*, learning_rate: float, temperature: float, label_weight: float) -> None:
    if not (learning_rate > 0 and temperature > 0 and 0 <= label_weight <= 1):
        raise ModelError(
            f"step 'distill_static': learning_rate is {learning_rate}, temperature {temperature},"
            f" label_weight {label_weight}",
            fix="the first two must be above 0, the third from 0 to 1",
        )


def _vocabulary(model: Model) -> int:
    """The number of token ids of the teacher's tokenizer."""
    file = model.path / "tokenizer.json"
    if model.signature.input != "text" or not file.exists():
        raise ModelError(
            "step 'distill_static' needs a text model with a tokenizer.json", where=model.name
        )
    return 1 + int(max(read_tokenizer(file).get_vocab().values()))


def _tokens(model: Model, inputs: np.ndarray) -> list[np.ndarray]:
    """The token ids of every row, without padding; none for a row that has no tokens."""
    found: list[np.ndarray] = [np.empty(0, np.int64)] * len(inputs)
    for positions, tensors in batches(_as_seen(model), inputs):
        mask = tensors["attention_mask"].astype(bool)
        for position, ids, real in zip(positions, tensors["input_ids"], mask, strict=True):
            found[position] = ids[real]
    return found


def _linear(rows: int, classes: int, buckets: int) -> Student:
    """A linear model of token counts, at zero."""
    return Student(
        table=np.zeros((rows, classes), np.float32),
        layers=((np.eye(classes, dtype=np.float32), np.zeros(classes, np.float32)),),
        buckets=buckets,
        power=0.5,
    )


def _averaging(
    table: np.ndarray | None, tokens: list[np.ndarray], sizes: tuple[int, int, int], seed: int
) -> Student:
    """A student that averages token vectors, before training."""
    vocabulary, dim, classes = sizes
    rng = np.random.default_rng(seed)
    if table is None:
        table = rng.standard_normal((vocabulary, dim), np.float32)
    vectors = _principal(table, dim) * _rarity(tokens, vocabulary)[:, None]
    width = vectors.shape[1]
    return Student(
        table=vectors.astype(np.float32),
        layers=(
            (_drawn(rng, width, width), np.zeros(width, np.float32)),
            (_drawn(rng, classes, width), np.zeros(classes, np.float32)),
        ),
        buckets=0,
        power=1.0,
    )


def _drawn(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    weights = rng.standard_normal((rows, columns), np.float32)
    return weights * np.float32(np.sqrt(2 / columns))


def _principal(table: np.ndarray, dim: int) -> np.ndarray:
    """The table's `dim` main directions, scaled to a variance of 1 in the mean."""
    centred = table - table.mean(axis=0, dtype=np.float64)
    if dim < table.shape[1]:
        _, directions = np.linalg.eigh(centred.T @ centred)
        centred = centred @ directions[:, ::-1][:, :dim]
    scaled: np.ndarray = centred / centred.std()
    return scaled


def _rarity(tokens: list[np.ndarray], vocabulary: int) -> np.ndarray:
    """A weight per token that is small for frequent ones.

    Arora, Liang and Ma (2017), "A Simple but Tough-to-Beat Baseline for Sentence Embeddings".
    """
    counts = np.bincount(np.concatenate(tokens), minlength=vocabulary)[:vocabulary]
    weights: np.ndarray = 1e-3 / (1e-3 + counts / max(1, counts.sum()))
    return weights
