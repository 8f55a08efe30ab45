"""Drafts a plan from a model and a data file, for `surefoot init`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surefoot import plugins
from surefoot.core.errors import DataError, ModelError, PlanError
from surefoot.data.columns import describe, distinct
from surefoot.data.tables import TABLES
from surefoot.models.formats.huggingface import HEAD
from surefoot.plan import read_plan
from surefoot.store import whole_file

TEXT_COLUMNS = ("text", "body", "sentence", "content", "utterance", "query", "message")
LABEL_COLUMNS = ("label", "category", "class", "intent", "target", "y")
MOST_CLASSES = 1000
NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT|INTEGER|UINTEGER|FLOAT|DOUBLE|DECIMAL")

TEMPLATE = """\
# Written by `surefoot init`; `surefoot run {file}` makes the candidates and judges them.
[task]
kind = "{kind}"
{train}test.main = {test}

[model]
path = {model}
{extra}
# Every budget has to be shown to hold, in every test set, or the verdict is no PASS.
[[budget]]
quantity = "accuracy"
max_drop = 0.01

[[budget]]
quantity = "speedup"
at_least = 1.5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a data file are taken for."""

    label: str
    """The column of class names."""
    inputs: tuple[str, ...]
    """The text column, or the numeric columns."""


def draft_plan(model: Path, test: Path, file: Path, *, train: Path | None = None) -> Path:
    """Write a plan for a model and a data file, and make sure that it can be read back.

    Args:
        model: A Hugging Face folder, .onnx, .pt2 or .skops file.
        test: Rows to judge on: csv, jsonl or parquet.
        file: The plan to write; it must not exist.
        train: Rows that steps may learn from.

    Raises:
        PlanError: The plan exists already.
        ModelError: There is no such model.
        DataError: There is no such file, or no column that could be the text or the label.
    """
    if file.exists():
        raise PlanError(
            "exists already; remove it, or name another file with --out", where=str(file)
        )
    if not model.exists():
        raise ModelError("no such model", where=str(model))
    _check_head(model)
    kind = "text-classification" if _takes_text(model) else "tabular-classification"
    columns = _columns(test, kind, _model_classes(model))
    here = file.resolve().parent
    text = TEMPLATE.format(
        file=file.name,
        kind=kind,
        train="" if train is None else f"train = {_source(train, kind, columns, here)}\n",
        test=_source(test, kind, columns, here),
        model=_toml(_relative(model, here)),
        extra=_classes_line(model, test, columns),
    )
    with whole_file(file) as part:
        part.write_text(text, encoding="utf-8")
    try:
        read_plan(file)
    except PlanError:
        file.unlink()
        raise
    return file


def _check_head(model: Path) -> None:
    """Refuse an encoder without a head, which could not be judged: it knows no classes."""
    try:
        built = json.loads((model / "config.json").read_text(encoding="utf-8"))["architectures"]
        heads = [name for name in built if name.endswith("ForSequenceClassification")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return
    if not heads and not (model / HEAD).exists():
        raise ModelError(
            f"is an encoder without a head ({', '.join(built)})",
            where=str(model),
            fix=f"fine-tune it for classification, or put a {HEAD} into the folder: docs/plan.md",
        )


def _takes_text(model: Path) -> bool:
    return model.is_dir() or (model.parent / "tokenizer.json").exists()


def _model_classes(model: Path) -> tuple[str, ...]:
    """The classes that a Hugging Face folder or a skops file names, if it does."""
    if model.suffix.lower() == ".skops":
        return _skops_classes(model)
    try:
        named = json.loads((model / "config.json").read_text(encoding="utf-8"))["id2label"]
        return tuple(str(named[key]) for key in sorted(named, key=int))
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _skops_classes(model: Path) -> tuple[str, ...]:
    """None where the file holds types that only a plan with `trust = true` may make."""
    try:
        estimator = plugins.find("format", "skops")(model)
    except ModelError:
        return ()
    return tuple(map(str, getattr(estimator, "classes_", ())))


def _columns(data: Path, kind: str, classes: Sequence[str]) -> Columns:
    found = describe(data)
    label = _label(data, found, classes)
    if kind == "text-classification":
        texts = [
            name for name, (type_, _, _) in found.items() if type_ == "VARCHAR" and name != label
        ]
        if not texts:
            raise DataError("no column of text", where=str(data), fix=f"found {', '.join(found)}")
        named = [name for name in texts if name.lower() in TEXT_COLUMNS]
        longest = max(texts, key=lambda name: found[name][2])
        return Columns(label=label, inputs=((named or [longest])[0],))
    numbers = tuple(
        n
        for n, (type_, _, _) in found.items()
        if NUMBERS.match(type_) and n not in (label, "id", "index")
    )
    if not numbers:
        raise DataError("no column of numbers", where=str(data), fix=f"found {', '.join(found)}")
    return Columns(label=label, inputs=numbers)


def _label(data: Path, found: dict[str, tuple[str, int, float]], classes: Sequence[str]) -> str:
    """The column named like a label, else the one whose values fit the model's classes best."""
    named = [name for name in found if name.lower() in LABEL_COLUMNS]
    few = [name for name in found if name in named or 1 < found[name][1] <= MOST_CLASSES]
    if classes:
        # Counts are approximate, so a column is looked at if it may have few enough values.
        near = [name for name in few if found[name][1] <= 2 * len(classes)]
        few = [name for name in near if {*distinct(data, name)} <= {*classes}]
    # A column named so, whatever it holds: the run will say which of its labels is unknown.
    candidates = few or named
    if not candidates:
        raise DataError(
            "no column that could be the label",
            where=str(data),
            fix=f"found {', '.join(found)}; name one 'label'",
        )

    def unlikely(name: str) -> tuple[bool, bool, bool, int]:
        """A label is rather named so, is text rather than a number, whole rather than not."""
        type_, values, _ = found[name]
        return (
            name not in named,
            type_ != "VARCHAR",
            "INT" not in type_ and type_ != "BOOLEAN",
            -values if classes else values,
        )

    return min(candidates, key=unlikely)


def _source(data: Path, kind: str, columns: Columns, here: Path) -> str:
    use = TABLES.get(data.suffix.lower())
    if use is None:
        raise DataError(
            f"cannot read '{data.suffix}' files", where=str(data), fix=f"known: {', '.join(TABLES)}"
        )
    inputs = f"text = {_toml(columns.inputs[0])}"
    if kind != "text-classification":
        inputs = f"columns = {_toml(list(columns.inputs))}"
    path = _toml(_relative(data, here))
    return f'{{ use = "{use}", path = {path}, {inputs}, label = {_toml(columns.label)} }}'


def _toml(value: str | list[str]) -> str:
    """Text as TOML takes it: JSON, but for what lies beyond 16 bits and for one control sign."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _relative(path: Path, here: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _classes_line(model: Path, data: Path, columns: Columns) -> str:
    """An ONNX file does not name its classes: propose the labels in sorted order, and say so."""
    if model.suffix.lower() != ".onnx":
        return ""
    names = _toml(distinct(data, columns.label))
    question = "# The file does not name its classes: is this the order of its outputs?"
    return f"{question}\nclasses = {names}\n"
