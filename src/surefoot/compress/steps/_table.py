"""Finds a model's table of input embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from surefoot.core.model import Model
from surefoot.models.runtimes._common import load


def embedding_table(model: Model, vocabulary: int) -> np.ndarray | None:
    """The (vocabulary, width) float32 token vectors of a model; None where it has none in floats.

    It is the first matrix of the model with a row for every token and fewer columns than rows:
    neither a bias nor an output layer over classes.
    """
    for array in _matrices(model):
        if array.shape[0] >= vocabulary and 2 <= array.shape[1] <= vocabulary:
            return array[:vocabulary].astype(np.float32)
    return None


def _matrices(model: Model) -> Iterator[np.ndarray]:
    loaded = load(model)
    if model.format == "onnx":
        from onnx import TensorProto, numpy_helper

        for tensor in loaded.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2:
                yield numpy_helper.to_array(tensor)
    elif hasattr(loaded, "state_dict"):
        state = loaded.state_dict if model.format == "pt2" else loaded.state_dict()
        for weights in state.values():
            if weights.ndim == 2 and weights.is_floating_point():
                yield weights.detach().numpy()
