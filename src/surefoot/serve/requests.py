"""Bodies of requests as rows, and answers as bodies: every wrong one is named, none is guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from surefoot.core.errors import ModelError
from surefoot.core.evidence import Outcome
from surefoot.core.model import InputKind, Signature
from surefoot.serve.flow import Answered, named

REQUEST = b"x-request-id"
"""The header by which a client names its request; an answer repeats it."""
LONGEST_TEXT, MOST_TEXT = 100_000, 1_000_000
"""Characters of a row, and of all rows of a request."""
MOST_ROWS = 1_000
"""Rows of a request: more would hold everybody else up."""
LONG = 100_000
"""Bytes of JSON from which it is looked at how many values there are before any is made."""
_SPARE = 1_000  # values of a request that are of no row
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class Refused(Exception):  # noqa: N818 - a refused request is an answer, not a fault
    """A request that is not answered; the text says what is wrong with it."""

    def __init__(self, said: str, status: int = 400) -> None:
        super().__init__(said)
        self.status = status


def decoded(body: bytes | memoryview) -> Mapping[str, Any]:
    """A body as the object that it must be.

    Args:
        body: As it was sent.

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


def sized(body: bytes | memoryview, each: int) -> None:
    """Nothing, where long JSON holds no more values than the most rows do.

    In memory a value takes up to 70 times its bytes, and a long list is made before its length is
    seen: 16 MB of empty lists would take a GB, and everybody else's time.

    Args:
        body: As it was sent.
        each: Commas and brackets that a row brings with it.

    Raises:
        Refused: It is no JSON, or has more.
    """
    if len(body) <= LONG:
        return
    import msgspec

    try:
        msgspec.json.decode(body, type=msgspec.Raw)  # so every text has an end
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None
    most = MOST_ROWS * each + _SPARE
    strings = sum(1 for _ in islice(_STRING.finditer(body), 2 * most + 1))
    if strings <= 2 * most:
        bare = _STRING.sub(b"", body)
        if sum(bare.count(mark) for mark in (b",", b"[", b"{")) <= most:
            return
    raise Refused(f"more values than {MOST_ROWS} rows have", 413)


def row_marks(signature: Signature) -> int:
    """Commas and brackets that a row brings into JSON.

    Args:
        signature: Of the model.
    """
    inner = row_shape(signature)
    return math.prod(inner) + sum(math.prod(inner[:i]) for i in range(len(inner)))


def plain_request(body: bytes, signature: Signature) -> np.ndarray:
    """The rows of the body `{"inputs": [...]}`, at once where nothing is wrong with it.

    Args:
        body: As it was sent.
        signature: What a row must be.

    Raises:
        Refused: As `decoded` and `plain_rows`.
    """
    import msgspec

    sized(body, row_marks(signature))
    inner = row_shape(signature)
    try:
        rows = _decoder(signature.input == "text", len(inner))(body).inputs
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        rows = []
    if not 0 < len(rows) <= MOST_ROWS:
        return plain_rows(decoded(body), signature)
    if signature.input == "text":
        return _of_bounded_length(rows)
    found = typed_numbers(rows, (len(rows), *inner), signature.input)
    return plain_rows(decoded(body), signature) if found is None else found


@cache
def _decoder(texts: bool, axes: int) -> Callable[[bytes], Any]:
    """Reads a plain body whose rows are texts, or numbers in so many lists."""
    import msgspec

    kind: Any = str if texts else float
    for _ in range(axes + 1):
        kind = list[kind]
    body = msgspec.defstruct("PlainBody", [("inputs", kind)], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body).decode


def typed_numbers(rows: Sequence[Any], shape: tuple[int, ...], kind: InputKind) -> Any:
    """Rows that are known to be floats, as `numbers` gives them; None if they are of another shape.

    Args:
        rows: Lists in lists of floats.
        shape: What they must be.
        kind: What the model takes.

    Raises:
        Refused: They are no pixels, or not finite in 32 bits.
    """
    try:
        with np.errstate(over="ignore"):
            found = np.array(rows, np.float32 if kind == "numeric" else np.float64)
    except ValueError:  # of lists of several lengths
        return None
    return bounded(found, kind) if found.shape == shape else None


