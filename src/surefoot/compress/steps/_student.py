"""The student of `distill_static`: a table of token features, trained with torch, run as ONNX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.compress.steps._targets import Targets, distillation_loss, softened
from surefoot.core.seen import saw

# A prime, so that the hash of a pair of tokens depends on both; fits int64 for every vocabulary.
PRIME = 1_000_003
_BATCH = 64
_OPSET = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """The weights of a student: features are looked up, added up, and go through linear layers."""

    table: np.ndarray
    """(features, width) float32: tokens first, then buckets of hashed pairs of tokens."""
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    """Weight (out, in) and bias (out,) of each linear layer; a ReLU stands between two."""
    buckets: int
    """Rows of the table that pairs of tokens hash into; 0 for single tokens alone."""
    power: float
    """A row's sum is divided by its number of features to this power: 1 gives the mean. A row of no
    features has a sum of zeros, and keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a student is trained."""

    epochs: int
    """Times that every row is seen."""
    learning_rate: float
    """Step size of Adam at the start; it falls to zero in a line."""
    temperature: float
    """Softens the teacher's and the student's probabilities."""
    seed: int
    """What the order of rows starts from."""


def token_features(ids: np.ndarray, vocabulary: int, buckets: int) -> np.ndarray:
    """The rows of the table that stand for one text's token ids."""
    if not buckets:
        return ids
    pairs = (ids[:-1] * PRIME + ids[1:]) % buckets
    return np.concatenate([ids, vocabulary + pairs])


def train(
    student: Student,
    texts: Sequence[np.ndarray],
    targets: Targets,
    training: Training,
) -> Student:
    """Train a student on labels and on a teacher's probabilities.

    Args:
        student: Where to start from.
        texts: The table rows of each text.
        targets: What to learn of each.
        training: How.
    """
    import torch

    table = torch.tensor(student.table, requires_grad=True)
    layers = [tuple(torch.tensor(a, requires_grad=True) for a in pair) for pair in student.layers]
    rest = [array for pair in layers for array in pair]
    optimisers: tuple[Any, ...] = (torch.optim.SparseAdam([table]), torch.optim.Adam(rest))
    wanted = torch.from_numpy(softened(targets.soft, training.temperature))
    gold = torch.from_numpy(targets.data.labels)
    weight = torch.from_numpy(targets.label_weight)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are added in one order, so that a seed gives one model
    try:
        for share_left, rows in _order(len(texts), training):
            logits = _forward(table, layers, [texts[row] for row in rows], student.power)
            loss = distillation_loss(
                logits, gold[rows], wanted[rows], weight[rows], training.temperature
            )
            for optimiser in optimisers:
                optimiser.param_groups[0]["lr"] = training.learning_rate * share_left
                optimiser.zero_grad()
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
    finally:
        torch.set_num_threads(threads)
    return Student(
        table=table.detach().numpy(),
        layers=tuple((w.detach().numpy(), b.detach().numpy()) for w, b in layers),
        buckets=student.buckets,
        power=student.power,
    )


def student_logits(student: Student, texts: Sequence[np.ndarray]) -> np.ndarray:
    """(n, classes) float32: a student's outputs for the table rows of each text, by numpy."""
    width = student.table.shape[1]
    sums = np.array([student.table[text].sum(axis=0) for text in texts]).reshape(-1, width)
    counts = np.maximum([len(text) for text in texts], 1).astype(np.float32)
    state = sums / counts[:, None] ** np.float32(student.power)
    for place, (weight, bias) in enumerate(student.layers):
        state = (np.maximum(state, 0) if place else state) @ weight.T + bias
    result: np.ndarray = state.astype(np.float32)
    return result


def _order(n: int, training: Training) -> Iterator[tuple[float, np.ndarray]]:
    """The rows of every step, and the share of the training that is left."""
    rng = np.random.default_rng(training.seed)
    starts = range(0, n, _BATCH)
    steps = max(1, training.epochs * len(starts))
    for epoch in range(training.epochs):
        saw(n if epoch else 0)  # a first time by whoever asked for the rows
        order = rng.permutation(n)
        for place, start in enumerate(starts):
            yield 1 - (epoch * len(starts) + place) / steps, order[start : start + _BATCH]


