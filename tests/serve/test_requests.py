"""Bodies as rows and answers as bodies, for each kind of input."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.core.errors import ModelError
from surefoot.core.model import Signature
from surefoot.serve.flow import Answered
from surefoot.serve.requests import (
    MOST_ROWS,
    Refused,
    decoded,
    plain_answer,
    plain_request,
    plain_rows,
)

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


def refused(body, signature):
    """By the road that says what is wrong; the quick one says the same."""
    with pytest.raises(Refused) as caught:
        plain_rows(body, signature)
    with pytest.raises(Refused) as quick:
        plain_request(json.dumps(body).encode(), signature)
    assert str(quick.value) == str(caught.value)
    return str(caught.value)


def took(body, signature):
    """By both roads, which must take the same."""
    found, quick = (
        plain_rows(body, signature), plain_request(json.dumps(body).encode(), signature)
    )  # fmt: skip
    assert quick.dtype == found.dtype
    assert quick.shape == found.shape
    assert (quick == found).all()
    return found


def test_texts_come_as_they_are():
    texts = ["", "żółw", "a\nb", "😀" * 3]
    found = took({"inputs": texts}, TEXT)
    assert found.tolist() == texts
    assert found.dtype.kind == "T"


@pytest.mark.parametrize(
    ("signature", "row", "dtype"),
    [(NUMBERS, [1, 2.5, -3e38], np.float32), (PIXELS, [[0, 255], [1, 2]], np.uint8),
     (COLOURS, [[[0, 1, 2], [3, 4, 5]]], np.uint8)],
)  # fmt: skip
def test_rows_of_numbers_get_the_models_type_and_shape(signature, row, dtype):
    found = took({"inputs": [row, row]}, signature)
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
    assert took({"inputs": [[10**20, 0, 0]]}, NUMBERS)[0, 0] == np.float32(1e20)


def test_long_texts_among_numbers_take_no_memory():
    """Asked for an array of such rows, numpy makes room for the longest text in each place."""
    body = {"inputs": [["a" * 100_000, "b", "c"], *[["d", "e", "f"]] * (MOST_ROWS - 1)]}
    tracemalloc.start()
    try:
        refused(body, NUMBERS)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


HUGE = {
    "row of zeros": (NUMBERS, b'{"inputs":[[' + b"0," * 4_000_000 + b"0]]}"),
    "empty lists": (NUMBERS, b'{"inputs":[' + b"[]," * 3_000_000 + b"[]]}"),
    "objects": (TEXT, b'{"inputs":[' + b"{}," * 3_000_000 + b"{}]}"),
    "texts": (TEXT, b'{"inputs":[' + b'"ab",' * 2_000_000 + b'"ab"]}'),
    "another key": (PIXELS, b'{"input":[' + b"[]," * 3_000_000 + b"[]]}"),
    "lists in lists": (TEXT, b'{"inputs":[' + b"[[[[]]]]," * 1_000_000 + b"[]]}"),
    "a text without an end": (TEXT, b'{"inputs":["' + b'\\"' * 4_000_000),
}


@pytest.mark.parametrize("name", HUGE)
def test_values_without_end_are_refused_before_they_are_made(name):
    signature, body = HUGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as caught:
            plain_request(body, signature)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.status == (400 if "end" in name else 413)
    assert most < 5 * len(body)


def test_long_texts_are_looked_at_and_taken():
    texts = ['"[{,' * 100, "\\" * 300, '\\"', "ż" * 1_000] * (MOST_ROWS // 4)
    assert took({"inputs": texts}, TEXT).tolist() == texts
    took({"inputs": [[0.123456789, -1e-7, 3]] * MOST_ROWS}, NUMBERS)
    wide = Signature(input="image", classes=("a",), shape=(9, 9, 1))
    took({"inputs": np.full((MOST_ROWS, 9, 9, 1), 7).tolist()}, wide)


def test_too_many_rows_are_a_413():
    with pytest.raises(Refused) as caught:
        plain_rows({"inputs": ["a"] * (MOST_ROWS + 1)}, TEXT)
    assert caught.value.status == 413


def test_what_is_refused_is_not_sent_back_whole():
    long = refused({"x" * 10_000: 1, "inputs": []}, TEXT)
    many = refused({str(i): i for i in range(900)}, TEXT)
    assert max(map(len, (long, many))) < 300


@pytest.mark.parametrize("body", [b"", b"{", b"nul", b'{"inputs": NaN}', b'{"a": "\xff"}', b"[]"])
def test_a_body_must_be_a_json_object(body):
    with pytest.raises(Refused, match=r"JSON"):
        decoded(body)


FLAT = Signature(input="image", classes=("a",), shape=(3,))
NUMBER = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**45), 10**45), st.booleans(),
    st.none(), st.sampled_from(["1", 255, 255.5, 1 + 1e-12, 3.4028235e38, 3.4028236e38]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(NUMBER, min_size=2, max_size=4), max_size=3),
    signature=st.sampled_from([NUMBERS, TEXT, FLAT]),
)
def test_the_quick_road_takes_and_refuses_what_the_slow_one_does(rows, signature):
    if signature is TEXT:
        rows = [one for row in rows for one in row]
    try:
        plain_rows(decoded(json.dumps({"inputs": rows}).encode()), signature)
    except Refused:
        refused({"inputs": rows}, signature)
    else:
        took({"inputs": rows}, signature)


@pytest.mark.parametrize(
    "row", ["[1e999, 0, 0]", "[NaN, 0, 0]", "[Infinity, 0, 0]", "[-1e400, 0, 0]"]
)
def test_what_is_not_finite_is_no_number(row):
    with pytest.raises(Refused, match="not JSON"):
        plain_request(b'{"inputs": [' + row.encode() + b"]}", NUMBERS)


def test_scores_that_are_not_finite_are_no_answer():
    broken = replace(ANSWERED, scores=np.array([[0.25, 0.75], [np.inf, 0.5]]))
    with pytest.raises(ModelError, match="not finite"):
        plain_answer(broken, ("no", "yes"), "abc", "PASS")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a", "b" * 100_001], "row 1 has 100,001 characters, at most 100,000"),
        (["b" * 100_000] * 11, "1,100,000 characters, at most 1,000,000 in a request"),
    ],
)
def test_texts_are_bounded_whatever_road_they_come(rows, said):
    body = json.dumps({"inputs": rows}).encode()
    tensor = {"name": "input", "datatype": "BYTES", "shape": [len(rows)], "data": rows}
    from surefoot.serve.tensors import tensor_request

    for ask in (
        lambda: plain_request(body, TEXT),
        lambda: plain_rows(decoded(body), TEXT),
        lambda: tensor_request(json.dumps({"inputs": [tensor]}).encode(), None, TEXT),
    ):
        with pytest.raises(Refused, match=re.escape(said)) as refused:
            ask()
        assert refused.value.status == 413
    assert len(plain_request(json.dumps({"inputs": ["b" * 100_000] * 10}).encode(), TEXT)) == 10


def test_a_confidence_that_nobody_told_is_null():
    untold = replace(ANSWERED, scores=np.array([[0.25, 0.75], [np.nan, 0.0]]))
    found = json.loads(plain_answer(untold, ("no", "yes"), "abc", "PASS"))["answers"]
    assert [one["confidence"] for one in found] == [0.75, None]


def test_what_is_out_of_scope_is_said_where_anybody_can_tell():
    told = replace(ANSWERED, strange=(False, True))
    found = json.loads(plain_answer(told, ("no", "yes"), "abc", "PASS"))["answers"]
    assert [one["out_of_scope"] for one in found] == [False, True]


def test_an_answer_says_who_gave_it_and_what_is_promised():
    found = json.loads(plain_answer(ANSWERED, ("no", "yes"), "abc", "PASS"))
    assert found == {
        "answers": [
            {"id": "", "label": "yes", "confidence": 0.75, "route": "static", "promise": "held",
             "out_of_scope": None},
            {"id": "", "label": None, "confidence": 0.5, "route": "abstain",
             "promise": "void: no time for the fallback", "out_of_scope": None},
        ],
        "model": "abc",
        "verdict": "PASS",
    }  # fmt: skip
