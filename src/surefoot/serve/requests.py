"""Bodies of requests as rows, and answers as bodies: every wrong one is named, none is guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.core.evidence import Outcome
from surefoot.core.model import InputKind, Signature
from surefoot.serve.flow import Answered

MOST_ROWS = 1_000
"""Rows of a request: more would hold everybody else up."""
TYPES: Mapping[InputKind, str] = {"text": "BYTES", "numeric": "FP32", "image": "UINT8"}
"""What the Open Inference Protocol calls the values of a raw row."""
TENSOR = "input"
"""The name of the only input."""


class Refused(Exception):  # noqa: N818 - a refused request is an answer, not a fault
    """A request that is not answered; the text says what is wrong with it."""

    def __init__(self, said: str, status: int = 400) -> None:
        super().__init__(said)
        self.status = status


def decoded(body: bytes) -> Mapping[str, Any]:
    """A body as the object that it must be.

    Raises:
        Refused: No JSON, or no object.
    """
    import msgspec

    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused("the body must be a JSON object")
    return found


def plain_rows(body: Mapping[str, Any], signature: Signature) -> np.ndarray:
    """The rows of `{"inputs": [...]}`.

    Raises:
        Refused: Another key, no rows, too many, or one that the model cannot take.
    """
    if set(body) != {"inputs"}:
        raise Refused(f'the body must hold "inputs" alone, found {_listed(sorted(body))}')
    rows = body["inputs"]
    if not isinstance(rows, list) or not rows:
        raise Refused("inputs must be a list of at least one row")
    if len(rows) > MOST_ROWS:
        raise Refused(f"{len(rows)} rows, at most {MOST_ROWS} in a request", 413)
    if signature.input == "text":
        return _texts(rows)
    return _numbers(rows, (len(rows), *_shape(signature)), signature.input)


def tensor_rows(body: Mapping[str, Any], signature: Signature) -> np.ndarray:
    """The rows of a request of the Open Inference Protocol, version 2, in JSON.

    Raises:
        Refused: Not one input of the right name, type and shape.
    """
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused("inputs must be a list of one tensor")
    tensor, wanted = inputs[0], TYPES[signature.input]
    if tensor.get("name") != TENSOR or tensor.get("datatype") != wanted:
        raise Refused(
            f"the input is '{TENSOR}' of {wanted}, found"
            f" {_listed([tensor.get('name'), tensor.get('datatype')])}"
        )
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise Refused("shape must be a list of whole numbers")
    if not isinstance(data, list):
        raise Refused("data must be a list; binary tensors are not taken")
    if not shape or shape[1:] != [*_shape(signature)] or not 0 < shape[0] <= MOST_ROWS:
        inner = "".join(f", {n}" for n in _shape(signature))
        raise Refused(f"shape must be [n{inner}], n from 1 to {MOST_ROWS}, found {_listed(shape)}")
    if "outputs" in body:
        raise Refused("outputs cannot be chosen: leave them out")
    if signature.input == "text":
        if len(data) != shape[0]:
            raise Refused(f"{len(data)} values for {shape[0]} rows")
        return _texts(data)
    return _numbers(data, (math.prod(shape),), signature.input).reshape(shape)


def _shape(signature: Signature) -> tuple[int, ...]:
    if signature.input == "text":
        return ()
    return signature.shape if signature.input == "image" else (int(signature.width or 0),)


def _texts(rows: Sequence[Any]) -> np.ndarray:
    for i, row in enumerate(rows):
        if not isinstance(row, str):
            raise Refused(f"row {i} is no text")
    return np.array(rows, np.dtypes.StringDType())


def _numbers(rows: Sequence[Any], shape: tuple[int, ...], kind: InputKind) -> np.ndarray:
    """Numbers of one shape, as 32-bit floats or as pixels; `true` is none.

    Args:
        rows: Lists in lists.
        shape: What they must be.
        kind: What the model takes.

    Raises:
        Refused: They are not.
    """
    flat: list[float] = []
    if not _flatten(rows, shape, flat):
        raise Refused(f"inputs must be numbers alone, of shape {[*shape]}")
    try:
        found = np.array(flat, dtype=np.float64).reshape(shape)
    except OverflowError:  # of a whole number beyond any float
        raise Refused("inputs must be finite in 32 bits") from None
    if kind == "image":
        if found.min() < 0 or found.max() > 255 or (found % 1).any():
            raise Refused("pixels must be whole numbers from 0 to 255")
        return found.astype(np.uint8)
    if not (np.abs(found) <= np.finfo(np.float32).max).all():
        raise Refused("inputs must be finite in 32 bits")
    return found.astype(np.float32)


def _flatten(part: Any, shape: tuple[int, ...], into: list[float]) -> bool:
    """Add the numbers of nested lists of a shape to `into`; False where they are not of it.

    numpy would make room for texts as long as the longest one, before it finds that they are texts.
    """
    if not isinstance(part, list) or len(part) != shape[0]:
        return False
    if len(shape) > 1:
        return all(_flatten(inner, shape[1:], into) for inner in part)
    into.extend(part)
    return all(type(value) in (int, float) for value in part)


def _listed(found: Sequence[object]) -> str:
    """The first few of what was found, cut short: what a client sent is not sent back whole."""
    return ", ".join(str(one)[:40] for one in found[:5]) or "nothing"


def plain_answer(answered: Answered, classes: Sequence[str], model: str, verdict: Outcome) -> bytes:
    """The body for `plain_rows`: a list of answers, the lean model's fingerprint and verdict."""
    return _encoded(
        {
            "answers": [
                {
                    "label": None if place < 0 else classes[place],
                    "confidence": float(scores.max()),
                    "route": route,
                    "promise": promise,
                }
                for place, scores, route, promise in zip(
                    answered.predicted,
                    answered.scores,
                    answered.routes,
                    answered.promises,
                    strict=True,
                )
            ],
            "model": model,
            "verdict": verdict,
        }
    )


