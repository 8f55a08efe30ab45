"""Metadata of the Open Inference Protocol, held against the ONNX file itself."""

import json
from dataclasses import replace

import pytest

from surefoot.core.errors import ModelError
from surefoot.report.exports._tensors import onnx_tensors
from surefoot.report.exports.open_inference import open_inference

onnx = pytest.importorskip("onnx")


def test_it_says_what_the_file_says(release):
    described = json.loads(open_inference(release).files[""])
    graph = onnx.load(release.candidate.folder / "model.onnx").graph
    assert set(described) == {"name", "versions", "platform", "inputs", "outputs"}
    assert [t["name"] for t in described["inputs"]] == [i.name for i in graph.input]
    assert described["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert described["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert described["versions"] == [release.candidate.fingerprint[:12]]


def test_a_text_model_takes_token_ids(release, tiny_onnx_text):
    model = replace(release.candidate, folder=tiny_onnx_text.parent, file=tiny_onnx_text.name)
    described = json.loads(open_inference(replace(release, candidate=model)).files[""])
    assert {t["name"]: (t["datatype"], t["shape"]) for t in described["inputs"]} == {
        "input_ids": ("INT64", [-1, -1]),
        "attention_mask": ("INT64", [-1, -1]),
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"folder": None}, "the bundle does not hold the model"),
        ({"format": "skops"}, "of the format skops.*put the step export_onnx into its recipe"),
        ({"file": "golden.npz"}, "cannot be opened"),
        ({"file": "missing.onnx"}, "cannot be opened"),
    ],
)
def test_what_has_no_tensors_is_refused(release, change, complaint):
    with pytest.raises(ModelError, match=complaint):
        onnx_tensors(replace(release.candidate, **change))
