"""Finds the files that an ONNX file keeps weights in; the onnx library is an extra."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Fields that lead to tensors, by their numbers in onnx.proto.
NESTED = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
}
_ENTRY, _LOCATION, _EXTERNAL = 13, 14, 1
_SKIPPED = {1: 8, 5: 4}


def external_files(path: Path) -> tuple[str, ...]:
    """The places, as the file tells them, of the weights that lie outside an ONNX file.

    Of a broken file it gives those before the break; whoever opens the file says what is wrong.
    """
    found: list[str] = []
    try:
        content = memoryview(np.memmap(path, np.uint8, "r").data)
        found.extend(_places(content, "ModelProto"))
    except (ValueError, IndexError, RecursionError):
        pass
    return tuple(dict.fromkeys(found))


def _places(message: memoryview, kind: str) -> Iterator[str]:
    if kind == "TensorProto":
        yield from _place(message)
        return
    for number, value in _fields(message):
        inner = NESTED[kind].get(number)
        if inner is not None and isinstance(value, memoryview):
            yield from _places(value, inner)


def _place(tensor: memoryview) -> Iterator[str]:
    outside, places = False, []
    for number, value in _fields(tensor):
        if number == _LOCATION:
            outside = value == _EXTERNAL
        elif number == _ENTRY and isinstance(value, memoryview):
            texts = {n: bytes(v) for n, v in _fields(value) if isinstance(v, memoryview)}
            if texts.get(1) == b"location":
                places.append(texts.get(2, b"").decode())
    yield from places if outside else ()


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The number and the value of every field; numbers of fixed size are left out."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(message, position)
            yield number, message[position : position + length]
            position += length
        elif wire in _SKIPPED:
            position += _SKIPPED[wire]
        else:
            raise ValueError(f"wire type {wire}")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
