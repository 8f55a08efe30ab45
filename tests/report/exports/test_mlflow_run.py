"""What an MLflow run is told, number by number, and addresses that are none."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import pytest

from surefoot.core.errors import PluginError
from surefoot.report.exports import mlflow as module
from surefoot.report.exports._written import basis, bounded, id_of
from surefoot.report.exports.mlflow import mlflow

yaml = pytest.importorskip("yaml")
HOSTILE = "<b>\u202e\x1b[31m\n: {x}"


def test_each_bounded_figure_is_four_metrics_and_an_exact_one_is_one(release):
    found = list(module._metrics(release))
    assert len(dict(found)) == len(found)
    figures, _ = bounded(release)
    exact = [f for f in figures if f.estimate.method == "exact"]
    assert len(found) == 4 * (len(figures) - len(exact)) + len(exact)
    assert dict(found)["size_mb"] == release.candidate.size_bytes / 1e6
    assert not [key for key in dict(found) if key.startswith("size_mb/")]


def test_metrics_of_slices_shifts_and_loads_stay_apart(release):
    figure = next(f for f in release.of(release.candidate) if f.where == "main")
    places = [
        {"slice": "left"}, {"slice": "left "}, {"slice": "left\n"}, {"shift": "typos"},
        {"shift": "typos", "severity": 2.0}, {"dataset": None, "batch": 4},
        {"dataset": None, "batch": 4, "load": "peak"}, {"dataset": None, "load": "batch 4"},
    ]  # fmt: skip
    figures = tuple(replace(figure, **place) for place in places)
    keys = [key for key, _ in module._metrics(replace(release, figures=figures))]
    assert len(set(keys)) == 4 * len(places)
    assert f"{figure.quantity}/batch_4/low" in keys


def test_parameters_say_the_recipe_in_order_and_what_numbers_rest_on(ruined):
    found = dict(module._params(ruined))
    assert found["runtime"] == "onnxruntime"
    assert found["seed"] == "0"
    use, _, options = found["step_1"].partition(" ")
    assert use == "quantize_dynamic"
    assert json.loads(options) == {"head": True, "per_channel": False}
    for figure in bounded(ruined)[0]:
        assert f"{figure.quantity}: {basis(figure)}" in found["basis"]


def test_parameters_and_tags_of_a_hostile_name_hide_nothing(release):
    step = (HOSTILE, {HOSTILE: HOSTILE})
    odd = replace(release, candidate=replace(release.candidate, name=HOSTILE, steps=(step,)))
    told = "".join([*dict(module._params(odd)).values(), *module._told(odd).values()])
    assert not set(told) & set("\u202e\x1b\n")
    assert module._told(odd)["candidate"] == "<b>\\u202e\\x1b[31m\\n: {x}"


def test_the_metadata_are_those_of_the_bundle(release):
    described = yaml.safe_load(mlflow(release).files["MLmodel"])
    assert described["metadata"]["surefoot"] == {
        "verdict": "PASS",
        "bundle_key": release.key,
        "candidate": "same",
        "fingerprint": release.candidate.fingerprint,
        "baseline_fingerprint": release.baseline.fingerprint,
        "library": f"surefoot {release.environment['libraries']['surefoot']}",
    }
    assert described["model_size_bytes"] == release.candidate.size_bytes
    assert described["model_uuid"] == id_of(release, "mlflow").hex
    assert described["flavors"]["onnx"]["onnx_version"] == release.environment["libraries"]["onnx"]


@pytest.mark.parametrize(
    ("at", "told"),
    [(0.0, "1970-01-01 00:00:00.000000"), (1.5e9 + 0.25, "2017-07-14 02:40:00.250000")],
)
def test_the_time_is_that_of_the_export_in_utc(release, at, told):
    described = yaml.safe_load(mlflow(replace(release, exported_at=at)).files["MLmodel"])
    assert described["utc_time_created"] == told


@pytest.mark.parametrize("libraries", [{}, {"onnx": None}, {"onnx": ""}])
def test_versions_that_nobody_noted_are_left_out(release, libraries):
    files = mlflow(replace(release, environment={"libraries": libraries})).files
    assert files["requirements.txt"] == ""
    assert yaml.safe_load(files["MLmodel"])["flavors"]["onnx"]["onnx_version"] == "unknown"


def test_an_environment_without_libraries_is_exported_too(release):
    bare = mlflow(replace(release, environment={}))
    assert "surefoot unknown" in bare.files["MLmodel"]


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://[::1",
        "http://a..b",
        "http://" + "a" * 300,
        "ftp://127.0.0.1",
        "//127.0.0.1",
        "",
        "file:///tmp/mlruns",
    ],
)
def test_what_is_no_address_is_one_error_that_names_it(release, uri):
    with pytest.raises(PluginError) as caught:
        module._check_reached(uri)
    assert caught.value.where == uri


def test_a_server_that_listens_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        module._check_reached(f"http://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("FP32", "float32"), ("FP16", "float16"), ("INT64", "int64"), ("BOOL", "bool"),
     ("UINT8", "uint8"), ("BYTES", "str")],
)  # fmt: skip
def test_types_are_called_as_mlflow_calls_them(datatype, dtype):
    tensor = module.Tensor(name=HOSTILE, datatype=datatype, shape=(-1, 3))
    (spec,) = json.loads(module._spec((tensor,)))
    assert spec == {
        "name": HOSTILE, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, 3]},
    }  # fmt: skip
