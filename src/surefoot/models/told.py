"""What a model's own file tells of it before it is adopted, for whoever drafts a plan."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot import plugins
from surefoot.core.errors import ModelError
from surefoot.core.model import InputKind
from surefoot.models.formats.skops import untrusted_types
from surefoot.models.signatures import class_names, input_ports, read_json
from surefoot.models.store import TOKENIZER

_VECTORISERS = b"sklearn.feature_extraction.text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a model's file tells."""

    input: InputKind
    """The kind of its inputs."""
    classes: tuple[str, ...] = ()
    """Its classes, where it names them."""
    width: int | None = None
    """Numbers: how many columns it takes, where it tells."""
    columns: tuple[str, ...] = field(default=())
    """Numbers: their names in its order, where it was fitted on named ones."""
    danger: str = ""
    """Why it is only opened with `trust = true`; empty where it is opened without."""


def tell(path: Path, format: str) -> Told:
    """Look into a model's file; what only running its code would tell is left open.

    Args:
        path: The file, or the folder of a Hugging Face model.
        format: Its format.

    Raises:
        ModelError: The file is broken, or it takes several inputs that are no tokens.
    """
    if format == "huggingface":
        return Told(input="text", classes=_huggingface_classes(path))
    if format == "skops":
        return _of_skops(path)
    texts: InputKind = "text" if (path.parent / TOKENIZER).exists() else "numeric"
    danger = str(getattr(plugins.module("format", format), "RUNS_CODE", ""))
    if danger or texts == "text":
        return Told(input=texts, danger=danger)
    ports = input_ports(path, format)
    if len(ports) == 1 and ports[0].text:
        return Told(input="text")
    if len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise ModelError(
            f"takes {len(ports)} inputs ({names}) and no {TOKENIZER} lies beside it",
            where=str(path),
            fix="put the tokenizer there if it takes tokens",
        )
    shape = ports[0].shape
    if shape is not None and len(shape) > 2:
        return Told(input="image")
    return Told(input="numeric", width=shape[1] if shape and len(shape) == 2 else None)


def _huggingface_classes(folder: Path) -> tuple[str, ...]:
    try:
        return class_names(read_json(folder / "config.json"))
    except ModelError:  # the run says what is wrong with it
        return ()


def _of_skops(path: Path) -> Told:
    foreign = untrusted_types(path)
    if foreign:
        danger = f"holds types that skops does not know to be safe: {', '.join(foreign)}"
        return Told(input="text" if _has_vectoriser(path) else "numeric", danger=danger)
    estimator: Any = plugins.find("format", "skops")(path)
    classes = tuple(map(str, getattr(estimator, "classes_", ())))
    # What begins with a vectoriser of texts has no columns to count.
    width = getattr(estimator, "n_features_in_", None)
    if width is None and _has_vectoriser(path):
        return Told(input="text", classes=classes)
    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    return Told(input="numeric", classes=classes, width=width, columns=names)


def _has_vectoriser(path: Path) -> bool:
    """Whether a skops file names one of scikit-learn's readers of texts; nothing is made of it."""
    with zipfile.ZipFile(path) as archive:
        return _VECTORISERS in archive.read("schema.json")
