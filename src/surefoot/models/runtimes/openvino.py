"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.models.runtimes._common import Run, class_output, first_line

FORMATS = ("onnx",)


@contextmanager
def openvino(model: Model, *, threads: int = 1) -> Iterator[Run]:
    """Run ONNX files with OpenVINO, in float32 where the weights are float32.

    Args:
        model: A model of a format in `FORMATS`.
        threads: Threads for one call.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    path = str(model.path / model.file)
    compiled = _compiled(path, threads)
    types = {name: port.element_type.to_dtype() for port in compiled.inputs for name in port.names}
    output = class_output([_described(port) for port in compiled.outputs], path)
    request = compiled.create_infer_request()

    def run(tensors: dict[str, np.ndarray]) -> np.ndarray:
        feeds = {name: array.astype(types[name], copy=False) for name, array in tensors.items()}
        try:
            request.infer(feeds, share_inputs=True)
        except RuntimeError as error:
            raise ModelError(f"fails on its inputs: {first_line(error)}", where=path) from error
        result: np.ndarray = request.get_output_tensor(output).data.copy()
        return result

    yield run


def _compiled(path: str, threads: int) -> Any:
    core = require("openvino", extra="openvino", error=ModelError).Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Left alone, OpenVINO computes in bfloat16 on CPUs that have it: another model, unasked.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        return core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1][:300]
        raise ModelError(f"OpenVINO cannot read it: {line}", where=path) from error


def _described(port: Any) -> tuple[str, str, int | None]:
    rank = port.partial_shape.rank
    name = min(port.names, default="")
    return name, str(port.element_type.to_dtype()), None if rank.is_dynamic else rank.get_length()