def tensor_answer(
    answered: Answered, classes: Sequence[str], name: str, verdict: Outcome, number: object
) -> bytes:
    """The body for `tensor_rows`.

    Args:
        answered: What was found.
        classes: Their names.
        name: The model's.
        verdict: The lean model's.
        number: The request's id, if it had one.
    """
    n = len(answered.scores)
    outputs = [
        _tensor("scores", "FP32", [n, len(classes)], answered.scores.ravel().tolist()),
        _tensor("label", "BYTES", [n], ["" if i < 0 else classes[i] for i in answered.predicted]),
        _tensor("confidence", "FP32", [n], answered.scores.max(axis=1).tolist()),
        _tensor("route", "BYTES", [n], list(answered.routes)),
        _tensor("promise", "BYTES", [n], list(answered.promises)),
    ]
    told = {"verdict": verdict}
    said = {"model_name": name, "model_version": "1", "parameters": told, "outputs": outputs}
    return _encoded(said | ({"id": number} if isinstance(number, str) else {}))


def metadata(signature: Signature, name: str) -> bytes:
    """What a model takes and gives, as the Open Inference Protocol describes it."""
    classes = len(signature.classes)
    return _encoded(
        {
            "name": name,
            "versions": ["1"],
            "platform": "surefoot",
            "inputs": [
                {
                    "name": TENSOR,
                    "datatype": TYPES[signature.input],
                    "shape": [-1, *_shape(signature)],
                }
            ],
            "outputs": [
                {"name": "scores", "datatype": "FP32", "shape": [-1, classes]},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "confidence", "datatype": "FP32", "shape": [-1]},
                {"name": "route", "datatype": "BYTES", "shape": [-1]},
                {"name": "promise", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    )


def _tensor(name: str, kind: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape, "data": data}


def _encoded(value: Any) -> bytes:
    """JSON; what is not finite would be written as null, and nobody is answered with that."""
    import msgspec

    return msgspec.json.encode(value)