def bounded(found: np.ndarray, kind: InputKind) -> np.ndarray:
    """Numbers as the type that the model takes.

    Args:
        found: Of any type.
        kind: What the model takes.

    Raises:
        Refused: They are no pixels, or not finite in 32 bits.
    """
    if kind == "image":
        if found.min() < 0 or found.max() > 255 or (found % 1).any():
            raise Refused("pixels must be whole numbers from 0 to 255")
        return found.astype(np.uint8)
    with np.errstate(over="ignore"):
        small = found.astype(np.float32, copy=False)
    if not np.isfinite(small).all():
        raise Refused("inputs must be finite in 32 bits")
    return small


def plain_rows(body: Mapping[str, Any], signature: Signature) -> np.ndarray:
    """The rows of `{"inputs": [...]}`, or what is wrong with them.

    Args:
        body: As `decoded` gives it.
        signature: What a row must be.

    Raises:
        Refused: Another key, no rows, too many, or one that the model cannot take.
    """
    if set(body) != {"inputs"}:
        raise Refused(f'the body must hold "inputs" alone, found {listed(sorted(body))}')
    rows = body["inputs"]
    if not isinstance(rows, list) or not rows:
        raise Refused("inputs must be a list of at least one row")
    if len(rows) > MOST_ROWS:
        raise Refused(f"{len(rows)} rows, at most {MOST_ROWS} in a request", 413)
    if signature.input == "text":
        return texts(rows)
    return numbers(rows, (len(rows), *row_shape(signature)), signature.input)


def row_shape(signature: Signature) -> tuple[int, ...]:
    """The shape of one row; of a text, none.

    Args:
        signature: Of the model.
    """
    if signature.input == "text":
        return ()
    return signature.shape if signature.input == "image" else (int(signature.width or 0),)


def texts(rows: Sequence[Any]) -> np.ndarray:
    """Rows that must be texts.

    Args:
        rows: As they were sent.

    Raises:
        Refused: One is none.
    """
    for i, row in enumerate(rows):
        if not isinstance(row, str):
            raise Refused(f"row {i} is no text")
    return _of_bounded_length(rows)


def _of_bounded_length(rows: Sequence[str]) -> np.ndarray:
    """Texts, of which no model reads more than the first part, but all of which is taken apart."""
    lengths = [*map(len, rows)]
    if max(lengths, default=0) > LONGEST_TEXT:
        i = next(i for i, length in enumerate(lengths) if length > LONGEST_TEXT)
        raise Refused(f"row {i} has {lengths[i]:,} characters, at most {LONGEST_TEXT:,}", 413)
    if sum(lengths) > MOST_TEXT:
        raise Refused(f"{sum(lengths):,} characters, at most {MOST_TEXT:,} in a request", 413)
    return np.array(rows, np.dtypes.StringDType())


def numbers(rows: Sequence[Any], shape: tuple[int, ...], kind: InputKind) -> np.ndarray:
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
    return bounded(found, kind)


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


def listed(found: Sequence[object]) -> str:
    """The first few of what was found, cut short: what a client sent is not sent back whole.

    Args:
        found: Of any kind.
    """
    return ", ".join(str(one)[:40] for one in found[:5]) or "nothing"


def plain_answer(answered: Answered, classes: Sequence[str], model: str, verdict: Outcome) -> bytes:
    """The body for `plain_rows`: a list of answers, the lean model's fingerprint and verdict.

    Args:
        answered: What was found.
        classes: Their names.
        model: The fingerprint.
        verdict: The lean model's.

    Raises:
        ModelError: A score is not finite.
    """
    found = confidences(answered)
    told = [None if math.isnan(one) else one for one in found.tolist()]
    columns = (named(answered), answered.predicted.tolist(), told)
    strange = answered.strange or (None,) * len(told)
    return encoded(
        {
            "answers": [
                {
                    "id": number,
                    "label": None if place < 0 else classes[place],
                    "confidence": confidence,
                    "route": route,
                    "promise": promise,
                    "out_of_scope": odd,
                }
                for number, place, confidence, route, promise, odd in zip(
                    *columns, answered.routes, answered.promises, strange, strict=True
                )
            ],
            "model": model,
            "verdict": verdict,
        }
    )


def confidences(answered: Answered) -> np.ndarray:
    """(n,) the highest score of each row; NaN where an endpoint does not tell it.

    Args:
        answered: What was found.

    Raises:
        ModelError: One is not finite.
    """
    highest: np.ndarray = answered.scores.max(axis=1)
    if np.isinf(highest).any():
        raise ModelError("gives scores that are not finite")
    return highest


def encoded(value: Any) -> bytes:
    """As JSON.

    Args:
        value: Lists and mappings of texts and finite numbers.
    """
    import msgspec

    return msgspec.json.encode(value)
