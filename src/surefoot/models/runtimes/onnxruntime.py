"""ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require
from surefoot.core.model import GraphLevel, Model
from surefoot.core.profile import Kernel
from surefoot.models.runtimes._common import Run, class_output, first_line

FORMATS = ("onnx",)
GRAPH_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""How far ONNX Runtime may rewrite the graph, and what it calls that."""
SLOWER = ("SkipLayerNormFusion",)
"""Rewritings that never happen: on a CPU the fused sum and layer norm of 15 x 384 numbers took
23.0 µs where the two operators took 3.1 (ONNX Runtime 1.32)."""
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(string)": np.object_,
}
# Operators that multiply in integers, or weights of few bits; what they are given may be float.
_INTEGER = re.compile(r"Integer|NBits|^DynamicQuantize(MatMul|LSTM)|^Q(Linear|Gemm|Attention)")
_Kind = tuple[str, str, bool]


@contextmanager
def onnxruntime(model: Model, *, threads: int = 1) -> Iterator[Run]:
    """Run ONNX files with ONNX Runtime, all graph optimisations on unless the model says less.

    Args:
        model: A model of a format in `FORMATS`.
        threads: Threads inside an operator; operators run one after another.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    path = str(model.path / model.file)
    yield _run(open_session(path, threads, level=model.settings.graph_level), path)


def profile(
    model: Model, calls: Sequence[dict[str, np.ndarray]], *, threads: int = 1, warm: int = 3
) -> tuple[Kernel, ...]:
    """What each kind of operator of the graph costs that ONNX Runtime makes of a model's.

    Args:
        model: A model of a format in `FORMATS`.
        calls: The tensors of each call.
        threads: Threads inside an operator.
        warm: Calls at the beginning that are not counted.

    Returns:
        The operators of a call in the mean, the longest first.

    Raises:
        ModelError: The file is broken, or the model fails on its inputs.
    """
    path = str(model.path / model.file)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(
            path,
            threads,
            profile=str(Path(folder) / "profile"),
            level=model.settings.graph_level,
        )
        run = _run(session, path)
        for tensors in calls:
            run(tensors)
        events = json.loads(Path(session.end_profiling()).read_text())
    return _kernels(events, warm)


def _kernels(events: Sequence[Mapping[str, Any]], warm: int) -> tuple[Kernel, ...]:
    """Operators of a kind together; of each node the median of its calls, which no pause moves."""
    starts = sorted(e["ts"] for e in events if e["name"] == "model_run")[warm:]
    spent: dict[_Kind, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        if event["name"].endswith("_kernel_time") and event["ts"] >= starts[0]:
            spent[_kind(event["args"])][event["name"]].append(event["dur"])
    calls = len(starts)
    found = [
        Kernel(
            operator=operator,
            types=types,
            integer=_INTEGER.search(operator) is not None,
            weights=weights,
            nodes=sum(map(len, nodes.values())) / calls,
            ms=sum(float(np.median(t)) * len(t) for t in nodes.values()) / 1000 / calls,
        )
        for (operator, types, weights), nodes in spent.items()
    ]
    return tuple(sorted(found, key=lambda kernel: -kernel.ms))


def _kind(seen: Mapping[str, Any]) -> _Kind:
    """The operator, the types of its first two inputs, and whether it reads weights."""
    name, tensors = seen["op_name"], seen.get("input_type_shape", ())
    kinds = [next(iter(tensor), "") for tensor in tensors][:2]
    if _INTEGER.search(name) and not any("int" in kind for kind in kinds):
        kinds = []  # its weights were packed, and what stands second is their scale
    return name, " x ".join(filter(None, kinds)), int(seen.get("parameter_size", 0)) > 0


def _run(session: Any, path: str) -> Run:
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

    return run


def open_session(
    path: str, threads: int, *, profile: str = "", level: GraphLevel | None = None
) -> Any:
    """An ONNX Runtime session on the CPU with surefoot's settings.

    Args:
        path: The file.
        threads: Threads inside an operator; operators run one after another.
        profile: How the file begins that a profile of all calls goes to; empty for none.
        level: How far it may rewrite the graph; None for as far as it can.

    Raises:
        ModelError: The file is missing, broken, or needs an operator that is not there.
    """
    library = require("onnxruntime", extra="all", error=ModelError)
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = library.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(
        library.GraphOptimizationLevel, GRAPH_LEVELS[level or "all"]
    )
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    try:
        return library.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER
        )
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
