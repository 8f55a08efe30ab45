from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from surefoot.models.formats._external import NESTED, external_files


def test_the_fields_are_those_of_onnx() -> None:
    """Every field whose message can hold a tensor is followed, and no other."""
    leads = {*NESTED, "TensorProto"}
    for name, fields in NESTED.items():
        found = {
            field.number: field.message_type.name
            for field in getattr(onnx, name).DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.name in leads
        }
        assert fields == found, name


def external(name: str, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def test_weights_are_found_wherever_a_graph_may_hold_them(tmp_path: Path) -> None:
    inner = helper.make_graph([], "inner", [], [], [external("c", "in/branch.bin")])
    not_used = external("d", "not used")
    not_used.data_location = TensorProto.DEFAULT
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["k"], value=external("b", "constant.bin")),
            helper.make_node("If", ["p"], ["q"], then_branch=inner, else_branch=inner),
        ],
        "outer",
        [],
        [],
        [external("a", "weights ü.bin"), external("e", "constant.bin"), not_used],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    found = external_files(path)
    assert sorted(found) == ["constant.bin", "in/branch.bin", "weights ü.bin"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"<!DOCTYPE html>", b"\x3a\xff\x01\x2a"])
def test_a_file_that_is_no_onnx_names_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert external_files(path) == ()
