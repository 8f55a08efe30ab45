"""What ONNX Runtime can make of a graph before it is run: folded constants, fused operators."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from surefoot.compress.steps._graph import WEIGHTS, constants
from surefoot.models.formats.onnx import onnx, save

FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
_MERGES_HEADS = (0, 2, 1, 3)


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
            disabled_optimizers=["ConstantSharing"],
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
    from onnxruntime.transformers.optimizer import optimize_model

    # Without the number of heads it finds no attention in graphs whose shapes are all dynamic.
    if not heads:
        heads, width = find_heads(proto)
    with tempfile.TemporaryDirectory() as name:
        save(proto, Path(name) / WEIGHTS)
        optimizer = optimize_model(
            str(Path(name) / WEIGHTS),
            model_type=kind,
            opt_level=1,
            num_heads=heads,
            hidden_size=width,
        )
        return optimizer.model


def find_heads(proto: Any) -> tuple[int, int]:
    """Heads of attention and columns of the hidden states, both 0 where the graph does not tell.

    They stand at the end of the shape that rows are cut to before heads and places swap axes.
    """
    from onnx import numpy_helper

    makers = {name: node for node in proto.graph.node for name in node.output}
    known: Mapping[str, Any] = constants(proto.graph)

    def sizes(tensor: str) -> list[int]:
        """What is known of a shape: the constants at its end."""
        if tensor in known:
            return [int(size) for size in numpy_helper.to_array(known[tensor]).ravel()]
        node = makers.get(tensor)
        if node is None or node.op_type != "Concat":
            return []
        found: list[int] = []
        for part in reversed(node.input):
            if part not in known:
                break
            found = [*sizes(part), *found]
        return found

    for node in proto.graph.node:
        swaps = [tuple(a.ints) for a in node.attribute if a.name == "perm"]
        before = makers.get(node.input[0]) if node.op_type == "Transpose" else None
        if _MERGES_HEADS in swaps and before is not None and before.op_type == "Reshape":
            *_, heads, columns = [0, 0, *sizes(before.input[1])]
            if heads > 0 and columns > 0:
                return heads, heads * columns
    return 0, 0


def own_operators(proto: Any) -> int:
    """How many operators of ONNX Runtime's own stand in a graph."""
    return sum(node.domain == FUSED for node in proto.graph.node)
