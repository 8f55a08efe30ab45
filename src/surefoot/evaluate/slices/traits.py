"""What can be seen of a row's input: the conditions that a search for slices may join.

A condition looks at the input, the label or the declared slices, and never at an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.parts import CLASS
from surefoot.core.printable import printable

MOST_COLUMNS = 50
"""Numeric columns that are looked at, the first ones; each gives four conditions."""
MOST_CLASSES = 50
"""Classes that are looked at, the most frequent ones."""
NEGATION = re.compile(
    r"\b(no|not|never|none|nothing|nobody|nowhere|neither|nor|without|cannot|\w+n['\u2019]t)\b",
    re.IGNORECASE,
)
"""English words of negation; texts of another language lack them, and the condition with them."""
_WORDS: Mapping[str, Callable[[str], bool]] = {
    "digits": lambda text: any(map(str.isdigit, text)),
    "non-ASCII": lambda text: not text.isascii(),
    "question mark": lambda text: "?" in text,
    "exclamation mark": lambda text: "!" in text,
    "negation": lambda text: NEGATION.search(text) is not None,
    "link or @name": lambda text: re.search(r"https?://|www\.|(?<!\w)@\w", text) is not None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """A condition that rows do or do not meet."""

    name: str
    """What it is called, for example `digits` or `length in its lowest quarter`."""
    about: str
    """What it is about: two conditions about the same thing are never joined."""
    mask: np.ndarray
    """(n,) bool."""


def traits(dataset: Dataset, columns: Sequence[str] = ()) -> list[Trait]:
    """Every condition that some rows meet and others do not; of equal ones the first.

    Args:
        dataset: The rows.
        columns: The names of numeric columns, where they are known.
    """
    found, seen = [], set[bytes]()
    for trait in (*_declared(dataset), *_classes(dataset), *_of_inputs(dataset, columns)):
        content = np.packbits(trait.mask).tobytes()
        if trait.mask.any() and not trait.mask.all() and content not in seen:
            found.append(trait)
            seen.add(content)
    return found


def _declared(dataset: Dataset) -> Iterator[Trait]:
    for name, mask in dataset.slices.items():
        about = "class" if name.startswith(CLASS) else name
        yield Trait(name=name, about=about, mask=mask)


def _classes(dataset: Dataset) -> Iterator[Trait]:
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    for index in np.argsort(-counts, kind="stable")[:MOST_CLASSES]:
        name = f"{CLASS}{printable(dataset.classes[index])}"
        yield Trait(name=name, about="class", mask=dataset.labels == index)


def _of_inputs(dataset: Dataset, columns: Sequence[str]) -> Iterator[Trait]:
    if dataset.inputs.dtype.kind == "T":
        yield from _of_texts(dataset.inputs)
    elif dataset.inputs.dtype == np.uint8:
        yield from _of_images(dataset.inputs)
    else:
        for i in range(min(dataset.inputs.shape[1], MOST_COLUMNS)):
            name = columns[i] if i < len(columns) else f"column {i + 1}"
            yield from _quarters(name, dataset.inputs[:, i])


def _of_texts(texts: np.ndarray) -> Iterator[Trait]:
    words: list[str] = texts.tolist()
    yield from _quarters("length", np.array([len(text) for text in words]))
    upper = [sum(map(str.isupper, text)) / max(len(text), 1) for text in words]
    yield from _quarters("share of capitals", np.array(upper))
    for name, holds in _WORDS.items():
        mask = np.array([holds(text) for text in words], dtype=bool)
        yield Trait(name=name, about=name, mask=mask)
        yield Trait(name=f"no {name}", about=name, mask=~mask)


def _of_images(images: np.ndarray) -> Iterator[Trait]:
    grey = images.astype(np.float32)
    grey = grey.mean(axis=3) if grey.ndim == 4 else grey
    edges = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2))
    edges = edges + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    yield from _quarters("brightness", grey.mean(axis=(1, 2)))
    yield from _quarters("contrast", grey.std(axis=(1, 2)))
    yield from _quarters("edges", edges)


def _quarters(name: str, values: np.ndarray) -> Iterator[Trait]:
    """The four quarters of the rows by a number, with their limits; fewer where many are equal."""
    limits = np.unique(np.quantile(values, [0.25, 0.5, 0.75]))
    quarter = np.searchsorted(limits, values, side="left")
    for i in range(len(limits) + 1):
        low = f"{limits[i - 1]:.4g} < " if i else ""
        high = f" <= {limits[i]:.4g}" if i < len(limits) else ""
        yield Trait(name=f"{low}{name}{high}", about=name, mask=quarter == i)
