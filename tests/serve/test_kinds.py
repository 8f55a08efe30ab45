"""Texts and images over every protocol, from a bundle that a run made."""

from __future__ import annotations

import csv
import json
import subprocess

import numpy as np
import pytest
from tests.conftest import make_texts
from tests.serve.live import COMMAND, ask, served
from tests.serve.test_openapi import fuzzer

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

PLAN = """
[task]
kind = "{kind}"
test.main = {source}
[model]
path = "{model}"
classes = ["bad", "good"]
[[candidate]]
name = "same"
steps = []
[[budget]]
quantity = "accuracy"
max_drop = 0.2
"""


def run_of(folder, **values):
    (folder / "surefoot.toml").write_text(PLAN.format(**values))
    done = subprocess.run([*COMMAND, "run"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory, tiny_onnx_text):
    folder = tmp_path_factory.mktemp("texts")
    rows, labels = make_texts(300, 5)
    with (folder / "test.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "label"])
        for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
            writer.writerow([i, row, ["bad", "good"][label]])
    source = '{ use = "csv", path = "test.csv", text = "text", label = "label" }'
    return run_of(folder, kind="text-classification", source=source, model=tiny_onnx_text)


@pytest.fixture(scope="module")
def images(tmp_path_factory, tiny_onnx_image):
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(1).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    np.savez(folder / "test.npz", x=pixels, y=np.array(["bad", "good"])[np.arange(300) % 2])
    source = '{ use = "npz", path = "test.npz", inputs = "x", label = "y" }'
    return run_of(folder, kind="image-classification", source=source, model=tiny_onnx_image)


def inferred(port, datatype, shape, *, data=None, raw=None):
    """Labels that the protocol gives to a tensor in JSON or in bytes."""
    one = {"name": "input", "datatype": datatype, "shape": shape}
    one |= {"data": data} if raw is None else {"parameters": {"binary_data_size": len(raw)}}
    said = json.dumps({"inputs": [one], "outputs": [{"name": "label"}]}).encode()
    headers = {} if raw is None else {"Inference-Header-Content-Length": str(len(said))}
    status, body = ask(port, "POST", "/v2/models/same/infer", said + (raw or b""), headers)
    assert status == 200, body
    return json.loads(body)["outputs"][0]["data"]


def predicted(port, rows):
    status, body = ask(port, "POST", "/predict", {"inputs": rows})
    assert status == 200, body
    return [one["label"] for one in json.loads(body)["answers"]]


def test_texts_get_the_same_labels_by_every_road(texts):
    rows, labels = make_texts(40, 6)
    sent = rows.tolist()
    raw = b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in sent)
    with served(texts) as (_, port, _):
        found = predicted(port, sent)
        assert [["bad", "good"].index(one) for one in found] == labels.tolist()
        assert inferred(port, "BYTES", [40], data=sent) == found
        assert inferred(port, "BYTES", [40], raw=raw) == found
        assert predicted(port, ["", "żółw \x00 😀", "a" * 100_000]) != []
        assert ask(port, "POST", "/predict", b'{"inputs": ["\\ud800"]}')[0] == 400


def test_images_get_the_same_labels_by_every_road(images):
    pixels = np.random.default_rng(2).integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    with served(images) as (_, port, _):
        found = predicted(port, pixels.tolist())
        assert {*found} <= {"bad", "good"}
        shape = [20, 8, 8, 3]
        assert inferred(port, "UINT8", shape, data=pixels.ravel().tolist()) == found
        assert inferred(port, "UINT8", shape, data=pixels.tolist()) == found
        assert inferred(port, "UINT8", shape, raw=pixels.tobytes()) == found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["texts", "images"])
def test_a_fuzzer_finds_nothing(kind, request):
    fuzz, program = fuzzer()
    with fuzz.served(request.getfixturevalue(kind)) as port:
        code, said = fuzz.fuzzed(program, port, 15)
    assert code == 0, said