def _forward(table: Any, layers: Sequence[Any], texts: Sequence[np.ndarray], power: float) -> Any:
    import torch

    lengths = np.array([len(text) for text in texts])
    offsets = torch.from_numpy(np.concatenate([[0], lengths.cumsum()[:-1]]))
    flat = torch.from_numpy(np.concatenate(texts))
    state = torch.nn.functional.embedding_bag(flat, table, offsets, mode="sum", sparse=True)
    counts = np.maximum(lengths, 1).astype(np.float32)
    state = state / torch.from_numpy(counts**power)[:, None]
    for place, (weight, bias) in enumerate(layers):
        state = torch.nn.functional.linear(torch.relu(state) if place else state, weight, bias)
    return state


def student_graph(student: Student, vocabulary: int) -> Any:
    """The student as an `onnx.ModelProto` of basic operators: token ids and mask in, logits out."""
    from onnx import TensorProto, helper, numpy_helper

    constants: dict[str, np.ndarray] = {
        "table": student.table,
        "one": np.array([1], np.int64),
        "power": np.array(student.power, np.float32),
        "least": np.array(1, np.float32),
    }
    nodes = [helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT)]
    features, mask = "input_ids", "mask"
    if student.buckets:
        nodes += _pair_nodes()
        features, mask = "features", "features_mask"
        constants |= {
            "prime": np.array(PRIME, np.int64),
            "buckets": np.array(student.buckets, np.int64),
            "vocabulary": np.array(vocabulary, np.int64),
            "start": np.array([0], np.int64),
            "before_last": np.array([-1], np.int64),
            "end": np.array([np.iinfo(np.int64).max], np.int64),
        }
    nodes += [
        helper.make_node("Gather", ["table", features], ["looked_up"]),
        # (n, 1, length) x (n, length, width): the sum over the tokens that are no padding.
        helper.make_node("Unsqueeze", [mask, "one"], ["mask_row"]),
        helper.make_node("MatMul", ["mask_row", "looked_up"], ["sum_row"]),
        helper.make_node("Squeeze", ["sum_row", "one"], ["sum"]),
        helper.make_node("ReduceSum", [mask, "one"], ["count"], keepdims=1),
        helper.make_node("Max", ["count", "least"], ["features_of_row"]),
        helper.make_node("Pow", ["features_of_row", "power"], ["scale"]),
        helper.make_node("Div", ["sum", "scale"], ["state_0"]),
    ]
    nodes += _layer_nodes(student, constants)
    ports = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    classes = len(student.layers[-1][1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "static_student", ports, [logits], initializer=tensors)
    opset = helper.make_opsetid("", _OPSET)
    # Says IR 8 rather than the newest, so that older runtimes read it.
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def _pair_nodes() -> list[Any]:
    """Nodes that hash every pair of neighbours into a bucket, as `token_features` does."""
    from onnx import helper

    def cut(tensor: str, side: str) -> Any:
        ends = ["start", "before_last"] if side == "left" else ["one", "end"]
        return helper.make_node("Slice", [tensor, *ends, "one"], [f"{tensor}_{side}"])

    return [
        *(cut(tensor, side) for tensor in ("input_ids", "mask") for side in ("left", "right")),
        helper.make_node("Mul", ["input_ids_left", "prime"], ["spread"]),
        helper.make_node("Add", ["spread", "input_ids_right"], ["pair"]),
        helper.make_node("Mod", ["pair", "buckets"], ["bucket"]),
        helper.make_node("Add", ["bucket", "vocabulary"], ["pair_feature"]),
        helper.make_node("Mul", ["mask_left", "mask_right"], ["pair_mask"]),
        helper.make_node("Concat", ["input_ids", "pair_feature"], ["features"], axis=1),
        helper.make_node("Concat", ["mask", "pair_mask"], ["features_mask"], axis=1),
    ]


def _layer_nodes(student: Student, constants: dict[str, np.ndarray]) -> list[Any]:
    from onnx import helper

    nodes, last = [], len(student.layers) - 1
    for place, (weight, bias) in enumerate(student.layers):
        constants |= {f"weight_{place}": weight, f"bias_{place}": bias}
        out = "logits" if place == last else f"layer_{place}"
        inputs = [f"state_{place}", f"weight_{place}", f"bias_{place}"]
        nodes.append(helper.make_node("Gemm", inputs, [out], transB=1))
        if place < last:
            nodes.append(helper.make_node("Relu", [out], [f"state_{place + 1}"]))
    return nodes
