"""The Open Inference Protocol: bodies in JSON and in bytes as rows, and answers as either."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.test_requests import ANSWERED, COLOURS, NUMBERS, PIXELS, TEXT

from surefoot.core.errors import ModelError
from surefoot.serve.requests import Refused
from surefoot.serve.tensors import OUTPUTS, metadata, server, tensor_answer, tensor_request

FLOATS = np.array([[1, 2, 3], [4, 5, 6]], "<f4")


def tensor(**changes):
    one = {"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]} | changes
    return {"inputs": [{key: value for key, value in one.items() if value is not None}]}


def binary(raw, *, size=None, behind=b"", **changes):
    """Body and header of a request whose tensor is bytes."""
    told = {"binary_data_size": len(raw) if size is None else size}
    said = json.dumps(tensor(**{"data": None, "parameters": told} | changes)).encode()
    return said + raw + behind, str(len(said)).encode()


def texts(*rows):
    return b"".join(struct.pack("<I", len(row)) + row for row in rows)


def asked(body, signature=NUMBERS, header=None):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return tensor_request(sent, header, signature)


def refused(body, signature=NUMBERS, header=None):
    with pytest.raises(Refused) as caught:
        asked(body, signature, header)
    assert caught.value.status == 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "signature", "rows"),
    [
        ({"shape": [2, 3], "data": [*range(6)]}, NUMBERS, [[0, 1, 2], [3, 4, 5]]),
        ({"shape": [2, 3], "data": [[0, 1, 2], [3, 4, 5]]}, NUMBERS, [[0, 1, 2], [3, 4, 5]]),
        ({"datatype": "BYTES", "shape": [2], "data": ["a", "ż\x00"]}, TEXT, ["a", "ż\x00"]),
        ({"datatype": "UINT8", "shape": [1, 2, 2], "data": [1, 2, 3, 255]}, PIXELS,
         [[[1, 2], [3, 255]]]),
        ({"datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [[[[1, 2, 3], [4, 5, 6]]]]}, COLOURS,
         [[[[1, 2, 3], [4, 5, 6]]]]),
    ],
)  # fmt: skip
def test_tensors_are_flat_or_nested_in_json(changes, signature, rows):
    assert asked(tensor(**changes), signature).rows.tolist() == rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [2, 3]}, "3 values for shape [2, 3]"),
        ({"data": [[1, 2], [3]]}, "of shape [1, 3]"),
        ({"data": [[1, 2, 3], 4]}, "of shape [1, 3]"),
        ({"shape": [0, 3], "data": []}, "n from 1 to"),
        ({"shape": [1001, 3]}, "n from 1 to 1000"),
        ({"shape": [3]}, "shape must be [n, 3]"),
        ({"shape": [10**18] * 1_000}, "shape must be [n, 3]"),
        ({"shape": [True, 3]}, "Expected `int`, got `bool`"),
        ({"shape": [-1, 3]}, "Expected `int` >= 0"),
        ({"shape": "x"}, "Expected `array`"),
        ({"datatype": "FP16"}, "FP32"),
        ({"name": "tokens"}, "'input' of FP32"),
        ({"name": 1}, "Expected `str`"),
        ({"data": "abc"}, "needs data"),
        ({"data": None}, "needs data"),
        ({"data": [1, 2, "3"]}, "numbers alone"),
        ({"data": [1, 2, True]}, "numbers alone"),
        ({"data": [1, 2, 1e300]}, "finite in 32 bits"),
        ({"data": [1, 2, 10**400]}, "finite in 32 bits"),
        ({"parameters": {"shared_memory_region": "x"}}, "not spoken here"),
        ({"parameters": 3}, "Expected `object"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes, said):
    assert said in refused(tensor(**changes))


@pytest.mark.parametrize(
    ("data", "said"), [(["a"], "1 values for 2 rows"), (["a", 1], "row 1 is no text")]
)
def test_texts_that_do_not_fit_are_named(data, said):
    assert said in refused(tensor(datatype="BYTES", shape=[2], data=data), TEXT)


def test_requests_that_are_none_of_the_protocol_are_named():
    assert "missing required field `inputs`" in refused({})
    assert "Expected `object`" in refused({"inputs": [1]})
    assert "one tensor, found 2" in refused({"inputs": tensor()["inputs"] * 2})
    assert "not JSON" in refused(b'{"inputs": [NaN]}')
    assert "not JSON" in refused(b'{"id": "\xff"}')
    assert "not JSON" in refused(b'{"parameters": {"a": ' + b"[" * 100_000)
    deep = json.dumps(tensor(data="deep")).replace('"deep"', "[" * 100_000 + "]" * 100_000)
    assert "not JSON" in refused(deep.encode())
    assert "sequence_id" in refused(tensor() | {"parameters": {"sequence_id": 1}})
    assert len(refused(tensor(name="x" * 10_000))) < 300


def test_numbers_in_bytes_are_not_copied():
    body, header = binary(FLOATS.tobytes(), shape=[2, 3])
    for pad in range(4):  # JSON may end in blanks, by which a client can put its numbers in place
        head = body[: int(header)] + b" " * pad
        sent = head + FLOATS.tobytes()
        found = asked(sent, header=str(len(head)).encode()).rows
        assert found.tolist() == FLOATS.tolist()
        assert found.flags.aligned
        where = np.frombuffer(sent, np.uint8).__array_interface__["data"][0] + len(head)
        assert (found.__array_interface__["data"][0] == where) == (where % 4 == 0)


def test_texts_and_pixels_come_in_bytes():
    body, header = binary(
        texts(b"", "żółw".encode(), b"a\x00b"), datatype="BYTES", shape=[3]
    )  # fmt: skip
    assert asked(body, TEXT, header).rows.tolist() == ["", "żółw", "a\x00b"]
    body, header = binary(bytes(range(8)), datatype="UINT8", shape=[2, 2, 2])
    assert asked(body, PIXELS, header).rows.tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


@pytest.mark.parametrize(
    ("raw", "changes", "said"),
    [
        (FLOATS.tobytes()[:-1], {}, "23 bytes for [2, 3] of FP32, which are 24"),
        (FLOATS.tobytes(), {"shape": [1, 3]}, "24 bytes for [1, 3]"),
        (FLOATS.tobytes(), {"size": 12}, "binary_data_size is 12, behind the JSON are 24"),
        (FLOATS.tobytes(), {"size": 28}, "behind the JSON are 24"),
        (FLOATS.tobytes(), {"size": -24}, "behind the JSON are 24"),
        (FLOATS.tobytes(), {"size": True}, "behind the JSON are 24"),
        (FLOATS.tobytes(), {"size": "24"}, "behind the JSON are 24"),
        (FLOATS.tobytes(), {"behind": b"\0"}, "behind the JSON are 25"),
        (FLOATS.tobytes(), {"data": [1]}, "not both"),
        (FLOATS.tobytes(), {"parameters": {}}, "24 bytes behind the JSON, of no tensor"),
        (np.array([[1, np.nan, 3]] * 2, "<f4").tobytes(), {}, "finite"),
        (np.array([[1, np.inf, 3]] * 2, "<f4").tobytes(), {}, "finite"),
        (b"", {}, "0 bytes for [2, 3]"),
    ],
)
def test_numbers_in_bytes_that_lie_are_refused(raw, changes, said):
    body, header = binary(raw, **{"shape": [2, 3]} | changes)
    if "parameters" in changes:
        body = json.dumps(tensor(data=None)).encode()
        body, header = body + raw, str(len(body)).encode()
    assert said in refused(body, header=header)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (texts(b"a"), "end before the length of row 1"),
        (texts(b"a", b"b")[:-1], "end before row 1 does"),
        (texts(b"a") + b"\xff\xff\xff\xff", "end before row 1 does"),
        (texts(b"a", b"b", b"c"), "5 bytes behind the last of 2 rows"),
        (texts(b"a", b"\xff"), "row 1 is not UTF-8"),
        (texts(b"a", b"\xed\xa0\x80"), "row 1 is not UTF-8"),
        (b"\x01\x00", "length of row 0"),
    ],
)
def test_texts_in_bytes_that_lie_are_refused(raw, said):
    body, header = binary(raw, datatype="BYTES", shape=[2])
    assert said in refused(body, TEXT, header)


@pytest.mark.parametrize("header", ["", "0", "-1", "+5", "1e3", "10000", "9" * 5_000, "²"])
def test_a_header_that_lies_is_refused(header):
    assert "Inference-Header-Content-Length" in refused(tensor(), header=header.encode())


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=40), size=st.integers(-1, 41), cut=st.integers(-3, 3))
def test_no_bytes_do_more_than_be_refused(raw, size, cut):
    for signature, kind, shape in ((NUMBERS, "FP32", [2, 3]), (TEXT, "BYTES", [2])):
        body, header = binary(raw, size=size, datatype=kind, shape=shape)
        try:
            found = asked(body, signature, str(max(0, int(header) + cut)).encode())
        except Refused:
            continue
        assert found.rows.shape[0] == 2


def test_values_without_end_are_refused_before_they_are_made():
    for long in ({"parameters": {"a": [[]] * 100_000}}, {"outputs": [{"name": "label"}] * 50_000}):
        with pytest.raises(Refused, match="more values than 1000 rows") as caught:
            asked(tensor() | long)
        assert caught.value.status == 413
    most = tensor(shape=[1_000, 3], data=[[0.5, 1e-9, 3.25]] * 1_000) | {"id": "x" * 200_000}
    assert len(asked(most).rows) == 1_000


def test_outputs_are_chosen_by_name_and_form():
    every = asked(tensor()).outputs
    assert [*every] == [*OUTPUTS]
    assert not any(every.values())
    sent = tensor() | {"parameters": {"binary_data_output": True}}
    assert all(asked(sent).outputs.values())
    chosen = [{"name": "route"}, {"name": "label", "parameters": {"binary_data": False}}]
    assert asked(sent | {"outputs": chosen}).outputs == {"route": True, "label": False}
    assert asked(tensor() | {"outputs": chosen}).outputs == {"route": False, "label": False}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ([{"name": "lable"}], "no output 'lable'; did you mean 'label'?"),
        ([{"name": "label"}, {"name": "label"}], "asked for twice"),
        ([{"name": "label", "parameters": {"binary_data": 1}}], "true or false"),
        ([{"name": "label", "parameters": {"classification": 2}}], "not spoken here"),
        ([{}], "missing required field `name`"),
        ("label", "Expected `array | null`"),
        ([{"name": "label"}] * 65, "length <= 64"),
    ],
)
def test_outputs_that_there_are_not_are_named(outputs, said):
    assert said in refused(tensor() | {"outputs": outputs})


def answer(sent, verdict="PASS", answered=ANSWERED):
    body, ends = tensor_answer(answered, ("no", "yes"), "lean", verdict, asked(sent))
    return json.loads(body[:ends]), body[ends:] if ends else b""


def test_an_answer_of_the_protocol_has_the_outputs_that_the_metadata_name():
    found, _ = answer(tensor() | {"id": "7"}, "FAIL")
    told = metadata(NUMBERS, "lean")
    assert (found["id"], found["model_name"]) == ("7", told["name"])
    assert found["parameters"] == {"verdict": "FAIL"}
    sent = {one["name"]: one for one in found["outputs"]}
    assert [*sent] == [one["name"] for one in told["outputs"]]
    for one in told["outputs"]:
        assert sent[one["name"]]["datatype"] == one["datatype"]
        assert sent[one["name"]]["shape"] == [2 if n == -1 else n for n in one["shape"]]
    assert sent["label"]["data"] == ["yes", ""]
    assert sent["scores"]["data"] == [0.25, 0.75, 0.5, 0.5]
    assert "id" not in answer(tensor())[0]


def test_an_answer_in_bytes_says_how_many_each_output_has():
    outputs = [{"name": "label"}, {"name": "scores", "parameters": {"binary_data": True}},
               {"name": "route", "parameters": {"binary_data": True}}]  # fmt: skip
    found, raw = answer(tensor() | {"outputs": outputs})
    assert found["outputs"][0]["data"] == ["yes", ""]
    sizes = [one["parameters"]["binary_data_size"] for one in found["outputs"][1:]]
    assert sizes == [16, 21]
    assert np.frombuffer(raw[:16], "<f4").tolist() == [0.25, 0.75, 0.5, 0.5]
    assert raw[16:] == texts(b"static", b"abstain")
    assert all("data" not in one for one in found["outputs"][1:])


def test_scores_that_are_not_finite_are_no_answer():
    broken = replace(ANSWERED, scores=np.array([[0.25, 0.75], [np.inf, 0.5]]))
    for name in ("scores", "confidence", "label"):
        with pytest.raises(ModelError, match="not finite"):
            answer(tensor() | {"outputs": [{"name": name}]}, answered=broken)


@pytest.mark.parametrize(
    ("signature", "kind", "shape"),
    [(TEXT, "BYTES", [-1]), (NUMBERS, "FP32", [-1, 3]), (PIXELS, "UINT8", [-1, 2, 2]),
     (COLOURS, "UINT8", [-1, 1, 2, 3])],
)  # fmt: skip
def test_the_metadata_say_what_a_row_is(signature, kind, shape):
    (one,) = metadata(signature, "lean")["inputs"]
    assert one == {"name": "input", "datatype": kind, "shape": shape}


def test_the_server_says_what_it_speaks():
    assert json.loads(server())["extensions"] == ["binary_tensor_data"]
