"""Boosted trees of scikit-learn: fitted to probabilities, and written as one ONNX operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.extras import require

OPERATOR, DOMAIN, VERSION = "TreeEnsembleRegressor", "ai.onnx.ml", 3
"""The operator that boosted trees become, and the version of its domain in which it came so."""
OUTPUT = "probabilities"
# Of a row's classes with less, none is learnt: each costs the training a copy of the row.
_LEAST = 0.01


def fit(
    inputs: np.ndarray, probabilities: np.ndarray, *, trees: int, leaves: int, learning_rate: float
) -> Any:
    """Boost trees towards a distribution over the classes for each row.

    A row goes in once for each class, weighted by that class's probability: gradients and Hessians
    add up to those of the cross-entropy between the distribution and the trees' own, which boosting
    on labels alone does not offer. Friedman (2001), "Greedy Function Approximation: A Gradient
    Boosting Machine"; Ke et al. (2017), "LightGBM", for trees on histograms.

    Args:
        inputs: (n, width) float32.
        probabilities: (n, classes), rows that sum to 1.
        trees: Rounds of boosting; a round is one tree for two classes, else one for each class.
        leaves: The most leaves of a tree.
        learning_rate: What a tree's answer is multiplied by.

    Returns:
        A fitted `HistGradientBoostingClassifier` whose classes are 0, 1 and so on.
    """
    ensemble = require("sklearn.ensemble", extra="tabular", error=ModelError)
    threads = require("threadpoolctl", extra="tabular", error=ModelError)
    kept = probabilities >= _LEAST
    # The trees must know every class, even one that is never likely.
    kept[probabilities.argmax(axis=0), np.arange(probabilities.shape[1])] = True
    rows, classes = np.nonzero(kept)
    estimator = ensemble.HistGradientBoostingClassifier(
        max_iter=trees,
        max_leaf_nodes=leaves,
        learning_rate=learning_rate,
        # Copies of a row would stand on both sides of a split that it makes for itself.
        early_stopping=False,
        # Of many rows it looks at some to choose the bins; always the same.
        random_state=0,
    )
    with threads.threadpool_limits(1):  # sums are added in one order
        return estimator.fit(inputs[rows], classes, probabilities[rows, classes])


def graph_of(estimator: Any, *, opset: int = 18) -> Any:
    """Boosted trees as an `onnx.ModelProto` of one operator: numbers in, probabilities out.

    Args:
        estimator: A fitted `HistGradientBoostingClassifier`.
        opset: The version of the ONNX operators.

    Raises:
        ModelError: It splits by categories.
    """
    helper = require("onnx.helper", extra="compress", error=ModelError)
    node = helper.make_node(OPERATOR, ["inputs"], [OUTPUT], domain=DOMAIN, **attributes(estimator))
    sizes = {"inputs": estimator.n_features_in_, OUTPUT: len(estimator.classes_)}
    ports = [
        helper.make_tensor_value_info(name, 1, ["batch", int(size)]) for name, size in sizes.items()
    ]
    graph = helper.make_graph([node], "boosted_trees", ports[:1], ports[1:])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
    # Says IR 8 rather than the newest, so that older runtimes read it.
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def attributes(estimator: Any) -> dict[str, Any]:
    """What the operator `OPERATOR` holds for boosted trees: the nodes of all, one after the other.

    Args:
        estimator: A fitted `HistGradientBoostingClassifier`.

    Raises:
        ModelError: It splits by categories.
    """
    classes, each = len(estimator.classes_), estimator.n_trees_per_iteration_
    # Of two classes one score is boosted, that of the second; a softmax with 0 is its sigmoid.
    base = np.zeros(classes, np.float32)
    # scikit-learn shows fitted trees nowhere else; certificates tell if this ever changes.
    base[-each:] = estimator._baseline_prediction.ravel()  # noqa: SLF001
    found = [tree.nodes for rounds in estimator._predictors for tree in rounds]  # noqa: SLF001
    nodes, sizes = np.concatenate(found), [len(tree) for tree in found]
    if estimator.is_categorical_ is not None:
        raise ModelError("boosted trees that split by categories cannot be written as ONNX")
    numbers = np.arange(len(found))
    trees, leaf = np.repeat(numbers, sizes), nodes["is_leaf"] == 1
    places = np.concatenate([np.arange(size) for size in sizes])
    classes_of_trees = classes - each + numbers % each
    return {
        "n_targets": classes,
        "base_values": base.tolist(),
        "aggregate_function": "SUM",
        "post_transform": "SOFTMAX",
        "nodes_treeids": trees.tolist(),
        "nodes_nodeids": places.tolist(),
        "nodes_featureids": nodes["feature_idx"].tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": np.where(leaf, 0, _floor(nodes["num_threshold"])).tolist(),
        "nodes_truenodeids": nodes["left"].tolist(),
        "nodes_falsenodeids": nodes["right"].tolist(),
        "nodes_missing_value_tracks_true": nodes["missing_go_to_left"].tolist(),
        "target_treeids": trees[leaf].tolist(),
        "target_nodeids": places[leaf].tolist(),
        "target_ids": np.repeat(classes_of_trees, sizes)[leaf].tolist(),
        "target_weights": nodes["value"][leaf].tolist(),
    }


def convert(scope: Any, operator: Any, container: Any) -> None:
    """What skl2onnx is to call for boosted trees; its own of version 1.20 fails beside onnx 1.23.

    Args:
        scope: Gives names.
        operator: Holds the estimator and its variables.
        container: Takes the nodes.
    """
    labels, scores = (variable.full_name for variable in operator.outputs)
    container.add_node(
        OPERATOR,
        [operator.inputs[0].full_name],
        [scores],
        op_domain=DOMAIN,
        op_version=VERSION,
        name=scope.get_unique_operator_name(OPERATOR),
        **attributes(operator.raw_operator),
    )
    name = scope.get_unique_operator_name("ArgMax")
    container.add_node("ArgMax", [scores], [labels], name=name, axis=1, keepdims=0)


def _floor(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above each value: no float32 lies between the two.

    The nearest one may lie above, and the row between them would take the wrong branch.
    """
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
        return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)
