"""Times single layers at several widths in ONNX Runtime, on one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Between two of these shares of its channels, a layer's time is taken to lie on a line.
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
_WARM, _CALLS, _SECONDS = 2, 30, 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a layer's time depends on; equal layers are timed once."""

    inputs: int
    """Channels that it takes."""
    outputs: int
    """Channels that it gives."""
    extent: tuple[int, ...]
    """The size of its input besides rows and channels; of a linear layer, the number of vectors."""
    kernel: tuple[int, ...] = ()
    """A convolution's; empty for a linear layer."""
    stride: tuple[int, ...] = ()
    """A convolution's."""
    padding: tuple[int, ...] = ()
    """A convolution's, on each side."""
    dilation: tuple[int, ...] = ()
    """A convolution's."""
    groups: int = 1
    """A convolution's: 1, or as many as channels."""


def layer_shapes(module: Any, tensors: Sequence[Any]) -> Mapping[str, Shape]:
    """The shape of every linear layer and convolution that a call passes, by name.

    Args:
        module: The module.
        tensors: The inputs of one row.
    """
    import torch
    from torch import nn

    found: dict[str, Shape] = {}

    def note(name: str) -> Any:
        def hook(layer: Any, arguments: Any, _: Any) -> None:
            found[name] = _shape(layer, arguments[0].shape)

        return hook

    hooks = [
        child.register_forward_hook(note(name))
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    with torch.no_grad():
        module(*tensors)
    for one in hooks:
        one.remove()
    return found


def time_layer(shape: Shape, *, narrow: tuple[bool, bool]) -> np.ndarray:
    """(SHARES, SHARES) milliseconds: rows for shares of the inputs, columns of the outputs.

    The shortest of up to 30 calls is taken: what else runs on the machine only adds.

    Args:
        shape: The layer.
        narrow: Whether its inputs, and its outputs, can become fewer; else a share is not timed.
    """
    table = np.empty((len(SHARES), len(SHARES)))
    known: dict[tuple[int, int], float] = {}
    for row, taken in enumerate(SHARES):
        for column, given in enumerate(SHARES):
            pair = taken if narrow[0] else 1.0, given if narrow[1] else 1.0
            if shape.groups > 1:
                pair = (min(pair), min(pair))
            sizes = (
                max(1, round(shape.inputs * pair[0])), max(1, round(shape.outputs * pair[1]))
            )  # fmt: skip
            if sizes not in known:
                known[sizes] = _milliseconds(shape, *sizes)
            table[row, column] = known[sizes]
    return table


def _shape(layer: Any, size: Sequence[int]) -> Shape:
    from torch import nn

    if isinstance(layer, nn.Linear):
        vectors = int(np.prod(size[:-1]))
        return Shape(inputs=layer.in_features, outputs=layer.out_features, extent=(vectors,))
    padding: Any = layer.padding
    if isinstance(padding, str):
        axes = range(len(layer.kernel_size))
        whole = [layer.dilation[axis] * (layer.kernel_size[axis] - 1) for axis in axes]
        padding = [0 if layer.padding == "valid" else room // 2 for room in whole]
    return Shape(
        inputs=layer.in_channels,
        outputs=layer.out_channels,
        extent=tuple(size[2:]),
        kernel=tuple(layer.kernel_size),
        stride=tuple(layer.stride),
        padding=tuple(padding),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
    )


def _milliseconds(shape: Shape, inputs: int, outputs: int) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    graph, fed = _graph(shape, inputs, outputs)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": np.random.default_rng(0).standard_normal(fed).astype(np.float32)}
    best, started = float("inf"), time.perf_counter()
    for call in range(_WARM + _CALLS):
        before = time.perf_counter()
        session.run(None, feed)
        after = time.perf_counter()
        if call >= _WARM:
            best = min(best, after - before)
            if after - started > _SECONDS and call >= _WARM + 4:
                break
    return best * 1000


def _graph(shape: Shape, inputs: int, outputs: int) -> tuple[Any, tuple[int, ...]]:
    """A model of one layer, and the size of its input."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    if shape.kernel:
        groups = inputs if shape.groups > 1 else 1
        fed, rank = (1, inputs, *shape.extent), 2 + len(shape.extent)
        weight = rng.standard_normal((outputs, inputs // groups, *shape.kernel))
        node = helper.make_node(
            "Conv",
            ["x", "w", "b"],
            ["y"],
            strides=shape.stride,
            pads=shape.padding * 2,
            dilations=shape.dilation,
            group=groups,
        )
    else:
        fed, rank = (shape.extent[0], inputs), 2
        weight = rng.standard_normal((inputs, outputs))
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    arrays = {"w": weight.astype(np.float32), "b": np.zeros(outputs, np.float32)}
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, fed)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        initializer=[numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), fed
