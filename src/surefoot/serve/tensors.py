"""The Open Inference Protocol, version 2, in JSON and with binary tensors behind it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from surefoot import __version__
from surefoot.core.errors import nearest
from surefoot.core.evidence import Outcome
from surefoot.core.model import InputKind, Signature
from surefoot.serve.flow import Answered
from surefoot.serve.requests import (
    MOST_ROWS,
    Refused,
    confidences,
    decoded,
    encoded,
    listed,
    numbers,
    row_marks,
    row_shape,
    sized,
    texts,
    typed_numbers,
)

TYPES: Mapping[InputKind, str] = {"text": "BYTES", "numeric": "FP32", "image": "UINT8"}
"""What the Open Inference Protocol calls the values of a raw row."""
TENSOR = "input"
"""The name of the only input."""
VERSION = "1"
"""Of the model: a bundle has one."""
EXTENSIONS = ("binary_tensor_data",)
"""Of the protocol, that are spoken."""
_OTHER = ("classification", "shared_memory_region", "sequence_id")
"""Extensions that would change the answer, and are not."""
_LENGTH = struct.Struct("<I")
"""Before each text of a binary tensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A tensor of an answer."""

    kind: str
    """`FP32` or `BYTES`."""
    values: Callable[[Answered, Sequence[str]], Any]
    """An array or a list of texts, from what was found and the names of the classes."""
    wide: bool = False
    """Whether there is a column for each class."""


def _labels(answered: Answered, classes: Sequence[str]) -> list[str]:
    return ["" if i < 0 else classes[i] for i in answered.predicted.tolist()]


def _scores(answered: Answered, _: Sequence[str]) -> np.ndarray:
    """With 0 for what nobody knows, which no confidence is: a tensor has no null."""
    return np.asarray(np.nan_to_num(answered.scores))


def _strange(answered: Answered, _: Sequence[str]) -> list[str]:
    told = answered.strange or (None,) * len(answered.routes)
    return ["" if one is None else str(one).lower() for one in told]


OUTPUTS: Mapping[str, Output] = {
    "scores": Output(kind="FP32", values=_scores, wide=True),
    "label": Output(kind="BYTES", values=_labels),
    "confidence": Output(kind="FP32", values=lambda found, _: np.nan_to_num(confidences(found))),
    "route": Output(kind="BYTES", values=lambda found, _: found.routes),
    "promise": Output(kind="BYTES", values=lambda found, _: found.promises),
    "out_of_scope": Output(kind="BYTES", values=_strange),
    "decision": Output(
        kind="BYTES", values=lambda found, _: found.ids or ("",) * len(found.routes)
    ),
}
"""The tensors of an answer by name; over HTTP, over gRPC and in the documents alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of the protocol."""

    rows: np.ndarray
    """(n, ...) raw rows."""
    id: str | None
    """The client's own name for it, which the answer repeats."""
    outputs: Mapping[str, bool]
    """Names of the outputs that are wanted, in order, and whether each comes as bytes."""


def tensor_request(body: bytes, header: bytes | None, signature: Signature) -> Asked:
    """What is asked in a body of the protocol.

    Args:
        body: As it was sent.
        header: `Inference-Header-Content-Length`: where JSON ends and binary tensors begin.
        signature: What a row must be.

    Raises:
        Refused: No request of the protocol, or not one input of the right name, type and shape.
    """
    said, raw = _split(body, header)
    sized(said, row_marks(signature))
    found = _read(said)
    if len(found.inputs) != 1:
        raise Refused(f"inputs must be a list of one tensor, found {len(found.inputs)}")
    asked = found.parameters or {}
    no_other(asked)
    return Asked(
        rows=_rows(found.inputs[0], raw, signature),
        id=found.id,
        outputs=_outputs(found.outputs or (), _flag(asked, "binary_data_output")),
    )


def _split(body: bytes, header: bytes | None) -> tuple[memoryview, memoryview]:
    """JSON, and what comes behind it."""
    whole = memoryview(body)
    if header is None:
        return whole, whole[len(whole) :]
    if not header.isdigit() or len(header) > 12 or not 0 < int(header) <= len(body):
        raise Refused(
            f"Inference-Header-Content-Length must be from 1 to the body's {len(body)} bytes"
        )
    return whole[: int(header)], whole[int(header) :]


