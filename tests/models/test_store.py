from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot.core.errors import ModelError
from surefoot.core.model import Model, Signature
from surefoot.models.store import (
    _fingerprint,
    _signature,
    copy_preprocessing,
    moved,
    read_model,
    seal,
)

SIGNATURE = Signature(input="numeric", classes=("a", "b"), tensors=("x",), width=2)


def make(folder: Path, weights: bytes = b"weights", signature: Signature = SIGNATURE) -> Model:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(weights)
    return seal(folder, name="m", format="onnx", file="model.onnx", signature=signature)


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    sealed = seal(
        make(tmp_path).path,
        name="m",
        format="onnx",
        file="model.onnx",
        signature=SIGNATURE,
        parent="f" * 64,
    )
    assert read_model(tmp_path) == sealed
    assert sealed.parent == "f" * 64


@given(
    st.builds(
        Signature,
        input=st.sampled_from(["text", "image", "numeric"]),
        classes=st.lists(st.text(max_size=5), max_size=4).map(tuple),
        output=st.sampled_from(["logits", "probabilities"]),
        tensors=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        max_length=st.none() | st.integers(1, 512),
        width=st.none() | st.integers(1, 512),
        shape=st.lists(st.integers(1, 64), max_size=3).map(tuple),
        channels_first=st.booleans(),
        mean=st.lists(st.floats(-9, 9), min_size=1, max_size=3).map(tuple),
    )
)
def test_every_signature_survives_json(signature: Signature) -> None:
    from dataclasses import asdict

    assert _signature(json.loads(json.dumps(asdict(signature)))) == signature


def test_the_fingerprint_is_of_weights_and_signature_and_of_nothing_else(tmp_path: Path) -> None:
    first = make(tmp_path / "one")
    same = seal(
        make(tmp_path / "two").path,
        name="another name",
        format="onnx",
        file="model.onnx",
        signature=SIGNATURE,
        parent="somebody",
    )
    other_weights = make(tmp_path / "three", b"Weights")
    other_signature = make(tmp_path / "four", signature=replace(SIGNATURE, classes=("b", "a")))
    assert same.fingerprint == first.fingerprint
    assert len({m.fingerprint for m in (first, other_weights, other_signature)}) == 3


def test_golden_vectors_and_hidden_files_are_not_part_of_the_model(tmp_path: Path) -> None:
    model = make(tmp_path)
    (tmp_path / "golden.npz").write_bytes(b"x" * 1000)
    (tmp_path / ".cost.json").write_text("[]")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "file").write_text("x")
    again = read_model(tmp_path)
    assert again == model
    stored = (tmp_path / "model.onnx", tmp_path / "signature.json")
    assert again.size_bytes == sum(file.stat().st_size for file in stored)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.onnx").write_bytes(b"weightz"), "model.onnx: changed after"),
        (lambda f: (f / "model.onnx").unlink(), "model.onnx: is missing"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json: was added"),
        (lambda f: (f / "signature.json").unlink(), "no model here"),
        (
            lambda f: (f / "signature.json").write_text('{"name": '),
            "signature.json: not valid JSON",
        ),
        (lambda f: (f / "signature.json").write_text("{}"), "not a signature of surefoot"),
    ],
)
def test_a_damaged_folder_is_refused_and_the_file_named(tmp_path, damage, message) -> None:
    make(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        read_model(tmp_path)


def test_an_edited_signature_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "signature.json"
    record = json.loads(path.read_text())
    record["signature"]["classes"].reverse()
    path.write_text(json.dumps(record))
    with pytest.raises(ModelError, match="was edited after the model was sealed"):
        read_model(tmp_path)


def test_a_folder_without_the_weights_cannot_be_sealed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights are missing"):
        seal(tmp_path, name="m", format="onnx", file="model.onnx", signature=SIGNATURE)
    assert not list(tmp_path.iterdir())


def test_a_moved_model_is_the_same_model(tmp_path: Path) -> None:
    model = make(tmp_path / "here")
    model.path.rename(tmp_path / "there")
    assert moved(model, tmp_path / "there") == read_model(tmp_path / "there")


def test_preprocessing_goes_along(tmp_path: Path) -> None:
    model = make(tmp_path / "one")
    (tmp_path / "two").mkdir()
    copy_preprocessing(model, tmp_path / "two")
    assert not list((tmp_path / "two").iterdir())
    (model.path / "tokenizer.json").write_text("{}")
    copy_preprocessing(model, tmp_path / "two")
    assert (tmp_path / "two" / "tokenizer.json").read_text() == "{}"


def test_importing_models_imports_no_heavy_library() -> None:
    heavy = "{'torch', 'onnx', 'onnxruntime', 'transformers', 'tokenizers', 'scipy', 'sklearn'}"
    code = f"import surefoot.models, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("format", "file"), [("pickle", "model.pkl"), ("torchscript", "model.pt"), ("skops", "m.skops")]
)
def test_a_sealed_model_that_can_run_code_needs_trust(tmp_path: Path, format, file) -> None:
    (tmp_path / file).write_bytes(b"weights")
    if format == "skops":
        (tmp_path / "trusted.json").write_text('["some.Type"]')
    sealed = seal(tmp_path, name="m", format=format, file=file, signature=SIGNATURE)
    with pytest.raises(ModelError, match=r"set trust = true under \[model\]") as caught:
        read_model(tmp_path)
    assert caught.value.where == str(tmp_path)
    assert read_model(tmp_path, trust=True) == sealed


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../model.onnx"},
        {"file": "/model.onnx"},
        {"file": "signature.json"},
        {"file": ["model.onnx"]},
        {"format": "../formats/pickle"},
        {"format": None},
        {"files": ["model.onnx"]},
        {"signature": {"input": "text", "classes": [], "surplus": 1}},
        {"signature": {}},
        {"signature": None},
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, change: dict) -> None:
    """Each is consistent with itself: its fingerprint is that of what it says."""
    make(tmp_path / "inside")
    (tmp_path / "model.onnx").write_bytes(b"weights")
    path = tmp_path / "inside" / "signature.json"
    record = json.loads(path.read_text()) | change
    record["fingerprint"] = _fingerprint(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ModelError, match="not a signature of surefoot"):
        read_model(tmp_path / "inside", trust=True)
