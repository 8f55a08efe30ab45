"""Drafts a plan from a model and a data file, for `surefoot init`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surefoot.core.errors import DataError, ModelError, PlanError, nearest
from surefoot.data.columns import describe, distinct
from surefoot.data.tables import TABLES
from surefoot.models.formats.huggingface import HEAD
from surefoot.models.told import Told, tell
from surefoot.plan import read_plan
from surefoot.plan.problems import model_format
from surefoot.store import whole_file

TEXT_COLUMNS = ("text", "body", "sentence", "content", "utterance", "query", "message")
LABEL_COLUMNS = ("label", "category", "class", "intent", "target", "y")
MOST_CLASSES = 1000
ROW_NAMES = ("id", "index")
"""Columns that number rows, unless a model was fitted on them."""
NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT|INTEGER|UINTEGER|FLOAT|DOUBLE|DECIMAL|BOOLEAN")

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
    told = _told(model)
    kind = "text-classification" if told.input == "text" else "tabular-classification"
    columns = _columns(test, told)
    here = file.resolve().parent
    text = TEMPLATE.format(
        file=file.name,
        kind=kind,
        train="" if train is None else f"train = {_source(train, kind, columns, here)}\n",
        test=_source(test, kind, columns, here),
        model=_toml(_relative(model, here)),
        extra=_trust_line(told) + _classes_line(model, test, columns),
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


def _told(model: Path) -> Told:
    format = model_format(model)
    if format is None:
        raise ModelError(
            f"unknown suffix '{model.suffix}'",
            where=str(model),
            fix="a Hugging Face folder, .onnx, .pt2 and .skops are known",
        )
    told = tell(model, format)
    if told.input == "image":
        raise ModelError(
            "takes images, and rows of a table are texts or numbers",
            where=str(model),
            fix="write the plan by hand: docs/plan.md",
        )
    if told.input == "text" and format in ("skops", "pickle"):
        raise ModelError(
            "takes raw texts in scikit-learn, of which no step makes a leaner model yet",
            where=str(model),
            fix="draft a plan for a model that takes tokens or numbers",
        )
    return told


def _columns(data: Path, told: Told) -> Columns:
    found = describe(data)
    label = _label(data, found, told.classes)
    if told.input == "text":
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
        if NUMBERS.match(type_) and n not in (label, *(() if n in told.columns else ROW_NAMES))
    )
    if not numbers:
        raise DataError("no column of numbers", where=str(data), fix=f"found {', '.join(found)}")
    return Columns(label=label, inputs=_fitting(data, numbers, told))


def _fitting(data: Path, numbers: tuple[str, ...], told: Told) -> tuple[str, ...]:
    """The columns of numbers that a model takes, in its order."""
    missing = [name for name in told.columns if name not in numbers]
    if missing:
        raise DataError(
            f"has no column of numbers '{missing[0]}', which the model was fitted on",
            where=str(data),
            fix=nearest(missing[0], numbers),
        )
    if told.columns:
        return told.columns
    if told.width not in (None, len(numbers)):
        raise DataError(
            f"has {len(numbers)} columns of numbers ({', '.join(numbers)}), and the model takes"
            f" {told.width}",
            where=str(data),
            fix="leave the others out of the file",
        )
    return numbers


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


def _trust_line(told: Told) -> str:
    """A model that may run code is opened by those alone who say that they trust it."""
    if not told.danger:
        return ""
    return (
        f"# The file {told.danger}.\n# If you trust its origin, take the # away:\n# trust = true\n"
    )


def _classes_line(model: Path, data: Path, columns: Columns) -> str:
    """Most files do not name their classes: propose the labels in sorted order, and say so."""
    if model_format(model) in ("huggingface", "skops", "pickle"):
        return ""
    names = _toml(distinct(data, columns.label))
    question = "# The file does not name its classes: is this the order of its outputs?"
    return f"{question}\nclasses = {names}\n"
