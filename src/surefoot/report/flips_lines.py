"""The answers that a candidate changed, as lines of plain text and as JSON-able data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from surefoot.bundle.encode import encode
from surefoot.core.dataset import Dataset
from surefoot.core.estimate import Estimate
from surefoot.core.parts import speaks_of
from surefoot.core.printable import printable
from surefoot.report.flips import KINDS, Flip, Flips, shown
from surefoot.report.terminal import table

MOST = 20
"""Rows of each kind in the terminal."""
WIDTH = 72
"""Characters of an input in the terminal."""
Inputs = Mapping[int, tuple[Dataset, Dataset]]
"""By the position of a place, its rows as the model was given them and as they came."""
Columns = Mapping[str, list[str]]
"""The names of numeric columns by test set."""


def flips_lines(flips: Flips, inputs: Inputs, columns: Columns) -> list[str]:
    """How many answers changed where, then the worst of each kind, one a line.

    Args:
        flips: What changed.
        inputs: The rows.
        columns: The names of numeric columns.
    """
    lines = [f"answers of {flips.candidate} that differ from {flips.baseline}'s:", *_counts(flips)]
    for kind in KINDS:
        found = flips.of(kind)
        if found:
            rows = [_row(flip, flips, inputs, columns) for flip in found[:MOST]]
            header = ("where", "id", "right", "was", "now", "moved", "input")
            lines += ["", f"{kind}:", *table(header, rows)]
            if len(found) > MOST:
                lines += [f"and {len(found) - MOST:,} more; --html or --json shows them"]
    return lines


def flips_json(flips: Flips, inputs: Inputs, columns: Columns) -> dict[str, Any]:
    """All of them, with the inputs that are not images.

    Args:
        flips: What changed.
        inputs: The rows.
        columns: The names of numeric columns.
    """
    listed = [
        {
            **encode(flip),
            "place": flips.places[flip.place].name,
            "input": input_text(flip, inputs, columns),
        }
        for flip in flips.flips
    ]
    return {**encode(flips), "flips": listed}


def share(estimate: Estimate) -> str:
    """A share with its interval: `3.1 % [2.4, 3.9]`."""
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.2f} % [{low:.2f}, {high:.2f}]"


def input_text(flip: Flip, inputs: Inputs, columns: Columns, *, came: bool = False) -> str | None:
    """The input of a row as text; None for an image.

    Args:
        flip: The row.
        inputs: The rows of all places.
        columns: The names of numeric columns.
        came: As it came, rather than as the model was given it.
    """
    dataset = inputs[flip.place][came]
    named = next((c for name, c in columns.items() if speaks_of(name, dataset.name)), [])
    return shown(dataset.inputs, flip.row, named)


def _counts(flips: Flips) -> list[str]:
    rows = [
        [
            place.name,
            f"{place.n:,}",
            *(f"{place.counts[kind]:,} = {share(place.shares[kind])}" for kind in KINDS),
        ]
        for place in flips.places
    ]
    return table(("", "rows", *KINDS), rows)


def _row(flip: Flip, flips: Flips, inputs: Inputs, columns: Columns) -> list[str]:
    text = input_text(flip, inputs, columns)
    words = (flips.places[flip.place].name, flip.id, flip.label, flip.before, flip.after)
    return [*map(_cut, words), f"{flip.moved:+.2f}", "(image)" if text is None else _cut(text)]


def _cut(text: str) -> str:
    safe = "".join(_safe(text))
    return safe if len(safe) <= WIDTH else f"{safe[: WIDTH - 1]}…"


def _safe(text: str) -> Iterator[str]:
    """The first characters of a text, blanks and ends of lines as one blank."""
    yield printable(" ".join(text[: 4 * WIDTH].split()))
