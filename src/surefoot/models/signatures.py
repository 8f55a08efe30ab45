"""Finds out from a model's files what goes in and what comes out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import TaskKind
from surefoot.core.errors import ModelError
from surefoot.core.model import INPUTS, Signature
from surefoot.core.nested import from_json
from surefoot.core.plan import ModelPlan
from surefoot.models.formats._safetensors import check_safetensors
from surefoot.models.formats.huggingface import HEAD
from surefoot.models.preprocess import check_scaling, read_tokenizer

LONGEST = 512
_TEXT_TENSORS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input tensor of a model file."""

    name: str
    """Its name."""
    shape: tuple[int | None, ...] | None = None
    """Its axes, None for one of any length; None when the file does not tell."""
    text: bool = False
    """Whether it takes strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A user's model where it lies."""

    path: Path
    """The file, or the folder of a Hugging Face model."""
    format: str
    """Its format."""
    tokenizer: Path | None = None
    """The `tokenizer.json` that goes with it."""
    sample: np.ndarray | None = None
    """A few raw inputs, which tell a shape that the file does not tell."""
    trusted: tuple[str, ...] = ()
    """Types of a skops file that the user trusts."""


def find_signature(source: Source, kind: TaskKind, options: ModelPlan) -> Signature:
    """The signature of a model; the plan's word goes before that of the model's files.

    Raises:
        ModelError: The file is broken, or something is neither in it nor in the plan.
    """
    if source.format == "huggingface":
        return _of_huggingface(source, options)
    if source.format in ("skops", "pickle"):
        return _of_sklearn(source, kind, options)
    ports = input_ports(source.path, source.format)
    classes = _classes(None, options, source.path)
    for port in ports:
        _need_free_batch(port, source.path)
    if INPUTS[kind] == "text":
        return _of_tokens(ports, classes, source, options)
    if len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise ModelError(f"takes {len(ports)} inputs ({names}), not one", where=str(source.path))
    if INPUTS[kind] == "image":
        return _of_image(ports[0], classes, source, options)
    return _of_numbers(ports[0], classes, source)


