"""Small real models, made once a session from nothing but code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from surefoot import models
from surefoot.cli import main
from surefoot.core.dataset import Dataset, Task, TaskKind
from surefoot.core.hashing import hash_arrays
from surefoot.core.model import Model
from surefoot.core.plan import ModelPlan

CLASSES = ("negative", "positive")
_GOOD = ("lovely", "bright", "moving", "warm", "splendid")
_BAD = ("dull", "tired", "clumsy", "cold", "dreadful")
_FILLER = ("the", "film", "was", "a", "story", "of", "two", "people", "and", "their", "house", "by")


def make_texts(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Reviews of 3 to 20 words with one or two that tell, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    texts = []
    for label in labels:
        words = list(rng.choice(_FILLER, rng.integers(3, 18)))
        for word in rng.choice(_GOOD if label else _BAD, rng.integers(1, 3)):
            words.insert(int(rng.integers(0, len(words) + 1)), word)
        texts.append(" ".join(words))
    return np.array(texts, np.dtypes.StringDType()), labels


def labelled(
    name: str, inputs: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]
) -> Dataset:
    """A data set whose rows are called by its name and their number."""
    ids = np.array([f"{name}-{i}" for i in range(len(inputs))], np.dtypes.StringDType())
    return Dataset(
        name=name,
        ids=ids,
        inputs=inputs,
        labels=labels.astype(np.int64),
        classes=classes,
        fingerprint=hash_arrays(ids, inputs, labels),
    )


def to_learn(name: str, kind: TaskKind, train: Dataset) -> Task:
    """A task of training rows alone."""
    return Task(
        name=name,
        kind=kind,
        classes=train.classes,
        train=train,
        selection=None,
        calibration=None,
        test={},
        metric="accuracy",
    )


def make_dataset(rows: int, seed: int, name: str) -> Dataset:
    inputs, labels = make_texts(rows, seed)
    return labelled(name, inputs, labels, CLASSES)


@pytest.fixture(scope="session")
def texts() -> np.ndarray:
    """150 reviews of many lengths."""
    return make_texts(150, 1)[0]


@pytest.fixture(scope="session")
def text_task() -> Task:
    """A text task with 300 training, 100 selection and 200 test rows."""
    return Task(
        name="reviews",
        kind="text-classification",
        classes=CLASSES,
        train=make_dataset(300, 2, "train"),
        selection=make_dataset(100, 3, "selection"),
        calibration=None,
        test={"main": make_dataset(200, 4, "main")},
        metric="accuracy",
    )


@pytest.fixture(scope="session")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer of the reviews, with padding and truncation it should not keep."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(make_texts(300, 2)[0].tolist(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(16)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory, tokenizer_json: Path) -> Path:
    """A Hugging Face folder: a BERT of two layers, fine-tuned on the reviews."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    vocabulary = json.loads(tokenizer_json.read_text())["model"]["vocab"]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=48,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
    )
    model = BertForSequenceClassification(config)
    _fine_tune(model, tokenizer_json)
    model.save_pretrained(folder)
    _beside(folder, tokenizer_json)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(
    tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, tokenizer_json: Path
) -> Path:
    """A Hugging Face folder: the encoder of `tiny_bert`, mean pooling and `head.safetensors`."""
    from safetensors.numpy import save_file
    from transformers import BertForSequenceClassification

    folder = tmp_path_factory.mktemp("encoder")
    encoder = BertForSequenceClassification.from_pretrained(tiny_bert).bert
    encoder.save_pretrained(folder)
    _beside(folder, tokenizer_json)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    inputs, labels = make_texts(200, 2)
    features = encoder_features(folder, inputs.tolist())
    weight, bias = models.fit_linear_head(features, np.eye(2)[labels], l2=1.0)
    save_file({"weight": weight, "bias": bias}, folder / "head.safetensors")
    return folder


def encoder_features(folder: Path, rows: list[str]) -> np.ndarray:
    """Mean-pooled features, computed by transformers alone, one row at a time."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(48)
    encoder = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = [
            encoder(input_ids=torch.tensor([tokenizer.encode(row).ids])).last_hidden_state
            for row in rows
        ]
    return np.stack([state[0].mean(0).numpy() for state in states])


@pytest.fixture(scope="session")
def tiny_onnx_text(tmp_path_factory: pytest.TempPathFactory, tokenizer_json: Path) -> Path:
    """An ONNX file with its tokenizer.json: the sum of token scores, a lexicon as a graph."""
    from onnx import TensorProto, helper, numpy_helper, save

    vocabulary = json.loads(tokenizer_json.read_text())["model"]["vocab"]
    scores = np.zeros((len(vocabulary), 2), np.float32)
    for words, column in ((_BAD, 0), (_GOOD, 1)):
        scores[[vocabulary[word] for word in words], column] = 2.0
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["scores", "input_ids"], ["each"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
            helper.make_node("Mul", ["each", "mask3"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
        ],
        "lexicon",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(scores, "scores"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    folder = tmp_path_factory.mktemp("lexicon")
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        folder / "lexicon.onnx",
    )
    (folder / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())
    return folder / "lexicon.onnx"


def write_numbers(path: Path, rows: int) -> None:
    """Four numbers a row, and labels x, y and z that take turns."""
    numbers = np.random.default_rng(0).standard_normal((rows, 4))
    lines = [f"{','.join(f'{x:.3f}' for x in row)},{'xyz'[i % 3]}" for i, row in enumerate(numbers)]
    path.write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")


def write_talks(path: Path, rows: int, seed: int) -> None:
    """The same with ids and speakers, each of whom has three rows."""
    numbers = np.random.default_rng(seed).standard_normal((rows, 4))
    lines = [
        f"{i},{','.join(f'{x:.3f}' for x in row)},{'xyz'[i % 3]},{i // 3}"
        for i, row in enumerate(numbers)
    ]
    path.write_text("\n".join(["id,a,b,c,d,label,speaker", *lines]) + "\n")


def write_answered(path: Path, model: Path, rng: np.random.Generator, rows: int) -> None:
    """Rows whose labels are what a model of x, y and z answers, but for a tenth of them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model))
    numbers = rng.standard_normal((rows, 4)).astype(np.float32)
    answers = session.run(None, {session.get_inputs()[0].name: numbers})[0].argmax(axis=1)
    labels = np.where(rng.uniform(size=rows) < 0.1, (answers + 1) % 3, answers)
    lines = [
        ",".join([*(f"{x:.6f}" for x in row), "xyz"[label]]) + "\n"
        for row, label in zip(numbers, labels, strict=True)
    ]
    path.write_text("".join(["a,b,c,d,label\n", *lines]))


