"""Static students learn from labels and teacher, and their graph computes what was trained."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from surefoot import models
from surefoot.compress.steps import _student, distill_static
from surefoot.compress.steps._table import embedding_table
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature

QUICK = {"epochs": 12, "dim": 16, "buckets": 512}


@pytest.mark.parametrize("features", ["embeddings", "ngrams"])
@pytest.mark.parametrize("teacher", ["encoder", "exported"])
def test_learns_the_task(step, request, accuracy, features, teacher):
    model = request.getfixturevalue(teacher)
    made = step("distill_static", model, features=features, **QUICK)
    assert accuracy(made) > 0.85
    assert made.parent == model.fingerprint
    assert made.signature.tensors == ("input_ids", "attention_mask")


def test_follows_the_teacher_and_not_the_labels(step, encoder, text_task, accuracy):
    wrong = replace(text_task.train, labels=1 - text_task.train.labels)
    task = replace(text_task, train=wrong)
    assert accuracy(step("distill_static", encoder, on=task, label_weight=0.0, **QUICK)) > 0.9
    assert accuracy(step("distill_static", encoder, on=task, label_weight=1.0, **QUICK)) < 0.1


@pytest.mark.parametrize("features", ["embeddings", "ngrams"])
def test_the_seed_decides(step, encoder, features):
    options = {"features": features, "epochs": 2, "dim": 8, "buckets": 64}
    made = step("distill_static", encoder, seed=3, **options)
    assert step("distill_static", encoder, seed=3, **options).fingerprint == made.fingerprint
    assert step("distill_static", encoder, seed=4, **options).fingerprint != made.fingerprint


@pytest.mark.parametrize("features", ["embeddings", "ngrams"])
def test_answers_do_not_depend_on_batch_and_padding(step, encoder, texts, features):
    made = step("distill_static", encoder, features=features, **QUICK)
    with models.open_model(made) as predict:
        alone, together = predict(texts, batch=1), predict.run_batch(texts)
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize("buckets", [0, 7])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_graph_computes_what_is_trained(buckets, length, tmp_path):
    import torch
    from onnx import checker, save

    from surefoot.models.runtimes.onnxruntime import open_session

    rng = np.random.default_rng(length)
    student = _student.Student(
        table=rng.standard_normal((30 + buckets, 4), np.float32),
        layers=tuple(
            (rng.standard_normal((out, 4), np.float32), rng.standard_normal(out, np.float32))
            for out in (4, 3)
        ),
        buckets=buckets,
        power=0.5,
    )
    rows = [rng.integers(0, 30, n) for n in (length, 1, length, 0)]
    graph = _student.student_graph(student, 30)
    checker.check_model(graph, full_check=True)
    save(graph, tmp_path / "student.onnx")
    ids = np.zeros((4, length), np.int64)
    mask = np.zeros((4, length), np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    feed = {"input_ids": ids, "attention_mask": mask}
    (found,) = open_session(str(tmp_path / "student.onnx"), 1).run(None, feed)
    tensors = [tuple(map(torch.from_numpy, pair)) for pair in student.layers]
    features = [_student.token_features(row, 30, buckets) for row in rows]
    expected = _student._forward(torch.from_numpy(student.table), tensors, features, 0.5)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert np.isfinite(found).all()


def test_the_teachers_embeddings_are_found(encoder, exported):
    from safetensors.numpy import load_file

    vocabulary = len(json.loads((encoder.path / "tokenizer.json").read_text())["model"]["vocab"])
    weights = load_file(encoder.path / "model.safetensors")
    table = next(weights[name] for name in weights if name.endswith("word_embeddings.weight"))
    for model in (encoder, exported):
        np.testing.assert_array_equal(embedding_table(model, vocabulary), table)


def test_a_teacher_without_float_embeddings_starts_at_random(step, exported, accuracy):
    small = step("quantize_dynamic", exported)
    assert accuracy(step("distill_static", small, **QUICK)) > 0.85


def test_can_be_quantised(step, encoder, accuracy):
    made = step("distill_static", encoder, **QUICK)
    small = step("quantize_dynamic", made)
    assert small.size_bytes < made.size_bytes
    assert accuracy(small) > accuracy(made) - 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0, must be at least 1"),
        ({"dim": 0}, "dim is 0"),
        ({"buckets": -1}, "buckets is -1"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"label_weight": 1.5}, "label_weight 1.5; the first two must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_options_out_of_range_are_named(step, encoder, options, message):
    with pytest.raises(ModelError, match=message):
        step("distill_static", encoder, **options)


@pytest.mark.parametrize("features", ["embeddings", "ngrams"])
def test_rows_without_tokens_get_an_answer(step, encoder, text_task, tmp_path, features):
    """Of a tokenizer that adds no special tokens, to an empty text and to one of blanks."""
    shutil.copytree(encoder.path, tmp_path / "bare")
    file = tmp_path / "bare" / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": None}))
    bare = models.seal(
        tmp_path / "bare", name="b", format="huggingface", file=".", signature=encoder.signature
    )
    inputs = text_task.train.inputs.copy()
    inputs[:5] = ""
    task = replace(text_task, train=replace(text_task.train, inputs=inputs))
    made = step("distill_static", bare, on=task, features=features, **QUICK)
    with models.open_model(made) as predict:
        rows = np.array(["", "  ", "lovely"], np.dtypes.StringDType())
        found, alone = predict(rows), predict.run_batch(rows[:1])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:2], np.repeat(alone, 2, axis=0), atol=1e-6)


def test_a_teacher_without_a_mask(step, tokenizer_json, text_task, accuracy, tmp_path):
    """A lexicon that knows its padding by its id; its student sees no padding either."""
    from onnx import TensorProto, helper, numpy_helper, save

    vocabulary = json.loads(tokenizer_json.read_text())["model"]["vocab"]
    scores = np.zeros((len(vocabulary), 2), np.float32)
    for word, column in {"dull": 0, "tired": 0, "lovely": 1, "bright": 1}.items():
        scores[vocabulary[word], column] = 2.0
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["scores", "input_ids"], ["each"]),
            helper.make_node("ReduceSum", ["each", "middle"], ["logits"], keepdims=0),
        ],
        "lexicon",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "length"])],
        [logits],
        [
            numpy_helper.from_array(scores, "scores"),
            numpy_helper.from_array(np.array([1]), "middle"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "m.onnx")
    shutil.copy(tokenizer_json, tmp_path / "tokenizer.json")
    signature = Signature(
        input="text", classes=text_task.classes, tensors=("input_ids",), max_length=40
    )
    model = models.seal(tmp_path, name="m", format="onnx", file="m.onnx", signature=signature)
    made = step("distill_static", model, **QUICK)
    assert made.signature.tensors == ("input_ids", "attention_mask")
    assert accuracy(made) > 0.85
    padded = [len(row) for row in distill_static._tokens(model, text_task.train.inputs)]
    assert len(set(padded)) > 8  # every row its own length, not that of its batch


def test_needs_training_rows(step, encoder, text_task):
    with pytest.raises(ModelError, match="'distill_static' learns from training rows"):
        step("distill_static", encoder, on=replace(text_task, train=None))


def test_needs_a_text_model(step, numbers, tiny_onnx_numeric, tmp_path):
    folder = tmp_path / "numeric"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_onnx_numeric.read_bytes())
    signature = Signature(input="numeric", classes=("a", "b", "c"), tensors=("features",), width=4)
    model = models.seal(folder, name="n", format="onnx", file="model.onnx", signature=signature)
    with pytest.raises(ModelError, match=r"needs a text model with a tokenizer\.json"):
        step("distill_static", model, on=numbers())