def _read(said: memoryview) -> Any:
    """The JSON of a request, its data not yet looked at."""
    import msgspec

    try:
        return _reader()(said)
    except msgspec.ValidationError as error:
        raise Refused(f"no request of the Open Inference Protocol: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None


@cache
def _reader() -> Callable[[memoryview], Any]:
    from typing import Annotated

    from msgspec import Meta, Raw, defstruct
    from msgspec.json import Decoder

    told: Any = ("parameters", dict[str, Any] | None, None)
    size: Any = Annotated[int, Meta(ge=0)]
    tensor = defstruct(
        "Input",
        [("name", str), ("datatype", str), ("shape", list[size]), ("data", Raw, Raw()), told],
    )
    output = defstruct("Output", [("name", str), told])
    inputs: Any = Annotated[list[tensor], Meta(max_length=8)]  # type: ignore[valid-type]
    outputs: Any = Annotated[list[output], Meta(max_length=64)] | None  # type: ignore[valid-type]
    body = defstruct(
        "Body", [("inputs", inputs), ("id", str | None, None), ("outputs", outputs, None), told]
    )
    return Decoder(body).decode


def _rows(tensor: Any, raw: memoryview, signature: Signature) -> np.ndarray:
    asked = tensor.parameters or {}
    no_other(asked)
    fits(tensor.name, tensor.datatype, tensor.shape, signature)
    size = asked.get("binary_data_size")
    if size is None:
        if raw:
            raise Refused(f"{len(raw)} bytes behind the JSON, of no tensor")
        return _json_rows(tensor.data, tensor.shape, signature.input)
    if bytes(tensor.data):
        raise Refused("a tensor has data or binary_data_size, not both")
    if type(size) is not int or size != len(raw):
        raise Refused(f"binary_data_size is {listed([size])}, behind the JSON are {len(raw)} bytes")
    return binary_rows(raw, tensor.shape, signature.input)


def fits(name: str, datatype: str, shape: Sequence[int], signature: Signature) -> None:
    """Nothing, where a tensor is the input of a model.

    Args:
        name: The tensor's.
        datatype: What the protocol calls its values.
        shape: Its axes, none of them negative.
        signature: The model's.

    Raises:
        Refused: Another name, type or shape.
    """
    wanted, inner = TYPES[signature.input], row_shape(signature)
    if name != TENSOR or datatype != wanted:
        raise Refused(f"the input is '{TENSOR}' of {wanted}, found {listed([name, datatype])}")
    if not shape or tuple(shape[1:]) != inner or not 0 < shape[0] <= MOST_ROWS:
        axes = "".join(f", {n}" for n in inner)
        raise Refused(f"shape must be [n{axes}], n from 1 to {MOST_ROWS}, found {listed(shape)}")


def _json_rows(data: bytes, shape: Sequence[int], kind: InputKind) -> np.ndarray:
    """Rows from the JSON of a flat list, or of lists in lists."""
    import msgspec

    if kind != "text":
        try:
            values = _floats()(data)
        except msgspec.DecodeError:
            return _wrong_or_nested(data, shape, kind)
        flat = typed_numbers(values, (math.prod(shape),), kind)
        if flat is None:
            raise Refused(f"{len(values)} values for shape {[*shape]}")
        rows: np.ndarray = flat.reshape(shape)
        return rows
    values = _list(data)
    if len(values) != shape[0]:
        raise Refused(f"{len(values)} values for {shape[0]} rows")
    return texts(values)


@cache
def _floats() -> Callable[[bytes], list[float]]:
    import msgspec

    return msgspec.json.Decoder(list[float]).decode


def _wrong_or_nested(data: bytes, shape: Sequence[int], kind: InputKind) -> np.ndarray:
    values = _list(data)
    if any(isinstance(one, list) for one in values):
        return numbers(values, tuple(shape), kind)
    return numbers(values, (math.prod(shape),), kind).reshape(shape)


def _list(data: bytes) -> list[Any]:
    found = decoded(b'{"data":' + (data or b"null") + b"}")["data"]
    if not isinstance(found, list):
        raise Refused("a tensor needs data, a list, or binary_data_size")
    return found


def binary_rows(raw: memoryview, shape: Sequence[int], kind: InputKind) -> np.ndarray:
    """The rows of a binary tensor; numbers lie where they were received, if they can.

    Args:
        raw: Little-endian numbers, row by row; or texts, each after the four bytes of its length.
        shape: As `fits` found it good.
        kind: What the model takes.

    Raises:
        Refused: Too few or too many bytes, no UTF-8, or not finite.
    """
    if kind == "text":
        return texts([*_byte_texts(raw, shape[0])])
    dtype = np.dtype(np.uint8 if kind == "image" else "<f4")
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise Refused(
            f"{len(raw)} bytes for {[*shape]} of {TYPES[kind]},"
            f" which are {math.prod(shape) * dtype.itemsize}"
        )
    found = np.frombuffer(raw, dtype).reshape(shape)
    if kind == "numeric" and not np.isfinite(found).all():
        raise Refused("inputs must be finite in 32 bits")
    # Behind a JSON header of odd length; runtimes may want whole words.
    return found if found.flags.aligned else found.copy()


def _byte_texts(raw: memoryview, n: int) -> list[str]:
    found, place = [], 0
    for i in range(n):
        start = place + _LENGTH.size
        if start > len(raw):
            raise Refused(f"the bytes end before the length of row {i}")
        place = start + _LENGTH.unpack_from(raw, place)[0]
        if place > len(raw):
            raise Refused(f"the bytes end before row {i} does")
        found.append(text(bytes(raw[start:place]), i))
    if place != len(raw):
        raise Refused(f"{len(raw) - place} bytes behind the last of {n} rows")
    return found


def text(row: bytes, place: int) -> str:
    """A row that must be UTF-8.

    Args:
        row: Its bytes.
        place: Where it stands.

    Raises:
        Refused: It is not.
    """
    try:
        return row.decode()
    except UnicodeDecodeError:
        raise Refused(f"row {place} is not UTF-8") from None


def _outputs(chosen: Sequence[Any], binary: bool) -> Mapping[str, bool]:
    found = dict.fromkeys(OUTPUTS, binary) if not chosen else {}
    for one in chosen:
        known(one.name, found)
        asked = one.parameters or {}
        no_other(asked)
        found[one.name] = _flag(asked, "binary_data", binary)
    return found


def known(name: str, before: Mapping[str, object]) -> None:
    """Nothing, where an output can be asked for.

    Args:
        name: The output's.
        before: Those that were asked for already.

    Raises:
        Refused: There is no such output, or it was asked for before.
    """
    if name not in OUTPUTS:
        raise Refused(f"no output '{name[:40]}'; {nearest(name[:40], OUTPUTS)}")
    if name in before:
        raise Refused(f"output '{name}' is asked for twice")


def no_other(parameters: Collection[str]) -> None:
    """Nothing, where parameters ask for no extension that would change the answer.

    Args:
        parameters: Their names.

    Raises:
        Refused: They do.
    """
    for key in _OTHER:
        if key in parameters:
            raise Refused(f"'{key}' is an extension of the protocol that is not spoken here")


def _flag(parameters: Mapping[str, Any], key: str, otherwise: bool = False) -> bool:
    found = parameters.get(key, otherwise)
    if not isinstance(found, bool):
        raise Refused(f"{key} must be true or false")
    return found


def tensor_answer(
    answered: Answered, classes: Sequence[str], name: str, verdict: Outcome, asked: Asked
) -> tuple[bytes, int | None]:
    """The body for `tensor_request`, and where its JSON ends if bytes come behind it.

    Args:
        answered: What was found.
        classes: Their names.
        name: The model's.
        verdict: The lean model's.
        asked: The request.

    Raises:
        ModelError: A score is not finite.
    """
    confidences(answered)  # even where nobody asks for numbers, labels of none are no answer
    outputs, blobs = [], []
    for output, binary in asked.outputs.items():
        values, shape = tensor_of(output, answered, classes)
        one: dict[str, Any] = {"name": output, "datatype": OUTPUTS[output].kind, "shape": shape}
        if binary:
            blobs.append(packed(values))
            outputs.append(one | {"parameters": {"binary_data_size": len(blobs[-1])}})
        else:
            data = values.ravel().tolist() if isinstance(values, np.ndarray) else values
            outputs.append(one | {"data": data})
    told = {"verdict": verdict}
    said = {"model_name": name, "model_version": VERSION, "parameters": told, "outputs": outputs}
    head = encoded(said | ({} if asked.id is None else {"id": asked.id}))
    return (head, None) if not blobs else (b"".join([head, *blobs]), len(head))


def tensor_of(name: str, answered: Answered, classes: Sequence[str]) -> tuple[Any, list[int]]:
    """The values of an output, and their shape.

    Args:
        name: The output's.
        answered: What was found.
        classes: Their names.
    """
    values, n = OUTPUTS[name].values(answered, classes), len(answered.routes)
    return values, [n, len(classes)] if OUTPUTS[name].wide else [n]


def packed(values: Any) -> bytes:
    """An output as a binary tensor.

    Args:
        values: An array, or texts.
    """
    if isinstance(values, np.ndarray):
        return values.astype("<f4").tobytes()
    rows = [value.encode() for value in values]
    return b"".join(part for row in rows for part in (_LENGTH.pack(len(row)), row))


def server() -> bytes:
    """What answers, as the protocol describes it."""
    return encoded({"name": "surefoot", "version": __version__, "extensions": EXTENSIONS})


def metadata(signature: Signature, name: str) -> Mapping[str, Any]:
    """What a model takes and gives, as the protocol describes it.

    Args:
        signature: The model's.
        name: The model's.
    """
    classes = len(signature.classes)
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "surefoot",
        "inputs": [
            {
                "name": TENSOR,
                "datatype": TYPES[signature.input],
                "shape": [-1, *row_shape(signature)],
            }
        ],
        "outputs": [
            {
                "name": one,
                "datatype": output.kind,
                "shape": [-1, classes] if output.wide else [-1],
            }
            for one, output in OUTPUTS.items()
        ],
    }
