"""Model metadata of the Open Inference Protocol, version 2."""

from __future__ import annotations

from surefoot.core.release import Export, Release
from surefoot.report.exports._tensors import Tensor, onnx_tensors
from surefoot.report.exports._written import json_text, slug


def open_inference(release: Release) -> Export:
    """Model metadata of the Open Inference Protocol (KServe, Triton) for an ONNX file.

    What a server of that protocol answers at `/v2/models/NAME` for this file: its own tensors, so
    for a text model token ids. The version is the beginning of the model's fingerprint.
    """
    model = release.candidate
    inputs, outputs = onnx_tensors(model)
    described = {
        "name": slug(model.name),
        "versions": [model.fingerprint[:12]],
        "platform": "onnxruntime_onnx",
        "inputs": [_described(tensor) for tensor in inputs],
        "outputs": [_described(tensor) for tensor in outputs],
    }
    return Export(files={"": json_text(described)})


def _described(tensor: Tensor) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
