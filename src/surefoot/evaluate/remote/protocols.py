"""What is sent to an endpoint, and what its answers mean."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surefoot.core.nested import from_json
from surefoot.evaluate.load.endpoint import TYPES
from surefoot.evaluate.remote.replied import Replied

PROMPT = """Which of these classes does the text below belong to?

{classes}

Answer with the name of one class, as it stands above, and with nothing else.

{text}"""
"""What a chat model is asked by default."""
SUM = 1e-3
"""How far from 1 the probabilities of a row may add up to."""
FEWEST_TOKENS = 16


class NoAnswerError(Exception):
    """What came back is no answer; the text says why."""


def prompt(template: str, classes: Sequence[str], text: str) -> str:
    """What a chat model is asked of one text.

    Args:
        template: With `{classes}` and `{text}` in it.
        classes: Their names.
        text: The row; braces in it mean nothing.
    """
    filled = {"{classes}": "\n".join(f"- {name}" for name in classes), "{text}": text}
    return re.sub(r"\{classes\}|\{text\}", lambda found: filled[found[0]], template)


def chat_body(asked: str, model: str, classes: Sequence[str], *, logprobs: bool) -> bytes:
    """A request of chat completions for one row.

    Args:
        asked: What `prompt` gave.
        model: Its name there.
        classes: Their names: no answer has to be longer than the longest.
        logprobs: Whether to ask how likely each token of the answer was.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": asked}],
        "temperature": 0,
        "max_tokens": max(FEWEST_TOKENS, *map(len, classes)),
    }
    return json.dumps(body | ({"logprobs": True} if logprobs else {})).encode()


def chat_answer(body: bytes, classes: Sequence[str]) -> tuple[int, float]:
    """The class that a chat model names, and its confidence.

    Returns:
        Its position, -1 where the answer is no class; and the probability of the answer's tokens,
        NaN where it was not told.

    Raises:
        NoAnswerError: The body is none of chat completions.
    """
    try:
        choice = _object(body)["choices"][0]
        content = choice["message"]["content"] or ""
        return _class_of(content, classes), _likely(choice.get("logprobs"))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError):
        raise NoAnswerError("answers something that is no chat completion") from None


def _class_of(content: str, classes: Sequence[str]) -> int:
    """The position of the class that is meant: by its name, whatever its case and quotes."""
    said = content.strip()
    for form in (str, _bare):
        names = [form(name) for name in classes]
        if names.count(form(said)) == 1:
            return names.index(form(said))
    return -1


def _bare(text: str) -> str:
    return text.strip(" \t\r\n\"'`*.-").casefold()


def _likely(told: Any) -> float:
    """The probability of an answer as the product of those of its tokens."""
    tokens = (told or {}).get("content") if isinstance(told, dict | None) else None
    if not tokens:
        return math.nan
    total = sum(float(token["logprob"]) for token in tokens)
    return math.exp(total) if total <= 0 else math.nan


def tensor_body(rows: np.ndarray, name: str, datatype: str) -> bytes:
    """A request of the Open Inference Protocol, version 2.

    Args:
        rows: (n, ...) raw inputs.
        name: Of the input tensor.
        datatype: Of its values.
    """
    kind = {"FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8}.get(datatype)
    values = rows if kind is None else rows.astype(kind)
    shape = list(values.shape)
    tensor = {"name": name, "shape": shape, "datatype": datatype, "data": values.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def tensor_input(body: bytes, kind: str) -> tuple[str, str]:
    """The name and the type of the only input that a model's metadata name.

    Args:
        body: The metadata.
        kind: The kind of the array of raw rows.

    Raises:
        NoAnswerError: They are none, or it takes something else.
    """
    try:
        found = [(str(one["name"]), str(one["datatype"])) for one in _object(body)["inputs"]]
    except (KeyError, TypeError):
        raise NoAnswerError("does not describe a model: is the address that of one?") from None
    if len(found) != 1 or found[0][1] not in TYPES[kind]:
        takes = ", ".join(f"{name} ({datatype})" for name, datatype in found) or "nothing"
        wanted = " or ".join(TYPES[kind])
        raise NoAnswerError(f"takes {takes}, but raw rows are one input of {wanted}")
    return found[0]


def tensor_answer(body: bytes, n: int, classes: Sequence[str]) -> Replied:
    """The scores that came back, as probabilities.

    Raises:
        NoAnswerError: No scores of that shape, one that is not finite, or classes in another order.
    """
    shape = [n, len(classes)]
    try:
        outputs = _object(body)["outputs"]
        fitting = [one for one in outputs if list(one["shape"]) == shape]
        if not fitting:
            raise NoAnswerError(f"gives no output of shape {shape}")
        scores = np.array(fitting[0]["data"], dtype=np.float64).reshape(shape)
        labels, promises = (
            [one["data"] for one in outputs if (one["name"], one["datatype"]) == (name, "BYTES")]
            for name in ("label", "promise")
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        raise NoAnswerError("answers nothing of the Open Inference Protocol") from None
    if not np.isfinite(scores).all():
        raise NoAnswerError("gives a score that is not finite")
    predicted, likely = scores.argmax(axis=1), _probabilities(scores)
    if labels:
        predicted = _agreed(predicted, labels[0], classes)
    if promises and len(promises[0]) == n:
        # What it does not stand by itself is no answer that a promise could rest on.
        void = [str(one).startswith("void") for one in promises[0]]
        predicted = np.where(void, -1, predicted)
    return Replied(predicted=predicted, confidence=likely.max(axis=1), scores=likely)


def _agreed(predicted: np.ndarray, labels: Any, classes: Sequence[str]) -> np.ndarray:
    """The classes that an endpoint names beside its scores, as our own does; none where none."""
    if not isinstance(labels, list) or len(labels) != len(predicted):
        raise NoAnswerError("gives other than a label for each row")
    found = np.array(
        [-1 if name == "" else int(i) for name, i in zip(labels, predicted, strict=True)]
    )
    if any(name not in ("", classes[i]) for name, i in zip(labels, predicted, strict=True)):
        raise NoAnswerError("has other classes than the plan, or has them in another order")
    return found


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Scores as they are where they are probabilities, else those of logits."""
    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < SUM).all():
        return scores
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=1, keepdims=True))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = from_json(body)
    except (ValueError, RecursionError):
        raise NoAnswerError("answers something that is not JSON") from None
    if not isinstance(found, dict):
        raise NoAnswerError("answers JSON that is no object")
    return found
