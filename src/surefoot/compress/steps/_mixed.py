"""Graphs in 8 bits whose layers can be put back to floats one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.compress.steps._graph import cannot, constants, drop_unread
from surefoot.compress.steps._static import PRODUCTS, layers_of, run_quantiser
from surefoot.models.runtimes.onnxruntime import open_session

_CODES = ("QuantizeLinear", "DequantizeLinear")
_Calls = Sequence[tuple[np.ndarray, dict[str, np.ndarray]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A graph with every layer in 8 bits, and its source, from which layers are put back."""

    floats: Any
    """The `onnx.ModelProto` in floats, every node named."""
    codes: Any
    """The `onnx.ModelProto` in 8 bits; its layers have the names that they have in `floats`."""
    layers: tuple[str, ...]
    """The names of the layers in 8 bits, in the order of the graph."""
    whole: bool
    """Whether integers pass from layer to layer; else every layer gives floats."""

    def put_back(self, names: Collection[str]) -> Any:
        """The graph with these layers in floats.

        Where every layer gives floats, only layers in 8 bits read codes: ONNX Runtime's quantiser
        lets whatever reads the same tensor read its codes, above all the sums past attention, and
        most changed answers come from there. Where integers pass from layer to layer, a layer that
        is put back reads them decoded, since the layer before gives nothing else.
        """
        import onnx

        made = onnx.ModelProto()
        made.CopyFrom(self.codes)
        sources = {node.name: node for node in self.floats.graph.node}
        known = constants(self.floats.graph)
        needed: dict[str, Any] = {}
        for node in made.graph.node:
            if node.name in names:
                needed |= _put_back(node, sources[node.name], known)
        if not self.whole:
            _read_floats(made.graph, set(self.layers) - set(names))
        _prune(made.graph)
        for name, tensor in sorted(needed.items()):
            made.graph.initializer.add().CopyFrom(tensor)
            made.graph.initializer[-1].name = name
        return made


def quantise(
    proto: Any, folder: Path, feeds: Sequence[Mapping[str, np.ndarray]], kept: Sequence[str],
    *, whole: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Write a graph with all layers in 8 bits: signed weights by channel, unsigned activations.

    Args:
        proto: The graph in floats, every node named.
        folder: Where `codes.onnx` goes.
        feeds: Input tensors of the calls that the ranges of activations are found on.
        kept: Names of layers that stay in floats.
        whole: Whether integers pass from layer to layer.

    Returns:
        The names of the layers that are in 8 bits.

    Raises:
        ModelError: ONNX Runtime's quantiser cannot handle the graph.
    """
    import onnx

    layers = layers_of(proto, kept)
    products = [node.name for node in proto.graph.node if node.op_type in PRODUCTS]
    options = {
        "per_channel": True,
        "nodes_to_exclude": [name for name in products if name not in layers],
        "extra_options": {} if whole else {"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
    }
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    try:
        run_quantiser(copy, folder / "codes.onnx", feeds, whole=whole, options=options)
    except Exception as error:  # size: the quantiser's errors are of every class
        raise cannot(proto, "quantize_mixed", "ONNX Runtime's quantiser", error) from error
    return tuple(layers)


def outputs(proto: Any, calls: _Calls, folder: Path) -> np.ndarray:
    """(n, classes) float64: what a graph gives to every row."""
    from surefoot.models.formats.onnx import save

    file = folder / "trial.onnx"
    save(proto, file)
    session = open_session(str(file), 1)
    name = proto.graph.output[0].name
    found = {}
    for positions, tensors in calls:
        for position, row in zip(positions, session.run([name], tensors)[0], strict=True):
            found[int(position)] = row
    return np.stack([found[row] for row in range(len(found))]).astype(np.float64)


def sqnr_db(wanted: np.ndarray, found: np.ndarray) -> float:
    """Signal to quantisation noise of class scores in decibels; the mean of a row says nothing.

    10 log10 of the energy of the source's scores over that of the difference, as in Lin, Talathi
    and Annapureddy 2016, "Fixed Point Quantization of Deep Convolutional Networks".

    Args:
        wanted: (n, classes) scores of the source.
        found: (n, classes) scores of the quantised graph.
    """
    signal, noise = (s - s.mean(axis=1, keepdims=True) for s in (wanted, found - wanted))
    energy = float((noise**2).sum())
    return float(10 * np.log10(max(float((signal**2).sum()), 1e-30) / max(energy, 1e-30)))


def _put_back(node: Any, source: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """Give a layer its weights in floats again; they are what is given back, by their new names.

    The old ones are taken: a bias that was decoded keeps its name.
    """
    needed = {}
    for place, name in enumerate(source.input):
        if name in known:
            node.input[place] = f"{name}_in_floats"
            needed[node.input[place]] = known[name]
    del node.attribute[:]
    node.attribute.extend(source.attribute)
    return needed


def _read_floats(graph: Any, layers: Collection[str]) -> None:
    """Let all but these layers read what went into codes instead of what came out of them."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.name not in layers and node.op_type not in _CODES:
            for place, name in enumerate(node.input):
                decode = makers.get(name)
                if decode is None or not decode.input:
                    continue
                encode = makers.get(decode.input[0])
                if encode is not None and [encode.op_type, decode.op_type] == [*_CODES]:
                    node.input[place] = encode.input[0]


def _prune(graph: Any) -> None:
    """Drop the codes, and the constants, that nothing reads any more."""
    outputs = {output.name for output in graph.output}
    while True:
        read = {name for node in graph.node for name in node.input} | outputs
        dead = [n for n in graph.node if n.op_type in _CODES and not set(n.output) & read]
        for node in dead:
            graph.node.remove(node)
        if not dead:
            break
    drop_unread(graph)
