"""Tensors of ONNX files of every type, and names of the exports' files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from surefoot.core.errors import ModelError
from surefoot.report.exports._tensors import DATATYPES, onnx_tensors
from surefoot.report.exports._written import basis, bounded, id_of, slug, yaml_text

onnx = pytest.importorskip("onnx")
yaml = pytest.importorskip("yaml")
TYPES = {
    "BOOL": "BOOL", "UINT8": "UINT8", "INT8": "INT8", "INT32": "INT32", "INT64": "INT64",
    "FLOAT16": "FP16", "FLOAT": "FP32", "DOUBLE": "FP64", "STRING": "BYTES",
}  # fmt: skip


@pytest.fixture
def model(release, tmp_path):
    """A model whose file passes on one tensor of a type and shape."""

    def make(kind, shape, name="x"):
        helper = onnx.helper
        ports = [
            helper.make_tensor_value_info(port, getattr(onnx.TensorProto, kind), shape)
            for port in (name, "y")
        ]
        graph = helper.make_graph(
            [helper.make_node("Identity", [name], ["y"])], "same", ports[:1], ports[1:]
        )
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
        )  # fmt: skip
        onnx.save(proto, tmp_path / "own.onnx")
        return replace(release.candidate, folder=tmp_path, file="own.onnx")

    return make


@pytest.mark.parametrize(("kind", "named"), TYPES.items())
def test_a_type_has_the_name_of_the_protocol(model, kind, named):
    (inputs, outputs) = onnx_tensors(model(kind, ["n", 3]))
    assert [t.datatype for t in (*inputs, *outputs)] == [named, named]
    assert named in DATATYPES.values()


@pytest.mark.parametrize(
    ("shape", "told"),
    [(["n", 3], (-1, 3)), ([1, 3], (1, 3)), ([], ()), ([None, "a", 7], (-1, -1, 7)), ([2], (2,))],
)
def test_an_axis_of_any_length_is_minus_one(model, shape, told):
    (inputs, outputs) = onnx_tensors(model("FLOAT", shape))
    assert [t.shape for t in (*inputs, *outputs)] == [told, told]


def test_names_of_tensors_are_those_of_the_file(model):
    (inputs, outputs) = onnx_tensors(model("FLOAT", [1], name="input <ids>"))
    assert [t.name for t in (*inputs, *outputs)] == ["input <ids>", "y"]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a" * 50])
def test_a_file_that_is_no_model_is_one_line(release, tmp_path, content):
    (tmp_path / "own.onnx").write_bytes(content)
    broken = replace(release.candidate, folder=tmp_path, file="own.onnx")
    with pytest.raises(ModelError, match="cannot be opened") as caught:
        onnx_tensors(broken)
    assert "\n" not in str(caught.value)


def test_an_id_is_that_of_one_candidate_of_one_bundle_for_one_form(release, ruined):
    ids = {
        id_of(release, "mlflow"), id_of(release, "cyclonedx"), id_of(ruined, "mlflow"),
        id_of(replace(release, key="k"), "mlflow"),
    }  # fmt: skip
    assert len(ids) == 4
    assert id_of(release, "mlflow") == id_of(replace(release, exported_at=0.0), "mlflow")
    assert {one.version for one in ids} == {4}


def test_what_a_number_rests_on_is_said_in_one_line(release):
    for figure in release.figures:
        e = figure.estimate
        told = basis(figure)
        if e.method == "exact":
            assert told == "exact"
        else:
            assert told == f"{100 * e.level:.4g} % {e.method}, n {e.n:,}"


def test_each_figure_is_kept_or_named_and_never_both(release, ruined):
    for one in (release, ruined):
        kept, notes = bounded(one)
        own = one.of(one.candidate)
        assert len(kept) + len(notes) == len(own) + len(one.without_interval)
        for figure in own:
            noted = f"left out: {figure.quantity} {figure.where}: its interval has no end" in notes
            assert noted == (figure not in kept)


@pytest.mark.parametrize(
    ("text", "name"),
    [("main", "main"), ("int8-per-channel", "int8-per-channel"), ("a.b_c", "a.b_c")],
)
def test_a_plain_name_stays(text, name):
    assert slug(text) == name


@pytest.mark.parametrize(
    "text", ["", "..", "/", "../../etc", "a" * 300, "\u202e", "\ud800", "CON "]
)
def test_a_name_that_is_none_becomes_a_safe_one(text):
    name = slug(text)
    assert name.strip(".-") == name
    assert 0 < len(name) <= 70
    assert "/" not in name


@pytest.mark.parametrize(
    "value",
    [{"a": []}, {"a": {}}, [[], {}], [[1, [2, {"b": [3]}]]], {"a": [{"b": 1, "c": [1, 2]}, {}]},
     {"": ""}, {"a": [["x"], [["y"]]]}, [{"a": {"b": {"c": None}}}]],
)  # fmt: skip
def test_nested_tables_and_lists_read_back(value):
    assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize(
    "number", [1e-5, -1e300, 1e16, 0.1, -0.0, 5e-324, 10**18, -3, 123456789.123]
)
def test_numbers_read_back_as_numbers(number):
    (read,) = yaml.safe_load(yaml_text([number]))
    assert read == number
    assert type(read) is type(number)
