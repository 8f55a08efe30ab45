from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from surefoot.core.errors import DataError, ModelError
from surefoot.core.model import Model, Signature
from surefoot.models.preprocess import read_tokenizer, tensors, token_lengths

TEXT = ("input_ids", "attention_mask", "token_type_ids")


def text(*rows: str) -> np.ndarray:
    return np.array(rows, np.dtypes.StringDType())


def model(folder: Path, signature: Signature) -> Model:
    return Model(
        name="m",
        format="onnx",
        path=folder,
        file="m",
        fingerprint="",
        size_bytes=0,
        signature=signature,
    )


def text_model(tokenizer: Path, **fields: object) -> Model:
    values = {"tensors": TEXT, "max_length": 40, **fields}
    return model(tokenizer.parent, Signature(input="text", classes=("a",), **values))


def test_batches_are_padded_to_their_longest_row_whatever_the_file_says(
    tokenizer_json: Path,
) -> None:
    rows = text("the film", "the film was a story of two people", "")
    prepared = tensors(text_model(tokenizer_json))(rows)
    assert list(prepared) == list(TEXT)
    assert {array.shape for array in prepared.values()} == {(3, 10)}
    assert {array.dtype for array in prepared.values()} == {np.dtype(np.int64)}
    assert prepared["attention_mask"].sum(1).tolist() == [4, 10, 2]
    ids = prepared["input_ids"]
    assert ids[:, 0].tolist() == [2, 2, 2]  # [CLS]
    assert ids[0, 3:].tolist() == [3, 0, 0, 0, 0, 0, 0]  # [SEP], then [PAD]
    assert not prepared["token_type_ids"].any()


def test_rows_alone_and_in_a_batch_get_the_same_tokens(
    tokenizer_json: Path, texts: np.ndarray
) -> None:
    prepare = tensors(text_model(tokenizer_json))
    together = prepare(texts)
    for i in range(0, len(texts), 17):
        alone = prepare(texts[i : i + 1])["input_ids"][0]
        assert together["input_ids"][i, : len(alone)].tolist() == alone.tolist()
        assert together["attention_mask"][i].sum() == len(alone)


def test_rows_are_cut_at_the_length_of_the_signature_not_of_the_file(tokenizer_json: Path) -> None:
    long = text(" ".join(["film"] * 100))
    assert tensors(text_model(tokenizer_json))(long)["input_ids"].shape == (1, 40)
    assert tensors(text_model(tokenizer_json, max_length=7))(long)["input_ids"][0, -1] == 3  # [SEP]
    assert token_lengths(text_model(tokenizer_json), text("film", long[0])).tolist() == [3, 40]


def test_only_the_tensors_of_the_model_are_made_in_its_order(tokenizer_json: Path) -> None:
    prepare = tensors(text_model(tokenizer_json, tensors=("attention_mask", "input_ids")))
    assert list(prepare(text("film"))) == ["attention_mask", "input_ids"]


def test_padding_on_the_left_and_another_padding_token_are_kept(tokenizer_json, tmp_path) -> None:
    content = json.loads(tokenizer_json.read_text())
    content["padding"] |= {"direction": "Left", "pad_id": 1, "pad_token": "[UNK]"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    prepared = tensors(text_model(tmp_path / "tokenizer.json"))(text("film", "the film"))
    assert prepared["input_ids"][0, :2].tolist() == [1, 2]
    assert prepared["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]


def test_a_tokenizer_without_padding_gets_its_own_padding_token(tokenizer_json, tmp_path) -> None:
    content = json.loads(tokenizer_json.read_text().replace("[PAD]", "<pad>"))
    content["padding"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    padding = read_tokenizer(tmp_path / "tokenizer.json").padding
    assert (padding["pad_id"], padding["pad_token"]) == (0, "<pad>")


def test_no_rows_and_rows_without_tokens_give_tensors_all_the_same(
    tokenizer_json, tmp_path
) -> None:
    content = json.loads(tokenizer_json.read_text())
    content["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    prepare = tensors(text_model(tmp_path / "tokenizer.json"))
    assert prepare(text())["input_ids"].shape == (0, 1)
    empty = prepare(text(""))
    assert empty["input_ids"].tolist() == [[0]]
    assert empty["attention_mask"].tolist() == [[0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such tokenizer"), ("{", "not a tokenizer"), ("{}", "not a tokenizer")],
)
def test_a_broken_tokenizer_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        read_tokenizer(path)
    assert str(path) in str(caught.value)


def image_model(tmp_path: Path, **fields: object) -> Model:
    values = {"tensors": ("pixels",), "shape": (2, 3), **fields}
    return model(tmp_path, Signature(input="image", classes=("a",), **values))


def test_images_are_scaled_and_their_channels_put_in_order(tmp_path: Path) -> None:
    inputs = np.arange(2 * 2 * 3 * 3, dtype=np.uint8).reshape(2, 2, 3, 3) * 7
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = ((inputs / 255 - np.array(mean)) / np.array(std)).astype(np.float32)
    first = image_model(tmp_path, shape=(2, 3, 3), mean=mean, std=std)
    last = image_model(tmp_path, shape=(2, 3, 3), mean=mean, std=std, channels_first=False)
    pixels = tensors(first)(inputs)["pixels"]
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels, expected.transpose(0, 3, 1, 2), atol=1e-6)
    np.testing.assert_allclose(tensors(last)(inputs)["pixels"], expected, atol=1e-6)


def test_grey_images_get_a_channel(tmp_path: Path) -> None:
    inputs = np.full((4, 2, 3), 255, np.uint8)
    assert tensors(image_model(tmp_path))(inputs)["pixels"].shape == (4, 1, 2, 3)
    last = image_model(tmp_path, channels_first=False)
    assert tensors(last)(inputs)["pixels"].shape == (4, 2, 3, 1)
    assert tensors(last)(inputs)["pixels"].max() == 1


def test_images_and_rows_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images are \(3, 2\), the model takes \(2, 3\)"):
        tensors(image_model(tmp_path))(np.zeros((1, 3, 2), np.uint8))
    signature = Signature(input="numeric", classes=("a",), tensors=("x",), width=4)
    with pytest.raises(DataError, match=r"\(5,\) values, the model takes \(4,\)"):
        tensors(model(tmp_path, signature))(np.zeros((1, 5), np.float32))


def test_numbers_become_float32_and_have_no_token_lengths(tmp_path: Path) -> None:
    signature = Signature(input="numeric", classes=("a",), tensors=("x",), width=2)
    prepared = tensors(model(tmp_path, signature))(np.array([[1, 2]]))
    assert prepared["x"].dtype == np.float32
    assert token_lengths(model(tmp_path, signature), np.zeros((3, 2))).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mean": (0.1, 0.2, 0.3)}, "mean has 3 values, the images 1 channels; give one value"),
        ({"std": ()}, "std has 0 values"),
        ({"std": (0.0,)}, "must be finite, std above 0"),
        ({"shape": (2, 3, 3), "std": (0.1, 0.2)}, "std has 2 values, the images 3 channels"),
    ],
)
def test_scaling_that_does_not_fit_the_images_is_refused(tmp_path, fields, message) -> None:
    with pytest.raises(ModelError, match=message):
        tensors(image_model(tmp_path, **fields))
