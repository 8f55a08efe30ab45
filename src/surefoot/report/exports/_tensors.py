"""The tensors of an ONNX file, as its runtime tells them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.core.errors import ModelError
from surefoot.core.release import Shipped

DATATYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64", "tensor(int8)": "INT8",
    "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES", "tensor(bfloat16)": "BF16",
}  # fmt: skip
"""The Open Inference Protocol's names of ONNX Runtime's types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of a model file."""

    name: str
    """Its name."""
    datatype: str
    """The type of its values, by the Open Inference Protocol."""
    shape: tuple[int, ...]
    """Its axes; -1 for one of any length."""


def onnx_tensors(model: Shipped) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The inputs and the outputs of a model that the bundle holds.

    Raises:
        ModelError: The bundle does not hold it, it is no ONNX file, or the file cannot be opened.
    """
    import onnxruntime

    folder = held(model)
    if model.format != "onnx":
        raise ModelError(
            f"the model of '{model.name}' is of the format {model.format}, whose file names no"
            " tensors",
            fix="put the step export_onnx into its recipe",
        )
    onnxruntime.set_default_logger_severity(3)
    try:
        session = onnxruntime.InferenceSession(
            str(folder / model.file), providers=["CPUExecutionProvider"]
        )
    except _failures() as error:
        why = str(error).partition("\n")[0]
        raise ModelError(f"cannot be opened: {why}", where=str(folder)) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return tuple(map(_tensor, inputs)), tuple(map(_tensor, outputs))


def held(model: Shipped) -> Path:
    """The folder of a model.

    Raises:
        ModelError: The bundle does not hold it.
    """
    if model.folder is None:
        raise ModelError(
            f"the bundle does not hold the model of '{model.name}'",
            fix="only the baseline's and that of a candidate that passed are kept",
        )
    return model.folder


def _failures() -> tuple[type[Exception], ...]:
    """What opening a file may raise: ONNX Runtime's errors are classes of its own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found: list[type[Exception]] = [
        one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)
    ]
    return (RuntimeError, ValueError, *found)


def _tensor(port: Any) -> Tensor:
    if port.type not in DATATYPES:
        raise ModelError(f"'{port.name}' is a {port.type}, which the protocol has no name for")
    shape = tuple(axis if isinstance(axis, int) and axis >= 0 else -1 for axis in port.shape)
    return Tensor(name=port.name, datatype=DATATYPES[port.type], shape=shape)
