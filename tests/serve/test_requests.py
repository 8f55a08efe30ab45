"""Bodies as rows and answers as bodies, for each kind of input."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from surefoot.core.model import Signature
from surefoot.serve.requests import (
    MOST_ROWS,
    Refused,
    decoded,
    metadata,
    plain_answer,
    plain_rows,
    tensor_answer,
    tensor_rows,
)
from surefoot.serve.router import Answered

TEXT = Signature(input="text", classes=("no", "yes"))
NUMBERS = Signature(input="numeric", classes=("no", "yes"), width=3)
PIXELS = Signature(input="image", classes=("no", "yes"), shape=(2, 2))
COLOURS = Signature(input="image", classes=("no", "yes"), shape=(1, 2, 3))

ANSWERED = Answered(
    scores=np.array([[0.25, 0.75], [0.5, 0.5]]),
    predicted=np.array([1, -1]),
    routes=("static", "abstain"),
    promises=("held", "void: no time for the fallback"),
)


def tensor(**changes):
    one = {"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]} | changes
    return {"inputs": [one]}


def refused(body, signature, rows=plain_rows):
    with pytest.raises(Refused) as caught:
        rows(body, signature)
    return str(caught.value)


def test_texts_come_as_they_are():
    texts = ["", "żółw", "a\nb", "😀" * 3]
    found = plain_rows({"inputs": texts}, TEXT)
    assert found.tolist() == texts
    assert found.dtype.kind == "T"


@pytest.mark.parametrize(
    ("signature", "row", "dtype"),
    [(NUMBERS, [1, 2.5, -3e38], np.float32), (PIXELS, [[0, 255], [1, 2]], np.uint8),
     (COLOURS, [[[0, 1, 2], [3, 4, 5]]], np.uint8)],
)  # fmt: skip
def test_rows_of_numbers_get_the_models_type_and_shape(signature, row, dtype):
    found = plain_rows({"inputs": [row, row]}, signature)
    assert found.dtype == dtype
    assert found.shape == (2, *np.shape(row))
    assert np.allclose(found[1], np.array(row, dtype))


@pytest.mark.parametrize(
    ("rows", "signature", "said"),
    [
        ([1], TEXT, "row 0 is no text"),
        (["a", None], TEXT, "row 1 is no text"),
        ([["a"]], TEXT, "row 0 is no text"),
        ([[1, 2]], NUMBERS, "of shape [1, 3]"),
        ([[1, 2, 3], 4], NUMBERS, "of shape [2, 3]"),
        ([1, 2, 3], NUMBERS, "of shape [3, 3]"),
        ([[[1, 2, 3]]], NUMBERS, "numbers alone"),
        ([[1, 2, "3"]], NUMBERS, "numbers alone"),
        ([[1, 2, None]], NUMBERS, "numbers alone"),
        ([[1, 2, False]], NUMBERS, "numbers alone"),
        ([[1, 2, 3.5e38]], NUMBERS, "finite in 32 bits"),
        ([[1, 2, 10**400]], NUMBERS, "finite in 32 bits"),
        ([[[0, 256], [1, 2]]], PIXELS, "whole numbers from 0 to 255"),
        ([[[0, -1], [1, 2]]], PIXELS, "whole numbers from 0 to 255"),
        ([[[0, 0.5], [1, 2]]], PIXELS, "whole numbers from 0 to 255"),
        ([[0, 1, 2, 3]], PIXELS, "of shape [1, 2, 2]"),
        ("abc", TEXT, "a list of at least one row"),
        ({}, TEXT, "a list of at least one row"),
    ],
)
def test_rows_that_the_model_cannot_take_are_named(rows, signature, said):
    assert said in refused({"inputs": rows}, signature)


def test_a_whole_number_beyond_64_bits_is_a_number():
    assert plain_rows({"inputs": [[10**20, 0, 0]]}, NUMBERS)[0, 0] == np.float32(1e20)


def test_long_texts_among_numbers_take_no_memory():
    """Asked for an array of such rows, numpy makes room for the longest text in each place."""
    body = {"inputs": [["a" * 100_000, "b", "c"], *[["d", "e", "f"]] * (MOST_ROWS - 1)]}
    tracemalloc.start()
    try:
        refused(body, NUMBERS)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_too_many_rows_are_a_413():
    with pytest.raises(Refused) as caught:
        plain_rows({"inputs": ["a"] * (MOST_ROWS + 1)}, TEXT)
    assert caught.value.status == 413


def test_what_is_refused_is_not_sent_back_whole():
    long = refused({"x" * 10_000: 1, "inputs": []}, TEXT)
    many = refused({str(i): i for i in range(10_000)}, TEXT)
    deep = refused(tensor(shape=[10**18] * 1_000), NUMBERS, tensor_rows)
    assert max(map(len, (long, many, deep))) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"inputs": NaN}', b'{"a": "\xff"}', b"[]"])
def test_a_body_must_be_a_json_object(body):
    with pytest.raises(Refused, match=r"JSON"):
        decoded(body)


def test_tensors_are_flat_in_json():
    assert tensor_rows(tensor(shape=[2, 3], data=[*range(6)]), NUMBERS).tolist() == [
        [0, 1, 2], [3, 4, 5],
    ]  # fmt: skip
    sent = tensor(datatype="BYTES", shape=[2], data=["a", "b"])
    assert tensor_rows(sent, TEXT).tolist() == ["a", "b"]
    sent = tensor(datatype="UINT8", shape=[1, 2, 2], data=[1, 2, 3, 255])
    assert tensor_rows(sent, PIXELS).tolist() == [[[1, 2], [3, 255]]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [2, 3]}, "of shape [6]"),
        ({"shape": [0, 3], "data": []}, "n from 1 to"),
        ({"shape": [3]}, "shape must be [n, 3]"),
        ({"shape": [True, 3]}, "whole numbers"),
        ({"shape": [-1, 3]}, "whole numbers"),
        ({"datatype": "FP16"}, "FP32"),
        ({"name": "tokens"}, "'input' of FP32"),
        ({"data": "abc"}, "must be a list"),
        ({"data": [1, 2, "3"]}, "numbers alone"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes, said):
    assert said in refused(tensor(**changes), NUMBERS, tensor_rows)


def test_requests_that_are_none_of_the_protocol_are_named():
    assert "one tensor" in refused({}, NUMBERS, tensor_rows)
    assert "one tensor" in refused({"inputs": [1]}, NUMBERS, tensor_rows)
    two = {"inputs": tensor()["inputs"] * 2}
    assert "one tensor" in refused(two, NUMBERS, tensor_rows)
    chosen = tensor() | {"outputs": [{"name": "label"}]}
    assert "outputs cannot be chosen" in refused(chosen, NUMBERS, tensor_rows)


def test_an_answer_says_who_gave_it_and_what_is_promised():
    found = json.loads(plain_answer(ANSWERED, ("no", "yes"), "abc", "PASS"))
    assert found == {
        "answers": [
            {"label": "yes", "confidence": 0.75, "route": "static", "promise": "held"},
            {"label": None, "confidence": 0.5, "route": "abstain",
             "promise": "void: no time for the fallback"},
        ],
        "model": "abc",
        "verdict": "PASS",
    }  # fmt: skip


def test_an_answer_of_the_protocol_has_the_outputs_that_the_metadata_name():
    found = json.loads(tensor_answer(ANSWERED, ("no", "yes"), "lean", "FAIL", "7"))
    told = json.loads(metadata(NUMBERS, "lean"))
    assert (found["id"], found["model_name"]) == ("7", told["name"])
    assert found["parameters"] == {"verdict": "FAIL"}
    sent = {one["name"]: one for one in found["outputs"]}
    assert [*sent] == [one["name"] for one in told["outputs"]]
    for one in told["outputs"]:
        assert sent[one["name"]]["datatype"] == one["datatype"]
        assert sent[one["name"]]["shape"] == [2 if n == -1 else n for n in one["shape"]]
    assert sent["label"]["data"] == ["yes", ""]
    assert sent["scores"]["data"] == [0.25, 0.75, 0.5, 0.5]
    assert "id" not in json.loads(tensor_answer(ANSWERED, ("no", "yes"), "lean", "PASS", None))


@pytest.mark.parametrize(
    ("signature", "kind", "shape"),
    [(TEXT, "BYTES", [-1]), (NUMBERS, "FP32", [-1, 3]), (PIXELS, "UINT8", [-1, 2, 2]),
     (COLOURS, "UINT8", [-1, 1, 2, 3])],
)  # fmt: skip
def test_the_metadata_say_what_a_row_is(signature, kind, shape):
    (one,) = json.loads(metadata(signature, "lean"))["inputs"]
    assert one == {"name": "input", "datatype": kind, "shape": shape}
