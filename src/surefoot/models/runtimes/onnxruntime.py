"""ONNX Runtime on the CPU."""

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
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(string)": np.object_,
}


@contextmanager
def onnxruntime(model: Model, *, threads: int = 1) -> Iterator[Run]:
    """Run ONNX files with ONNX Runtime, all graph optimisations on.

    Args:
        model: A model of a format in `FORMATS`.
        threads: Threads inside an operator; operators run one after another.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    path = str(model.path / model.file)
    session = open_session(path, threads)
    types = {i.name: _TYPES.get(i.type, np.float32) for i in session.get_inputs()}
    ranks = {i.name: len(i.shape) for i in session.get_inputs()}
    outputs = session.get_outputs()
    output = outputs[
        class_output([(o.name, o.type, len(o.shape) or None) for o in outputs], path)
    ].name
    errors = _errors()

    def run(tensors: dict[str, np.ndarray]) -> np.ndarray:
        feeds = {name: array.astype(types[name], copy=False) for name, array in tensors.items()}
        for name, array in feeds.items():
            if array.dtype == np.object_ and ranks[name] == 2:
                feeds[name] = array[:, None]
        try:
            result: np.ndarray = session.run([output], feeds)[0]
        except errors as error:
            raise ModelError(f"fails on its inputs: {first_line(error)}", where=path) from error
        return result

    yield run


def open_session(path: str, threads: int) -> Any:
    """An ONNX Runtime session on the CPU with surefoot's settings.

    Raises:
        ModelError: The file is missing, broken, or needs an operator that is not there.
    """
    library = require("onnxruntime", extra="all", error=ModelError)
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = library.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = library.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    try:
        return library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        raise ModelError(
            f"ONNX Runtime cannot read it: {first_line(error)}",
            where=path,
            fix="copy or export it again",
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )
