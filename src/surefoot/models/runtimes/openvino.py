"""OpenVINO on the CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import Model
from surefoot.core.profile import Kernel
from surefoot.models.runtimes._common import Run, class_output, first_line

FORMATS = ("onnx",)
LIBRARY = ("openvino", "openvino")
"""What it needs, and the extra that brings it."""


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
    run, _ = _opened(path, threads)
    yield run


def profile(
    model: Model, calls: Sequence[dict[str, np.ndarray]], *, threads: int = 1, warm: int = 3
) -> tuple[Kernel, ...]:
    """What each kind of operator costs of the graph that OpenVINO makes of a model's.

    Args:
        model: A model of a format in `FORMATS`.
        calls: The tensors of each call.
        threads: Threads for one call.
        warm: Calls at the beginning that are not counted.

    Returns:
        The operators of a call in the mean, the longest first.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    run, request = _opened(str(model.path / model.file), threads, PERF_COUNT=True)
    spent: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, tensors in enumerate(calls):
        run(tensors)
        for node in request.get_profiling_info() if number >= warm else ():
            # What was folded into its neighbour has no implementation of its own.
            if node.exec_type != "undef":
                key = node.node_type, node.exec_type.rpartition("_")[2].lower()
                spent[key][node.node_name].append(node.real_time.total_seconds() * 1000)
    found = [
        Kernel(
            operator=operator,
            types=types,
            integer=types in ("i8", "u8", "i4", "u4"),
            weights=operator in ("Convolution", "FullyConnected", "GroupConvolution"),
            nodes=len(nodes),
            ms=sum(float(np.median(times)) for times in nodes.values()),
        )
        for (operator, types), nodes in spent.items()
    ]
    return tuple(sorted(found, key=lambda kernel: -kernel.ms))


def _opened(path: str, threads: int, **settings: bool) -> tuple[Run, Any]:
    """A function from tensors to outputs, and the request behind it."""
    compiled = _compiled(path, threads, settings)
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

    return run, request


def _compiled(path: str, threads: int, more: Mapping[str, bool]) -> Any:
    core = require("openvino", extra="openvino", error=ModelError).Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Left alone, OpenVINO computes in bfloat16 on CPUs that have it: another model, unasked.
        "INFERENCE_PRECISION_HINT": "f32",
        **more,
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
