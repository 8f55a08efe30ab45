"""Raw inputs to tensors: what has to happen before a model runs, read from files beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.errors import DataError, ModelError
from surefoot.core.model import Model, Signature
from surefoot.models.store import TOKENIZER

Tensors = dict[str, np.ndarray]
_PADDING_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>", "</s>")


class Preprocessor:
    """Prepares many rows once, then hands out the tensors of any batch of them.

    Args:
        model: The model to prepare for.
    """

    def __init__(self, model: Model) -> None:
        self._signature = model.signature
        self._tokenizer = None
        if model.signature.input == "image":
            check_scaling(model.signature, str(model.path))
        if model.signature.input == "text" and (model.path / TOKENIZER).exists():
            self._tokenizer = read_tokenizer(model.path / TOKENIZER)
            self._padding = self._tokenizer.padding
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(model.signature.max_length or 512)

    def rows(self, inputs: np.ndarray) -> Any:
        """The rows of raw inputs, tokenised where the model takes tokens."""
        if self._tokenizer is None:
            return inputs
        return self._tokenizer.encode_batch_fast(inputs.tolist())

    def order(self, rows: Any) -> np.ndarray:
        """Positions from the longest row to the shortest, so that a batch needs little padding."""
        if self._tokenizer is None:
            return np.arange(len(rows))
        return np.argsort(-_lengths(rows), kind="stable")

    def tensors(self, rows: Any, positions: np.ndarray) -> Tensors:
        """The input tensors of one batch: the rows at these positions."""
        if self._tokenizer is not None:
            return self._padded([rows[position] for position in positions])
        chosen = rows[positions]
        if self._signature.input == "image":
            return {_only(self._signature): _image(chosen, self._signature)}
        if self._signature.input == "numeric":
            return {_only(self._signature): _numeric(chosen, self._signature)}
        return {_only(self._signature): chosen}

    def _padded(self, encodings: list[Any]) -> Tensors:
        lengths = _lengths(encodings)
        longest = max(1, int(lengths.max(initial=1)))
        places = np.arange(
            min((n for n in self._signature.lengths if n >= longest), default=longest)
        )
        if self._padding["direction"] == "left":
            mask = places >= len(places) - lengths[:, None]
        else:
            mask = places < lengths[:, None]
        tensors = {}
        for name in self._signature.tensors:
            if name == "attention_mask":
                tensors[name] = mask.astype(np.int64)
            elif name == "token_type_ids":
                tensors[name] = _filled(
                    mask, [e.type_ids for e in encodings], self._padding["pad_type_id"]
                )
            else:
                tensors[name] = _filled(mask, [e.ids for e in encodings], self._padding["pad_id"])
        return tensors


def tensors(model: Model) -> Callable[[np.ndarray], Tensors]:
    """A function from the raw inputs of one batch to the model's input tensors."""
    preprocessor = Preprocessor(model)

    def of_batch(inputs: np.ndarray) -> Tensors:
        return preprocessor.tensors(preprocessor.rows(inputs), np.arange(len(inputs)))

    return of_batch


def check_scaling(signature: Signature, where: str) -> None:
    """Make sure that mean and std are numbers to scale this signature's images with.

    Raises:
        ModelError: There are neither one nor one per channel, or a std is not above zero.
    """
    channels = signature.shape[2] if len(signature.shape) == 3 else 1
    for name, values in (("mean", signature.mean), ("std", signature.std)):
        if len(values) not in (1, channels):
            raise ModelError(
                f"{name} has {len(values)} values, the images {channels} channels",
                where=where,
                fix=f"give one value, or {channels}" if channels > 1 else "give one value",
            )
        if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
            raise ModelError(f"{name} is {list(values)}, must be finite, std above 0", where=where)


def token_lengths(model: Model, inputs: np.ndarray) -> np.ndarray:
    """(n,) int64: the tokens of each row, after truncation; 1 for inputs that are not tokenised."""
    if not (model.path / TOKENIZER).exists():
        return np.ones(len(inputs), np.int64)
    return _lengths(Preprocessor(model).rows(inputs))


def read_tokenizer(path: Path) -> Any:
    """Read a `tokenizer.json`, with its padding settings made explicit.

    Raises:
        ModelError: The file is missing or is not a tokenizer.
    """
    # Unset, the library warns whenever a process that has tokenised forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from tokenizers import Tokenizer

    if not path.is_file():
        raise ModelError("no such tokenizer", where=str(path))
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # size: the library raises nothing narrower
        raise ModelError(f"not a tokenizer: {error}", where=str(path)) from error
    if tokenizer.padding is None:
        known = [t for t in _PADDING_TOKENS if tokenizer.token_to_id(t) is not None]
        token = known[0] if known else "[PAD]"
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(token) or 0, pad_token=token)
    return tokenizer


def _lengths(encodings: list[Any]) -> np.ndarray:
    return np.fromiter(map(len, encodings), np.int64, len(encodings))


def _filled(mask: np.ndarray, rows: list[list[int]], padding: int) -> np.ndarray:
    tensor = np.full(mask.shape, padding, np.int64)
    tensor[mask] = list(chain.from_iterable(rows))
    return tensor


def _only(signature: Signature) -> str:
    return signature.tensors[0] if signature.tensors else "inputs"


def _numeric(inputs: np.ndarray, signature: Signature) -> np.ndarray:
    if inputs.ndim != 2 or signature.width not in (None, inputs.shape[1]):
        raise DataError(
            f"rows have {inputs.shape[1:]} values, the model takes ({signature.width},)",
            fix="name as many input columns as the model has",
        )
    return inputs.astype(np.float32, copy=False)


def _image(inputs: np.ndarray, signature: Signature) -> np.ndarray:
    if inputs.shape[1:] != signature.shape:
        raise DataError(f"images are {inputs.shape[1:]}, the model takes {signature.shape}")
    pixels = inputs if inputs.ndim == 4 else inputs[..., None]
    std = np.asarray(signature.std, np.float32)
    scaled = pixels * (np.float32(1 / 255) / std) - np.asarray(signature.mean, np.float32) / std
    return np.ascontiguousarray(
        scaled.transpose(0, 3, 1, 2) if signature.channels_first else scaled
    )