def linear_onnx(
    path: Path,
    *,
    classes: int = 3,
    width: int | str = 4,
    rows: int | str = "n",
    softmax: bool = False,
    seed: int = 0,
) -> Path:
    """An ONNX file that takes `features` and multiplies them with a fixed matrix."""
    from onnx import TensorProto, helper, numpy_helper, save

    size = width if isinstance(width, int) else 4
    weight = np.random.default_rng(seed).standard_normal((size, classes)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "weight"], ["scores" if softmax else "logits"])
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["logits"], axis=1))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [rows, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [rows, classes])],
        [numpy_helper.from_array(weight, "weight")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="session")
def tiny_onnx_numeric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file from 4 numbers to 3 logits."""
    return linear_onnx(tmp_path_factory.mktemp("numeric") / "linear.onnx")


@pytest.fixture(scope="session")
def tiny_onnx_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file with a convolution, from 8 by 8 images of three colours to 2 logits."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixels", "weight"], ["maps"], kernel_shape=[3, 3]),
            helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["logits"]),
        ],
        "convolution",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path_factory.mktemp("image") / "convolution.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="session")
def tiny_sklearn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic regression of 3 named classes on 4 numbers, saved by skops."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((90, 4)).astype(np.float32)
    labels = np.array(["ash", "birch", "oak"])[inputs[:, :3].argmax(1)]
    path = tmp_path_factory.mktemp("sklearn") / "trees.skops"
    skops.io.dump(LogisticRegression().fit(inputs, labels), path)
    return path


@pytest.fixture(scope="session")
def tiny_sklearn_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TF-IDF pipeline on raw texts, saved by skops."""
    import skops.io
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    inputs, labels = make_texts(200, 2)
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    pipeline.fit(inputs.tolist(), np.array(CLASSES)[labels])
    path = tmp_path_factory.mktemp("tfidf") / "tfidf.skops"
    skops.io.dump(pipeline, path)
    return path


@pytest.fixture
def adopted(tmp_path: Path) -> Callable[..., Model]:
    """Adopts a model into a folder of its own: `adopted(path, kind="text", classes=[...])`."""
    kinds = {
        "text": "text-classification",
        "image": "image-classification",
        "numeric": "tabular-classification",
    }

    def adopt(path: Path, kind: str = "text", folder: str = "adopted", **options: object) -> Model:
        sample = options.pop("sample", None)
        return models.adopt(
            path,
            tmp_path / folder,
            name="tiny",
            kind=kinds[kind],
            options=ModelPlan(path=str(path), **options),
            sample=sample,
        )

    adopt.root = tmp_path
    return adopt


def _fine_tune(model: object, tokenizer_json: Path) -> None:
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_json))
    tokenizer.enable_padding(length=24)
    tokenizer.enable_truncation(24)
    inputs, labels = make_texts(300, 2)
    encoded = tokenizer.encode_batch(inputs.tolist())
    ids = torch.tensor([e.ids for e in encoded])
    mask = torch.tensor([e.attention_mask for e in encoded])
    target = torch.from_numpy(labels)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for step in range(40):
        rows = slice(step * 60 % 300, step * 60 % 300 + 60)
        optimiser.zero_grad()
        model(input_ids=ids[rows], attention_mask=mask[rows], labels=target[rows]).loss.backward()
        optimiser.step()
    model.eval()


def _beside(folder: Path, tokenizer_json: Path) -> None:
    (folder / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 40}')


@pytest.fixture(scope="session")
def linear() -> Callable[..., Path]:
    """Makes a linear ONNX file of any size: see `linear_onnx`."""
    return linear_onnx


@dataclass(frozen=True)
class Said:
    """What the program answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Calls the program as a shell does, in `tmp_path`: `cli("run", "plan.toml").code`."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["surefoot", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return Said(int(stopped.value.code), *capfd.readouterr())

    return call


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine counts as noisy: for tests of something else, wherever they run."""
    for limit in ("NOISIEST", "MOST_STEAL", "MOST_FOREIGN"):
        monkeypatch.setattr(f"surefoot.evaluate.machine.{limit}", float("inf"))
