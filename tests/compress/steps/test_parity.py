"""A graph that is off is refused with the rows that differ most; one that holds is certified."""

import json
from dataclasses import replace

import numpy as np
import pytest

from surefoot.compress.steps import _parity, _student, distill_static
from surefoot.core.errors import ModelError
from surefoot.core.model import Signature
from surefoot.models import seal


@pytest.fixture
def numeric(linear, numbers, tmp_path):
    """A linear model as a graph, with rows to run it on."""
    import onnx

    (tmp_path / "linear").mkdir()
    path = linear(tmp_path / "linear" / "model.onnx")
    signature = Signature(input="numeric", classes=("a", "b", "c"), tensors=("features",), width=4)
    model = seal(path.parent, name="l", format="onnx", file="model.onnx", signature=signature)
    return model, _parity.real_rows(numbers(), "test"), onnx.load(path)


def off(graph, change):
    """The graph with other weights."""
    from onnx import numpy_helper

    weight = graph.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)), weight.name))
    return graph


def test_a_graph_that_is_its_source_holds(numeric, tmp_path):
    model, data, graph = numeric
    feeds = _parity.feeds_of(model, data.inputs)
    assert max(len(rows) for rows, _ in feeds) == 32  # in batches, and alone
    assert sum(len(rows) == 1 for rows, _ in feeds) == 8
    parity = _parity.prove(graph, feeds, _parity.outputs_of(model, feeds), data.ids, "test")
    assert (parity.rows, parity.flips) == (64, 0)
    assert parity.max_difference < 1e-6
    parity.write(tmp_path)
    assert json.loads((tmp_path / "certificate.json").read_text())["exporter"] == "test"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w + 0.01, r"differ by up to 0\.\d+ and 0 other answers on 64 rows, most on {}"),
        (lambda w: -w, r"and \d\d other answers"),
        (lambda w: w * np.float32("nan"), "differ by up to inf"),
    ],
)
def test_one_that_is_off_is_refused(numeric, change, message):
    model, data, graph = numeric
    feeds = _parity.feeds_of(model, data.inputs)
    wanted = _parity.outputs_of(model, feeds)
    worst = data.ids[np.abs(data.inputs.sum(axis=1)).argmax()]
    with pytest.raises(ModelError, match=rf"test gives outputs that .*{message.format(worst)}"):
        _parity.prove(off(graph, change), feeds, wanted, data.ids, "test")


def test_other_outputs_and_graphs_that_do_not_run_are_named(numeric, linear, tmp_path):
    import onnx

    model, data, _ = numeric
    feeds = _parity.feeds_of(model, data.inputs)
    wanted = _parity.outputs_of(model, feeds)
    two, wide = (
        onnx.load(linear(tmp_path / f"{i}.onnx", **size))
        for i, size in enumerate(({"classes": 2}, {"width": 5}))
    )
    with pytest.raises(ModelError, match=r"shape \(72, 2\), not \(72, 3\)"):
        _parity.prove(two, feeds, wanted, data.ids, "test")
    with pytest.raises(ModelError, match="does not run: "):
        _parity.prove(wide, feeds, wanted, data.ids, "test")


def test_needs_rows(text_task):
    empty = replace(text_task, train=None, selection=None, test={})
    with pytest.raises(ModelError, match=r"'test' compares .* there are none"):
        _parity.real_rows(empty, "test")


@pytest.mark.parametrize("features", ["embeddings", "ngrams"])
def test_a_static_student_proves_its_graph(step, encoder, monkeypatch, features):
    options = {"features": features, "epochs": 1, "dim": 8, "buckets": 64}
    made = step("distill_static", encoder, **options)
    found = json.loads((made.path / "certificate.json").read_text())
    assert (found["rows"], found["flips"]) == (64, 0)
    assert found["max_difference"] < 1e-4
    monkeypatch.setattr(
        distill_static,
        "student_graph",
        lambda student, size: _student.student_graph(replace(student, power=0.3), size),
    )
    with pytest.raises(ModelError, match=r"distill_static gives outputs that differ .* train-"):
        step("distill_static", encoder, **options)