def input_ports(weights: Path, format: str) -> tuple[Port, ...]:
    """The input tensors of an ONNX, exported or TorchScript file."""
    return {"onnx": _onnx_ports, "pt2": _pt2_ports, "torchscript": _script_ports}[format](weights)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file beside a model; empty where there is no such file.

    Raises:
        ModelError: The file is not JSON, or no object.
    """
    if not path.exists():
        return {}
    try:
        content = from_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"not valid JSON: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise ModelError("is no JSON object", where=str(path))
    return content


def class_names(config: Mapping[str, Any], *, where: str = "config.json") -> tuple[str, ...]:
    """The class names in a Hugging Face config, in the order of the columns; empty if it has none.

    Args:
        config: The content of `config.json`.
        where: The file, for the message.

    Raises:
        ModelError: `id2label` is no table from numbers to names.
    """
    labels = config.get("id2label")
    if labels is None:
        return ()
    try:
        return tuple(str(labels[key]) for key in sorted(labels.keys(), key=int))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            "id2label is no table from column numbers to names",
            where=where,
            fix='write it as {"0": "first class", "1": "second class"}',
        ) from error


def _onnx_ports(weights: Path) -> tuple[Port, ...]:
    from surefoot.models.runtimes.onnxruntime import open_session

    return tuple(
        Port(
            name=port.name,
            shape=tuple(axis if isinstance(axis, int) else None for axis in port.shape),
            text=port.type == "tensor(string)",
        )
        for port in open_session(str(weights), 1).get_inputs()
    )


def _pt2_ports(weights: Path) -> tuple[Port, ...]:
    program = plugins.find("format", "pt2")(weights)
    names = program.graph_signature.user_inputs
    values = {n.name: n.meta.get("val") for n in program.graph.nodes if n.name in names}
    other = [name for name in names if not hasattr(values.get(name), "shape")]
    if other:
        raise ModelError(f"input '{other[0]}' is no tensor", where=str(weights))
    return tuple(
        Port(name=n, shape=tuple(axis if type(axis) is int else None for axis in values[n].shape))
        for n in names
    )


def _script_ports(weights: Path) -> tuple[Port, ...]:
    module = plugins.find("format", "torchscript")(weights)
    return tuple(Port(name=argument.name) for argument in module.forward.schema.arguments[1:])


def _of_huggingface(source: Source, options: ModelPlan) -> Signature:
    folder, tokenizer = source.path, source.tokenizer or source.path / "tokenizer.json"
    config = read_json(folder / "config.json")
    texts = read_tokenizer(tokenizer)
    size = max(texts.get_vocab().values(), default=-1) + 1
    known = config.get("vocab_size")
    if isinstance(known, int) and size > known:
        raise ModelError(
            f"has {size} tokens, the model knows only {known}",
            where=str(tokenizer),
            fix="use the tokenizer.json the model was trained with",
        )
    typed = any(texts.encode("one of a kind").type_ids)
    return Signature(
        input="text",
        classes=_classes(_huggingface_classes(folder, config), options, folder),
        tensors=_TEXT_TENSORS if typed else _TEXT_TENSORS[:2],
        max_length=_max_length(folder, config, options),
    )


def _huggingface_classes(folder: Path, config: dict[str, Any]) -> tuple[str, ...] | None:
    names = class_names(config, where=str(folder / "config.json"))
    if (folder / HEAD).exists():
        shape = check_safetensors(folder / HEAD).get("weight", {}).get("shape", [])
        return names if [len(names)] == shape[:1] else None
    return names or None


def _max_length(folder: Path, config: dict[str, Any], options: ModelPlan) -> int:
    positions = _length(config.get("max_position_embeddings"))
    said = _length(read_json(folder / "tokenizer_config.json").get("model_max_length"))
    if options.max_length is None:
        return min(LONGEST, positions or LONGEST, said or LONGEST)
    if positions and options.max_length > positions:
        raise ModelError(
            f"max_length is {options.max_length}, the model has {positions} positions",
            where=str(folder / "config.json"),
            fix=f"set max_length = {positions} or less under [model]",
        )
    return options.max_length


def _length(value: Any) -> int | None:
    """A number of tokens from a JSON file; some write infinity, or a text, for none."""
    known = isinstance(value, int | float) and math.isfinite(value) and value >= 1
    return int(value) if known else None


def _of_sklearn(source: Source, kind: TaskKind, options: ModelPlan) -> Signature:
    read, weights = plugins.find("format", source.format), source.path
    trusting = {"trusted": source.trusted} if source.format == "skops" else {}
    estimator = read(weights, **trusting)
    if INPUTS[kind] == "image":
        raise ModelError(
            "a scikit-learn model takes texts or numbers, not images", where=str(weights)
        )
    own = getattr(estimator, "classes_", None)
    return Signature(
        input=INPUTS[kind],
        classes=_classes(None if own is None else tuple(map(str, own.tolist())), options, weights),
        width=getattr(estimator, "n_features_in_", None) if INPUTS[kind] == "numeric" else None,
    )


def _of_tokens(
    ports: Sequence[Port], classes: tuple[str, ...], source: Source, options: ModelPlan
) -> Signature:
    names = tuple(port.name for port in ports)
    if len(ports) == 1 and ports[0].text:
        return Signature(input="text", classes=classes, tensors=names)
    for port in ports:
        _need_tokens(port, source.path)
    if source.tokenizer is None:
        raise ModelError(
            "takes tokens, and there is no tokenizer.json beside it",
            where=str(source.path),
            fix="put it there, or set tokenizer under [model]",
        )
    cut = (read_tokenizer(source.tokenizer).truncation or {}).get("max_length", LONGEST)
    length = options.max_length or min(LONGEST, cut)
    return Signature(input="text", classes=classes, tensors=names, max_length=length)


def _need_tokens(port: Port, path: Path) -> None:
    if port.name not in _TEXT_TENSORS:
        raise ModelError(
            f"takes an input called '{port.name}', which text does not give",
            where=str(path),
            fix=f"known: {', '.join(_TEXT_TENSORS)}",
        )
    if port.shape is not None and len(port.shape) > 1 and port.shape[1] is not None:
        raise ModelError(
            f"input '{port.name}' takes exactly {port.shape[1]} tokens",
            where=str(path),
            fix="export the model with a dynamic sequence axis",
        )


def _of_image(
    port: Port, classes: tuple[str, ...], source: Source, options: ModelPlan
) -> Signature:
    axes = port.shape[1:] if port.shape is not None and len(port.shape) == 4 else (None,) * 3
    # Channels come first as a rule; a last axis of 1 or 3 after a first that is neither says not.
    first = axes[0] in (1, 3) or axes[2] not in (1, 3)
    plane = axes[1:] + axes[:1] if first else axes
    shape = tuple(axis for axis in plane if axis is not None)
    if len(shape) < 3 and source.sample is not None:
        shape = source.sample.shape[1:]
    if len(shape) not in (2, 3):
        raise ModelError(
            f"does not tell the size of its images (input '{port.name}': {port.shape})",
            where=str(source.path),
            fix="export the model with fixed height, width and channels",
        )
    found = Signature(
        input="image",
        classes=classes,
        tensors=(port.name,),
        shape=shape[:2] if shape[2:] == (1,) else shape,
        channels_first=first,
        mean=tuple(options.mean or (0.0,)),
        std=tuple(options.std or (1.0,)),
    )
    check_scaling(found, "[model]")
    return found


def _of_numbers(port: Port, classes: tuple[str, ...], source: Source) -> Signature:
    width = port.shape[1] if port.shape is not None and len(port.shape) == 2 else None
    if width is None and source.sample is not None:
        width = source.sample.shape[1]
    if width is None:
        raise ModelError(
            f"does not tell how many columns it takes (input '{port.name}': {port.shape})",
            where=str(source.path),
            fix="export the model with a fixed number of columns",
        )
    return Signature(input="numeric", classes=classes, tensors=(port.name,), width=width)


def _need_free_batch(port: Port, weights: Path) -> None:
    if port.shape and port.shape[0] is not None:
        raise ModelError(
            f"input '{port.name}' takes exactly {port.shape[0]} rows a call",
            where=str(weights),
            fix="export the model with a dynamic batch axis",
        )


def _classes(found: tuple[str, ...] | None, options: ModelPlan, weights: Path) -> tuple[str, ...]:
    """The class names in the order of the columns, which only the model knows.

    The same names in another order come from the data, not from somebody who looked at the columns.
    """
    placeholders = found is not None and all(re.fullmatch(r"LABEL_\d+", name) for name in found)
    if options.classes is None and found is None:
        raise ModelError(
            "does not name its classes",
            where=str(weights),
            fix="list them under [model] as classes, in the order of the model's outputs",
        )
    if options.classes is None or (found and set(found) == set(options.classes)):
        return found or ()
    if found and not placeholders and len(found) != len(options.classes):
        raise ModelError(
            f"has {len(found)} classes ({', '.join(found[:5])}), the plan {len(options.classes)}",
            where=str(weights),
        )
    return tuple(options.classes)
