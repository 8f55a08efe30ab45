"""The MLflow folder: what it holds, and what is refused; a server is tried by a benchmark."""

import json
from dataclasses import replace

import pytest

from surefoot.core.errors import ModelError, PluginError
from surefoot.core.hashing import hash_file
from surefoot.report.export import write_export
from surefoot.report.exports import mlflow as module
from surefoot.report.exports.mlflow import mlflow

yaml = pytest.importorskip("yaml")


def test_the_folder_holds_the_model_and_says_how_to_load_it(release, tmp_path):
    write_export("mlflow", release, tmp_path / "model", {})
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert described["flavors"]["onnx"]["data"] == "model.onnx"
    assert "python_function" not in described["flavors"]
    inputs, outputs = (json.loads(described["signature"][key]) for key in ("inputs", "outputs"))
    spec = {"dtype": "float32", "shape": [-1, 4]}
    assert inputs == [{"name": "features", "type": "tensor", "tensor-spec": spec}]
    assert outputs[0]["tensor-spec"]["shape"] == [-1, 3]
    assert described["metadata"]["surefoot"]["verdict"] == "PASS"
    for name, digest in release.candidate.files.items():
        assert hash_file(tmp_path / "model" / name) == digest
    assert not [
        f for f in (tmp_path / "model").rglob("*") if f.suffix in (".pkl", ".py", ".joblib")
    ]
    version = release.environment["libraries"]["onnxruntime"]
    assert f"onnxruntime=={version}\n" in (tmp_path / "model" / "requirements.txt").read_text()


def test_mlflow_loads_it(release, tmp_path):
    library = pytest.importorskip("mlflow.onnx", reason="no MLflow")
    write_export("mlflow", release, tmp_path / "model", {})
    assert library.load_model(str(tmp_path / "model")).graph.input[0].name == "features"


def test_a_model_that_is_no_onnx_file_is_written_as_plain_files(release):
    other = replace(release, candidate=replace(release.candidate, format="skops"))
    export = mlflow(other)
    assert set(export.files) == set(release.candidate.files)
    assert export.notes == ("a skops model is written as plain files, without an MLmodel",)


def test_a_model_that_the_bundle_does_not_hold_is_named(ruined):
    with pytest.raises(ModelError, match="does not hold the model of 'ruined'; only the baseline"):
        mlflow(ruined)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("http://127.0.0.1:1", "no MLflow server answers.*start it, or correct tracking_uri"),
        ("sqlite:///x.db", "is no http address"),
        ("nonsense", "is no http address"),
    ],
)
def test_a_server_that_does_not_answer_is_said_at_once(uri, complaint):
    with pytest.raises(PluginError, match=complaint):
        module._check_reached(uri)


def test_metrics_keep_their_interval_and_n(release):
    found = dict(module._metrics(release))
    for figure in release.of(release.candidate):
        if figure.where == "main" and figure.bounded:
            e, key = figure.estimate, f"{figure.quantity}/main"
            assert [found[key + end] for end in ("", "/low", "/high", "/n")] == [
                e.value, e.low, e.high, e.n,
            ]  # fmt: skip
    assert "p50_ms/batch_1/high" in found
    assert not [key for key in found if "p99" in key]
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")
    assert set("".join(found)) <= allowed
