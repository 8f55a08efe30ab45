"""What ONNX Runtime can make of a graph before it is run: folded constants, fused operators."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.compress.steps._graph import WEIGHTS, constants
from surefoot.models.formats.onnx import onnx, save
from surefoot.models.runtimes.onnxruntime import SLOWER

FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
_SWAPS_HEADS = (0, 2, 1, 3)


def optimised(proto: Any, level: Literal["basic", "extended"]) -> Any:
    """The graph as ONNX Runtime's own optimiser leaves it.

    Args:
        proto: An `onnx.ModelProto`.
        level: `basic` folds constants and batch norms, and leaves plain operators that every
            runtime reads; `extended` writes ONNX Runtime's own operators too.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}"
    )
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as name:
        save(proto, Path(name) / "before.onnx")
        options.optimized_model_filepath = str(Path(name) / WEIGHTS)
        onnxruntime.InferenceSession(
            str(Path(name) / "before.onnx"),
            options,
            providers=["CPUExecutionProvider"],
            # One constant for many readers keeps later steps from telling weights apart.
            disabled_optimizers=["ConstantSharing", *SLOWER],
        )
        return onnx(Path(name) / WEIGHTS)


def fused_transformer(
    proto: Any, *, kind: Literal["bert", "vit"] = "bert", heads: int = 0, width: int = 0
) -> Any:
    """The graph with a transformer's patterns as ONNX Runtime's own operators.

    Args:
        proto: An `onnx.ModelProto`.
        kind: The family whose patterns are looked for.
        heads: Heads of attention; 0 reads them from the graph.
        width: Columns of the hidden states; 0 reads them from the graph.
    """
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    wanted = FusionOptions(kind)
    wanted.enable_skip_layer_norm = wanted.enable_bias_skip_layer_norm = False  # see SLOWER
    # Without the number of heads it finds no attention in graphs whose shapes are all dynamic.
    if not heads:
        heads, width = find_heads(proto)
    _write_heads(proto)
    with tempfile.TemporaryDirectory() as name:
        save(proto, Path(name) / WEIGHTS)
        optimizer = optimize_model(
            str(Path(name) / WEIGHTS),
            model_type=kind,
            opt_level=1,
            num_heads=heads,
            hidden_size=width,
            optimization_options=wanted,
        )
        return optimizer.model


def find_heads(proto: Any) -> tuple[int, int]:
    """Heads of attention and columns of the hidden states, both 0 where the graph does not tell.

    Their sizes end the shape that hidden states are cut to before heads and places swap axes; one
    of the two may be left to the number of columns.
    """
    return next(((heads, width) for _, heads, width in _cuts(proto)), (0, 0))


def _write_heads(proto: Any) -> None:
    """Put the number of heads into every shape that leaves it open.

    The optimiser takes one number for all of them, and layers of a pruned model have their own.
    """
    from onnx import helper, numpy_helper

    graph = proto.graph
    makers = {name: node for node in graph.node for name in node.output}
    known = constants(graph)
    for cut, heads, width in list(_cuts(proto)):
        shape, name = makers.get(cut.input[1]), f"{cut.output[0]}_heads"
        if cut.input[1] in known:
            sizes = [*_sizes(cut.input[1], makers, known)[:-2], heads, width // heads]
            graph.initializer.append(numpy_helper.from_array(np.array(sizes), name))
            cut.input[1] = name
        elif shape is not None and len(shape.input) == 4:
            # A shape of its own: another layer may read the old one.
            parts = [*shape.input[:2], f"{name}_count", shape.input[3]]
            graph.initializer.append(numpy_helper.from_array(np.array([heads]), parts[2]))
            node = helper.make_node("Concat", parts, [name], name=name, axis=0)
            graph.node.insert(list(graph.node).index(cut), node)
            cut.input[1] = name


def _cuts(proto: Any) -> Iterator[tuple[Any, int, int]]:
    """Every node that cuts columns into heads, with the heads and columns that it cuts."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    known = constants(proto.graph)
    for node in proto.graph.node:
        swaps = [tuple(a.ints) for a in node.attribute if a.name == "perm"]
        cut = makers.get(node.input[0]) if node.op_type == "Transpose" else None
        if _SWAPS_HEADS not in swaps or cut is None or cut.op_type != "Reshape":
            continue
        *_, heads, columns = [0, 0, *_sizes(cut.input[1], makers, known)]
        width = _columns(makers.get(cut.input[0]), known)
        heads = width // columns if heads == -1 and columns > 0 else heads
        if heads > 0 and width % heads == 0 and width > 0:
            yield cut, heads, width


def _sizes(tensor: str, makers: Mapping[str, Any], known: Mapping[str, Any]) -> list[int]:
    """The last numbers of a shape, as far as they are constant."""
    from onnx import numpy_helper

    if tensor in known:
        return [int(size) for size in numpy_helper.to_array(known[tensor]).ravel()]
    node = makers.get(tensor)
    parts = node.input if node is not None and node.op_type == "Concat" else ()
    constant = takewhile(lambda part: part in known, reversed(parts))
    return [size for part in reversed([*constant]) for size in _sizes(part, makers, known)]


def _columns(node: Any, known: Mapping[str, Any]) -> int:
    """The columns of what a linear layer gives; 0 where the node is none."""
    if node is None or node.op_type not in ("Add", "MatMul"):
        return 0
    return max((known[name].dims[-1] for name in node.input if name in known), default=0)


def own_operators(proto: Any) -> int:
    """How many operators of ONNX Runtime's own stand in a graph."""
    return sum(node.domain == FUSED for node in proto.graph.node)
