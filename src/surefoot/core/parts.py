"""The names of places that only the data know: parts of a test set, slices of a class."""

from __future__ import annotations

CLASS = "class="
"""Begins the name of a slice that holds the rows of one class."""


def part_name(source: str, column: str, value: str) -> str:
    """What the rows of one value are called: `flights month=1`.

    Args:
        source: The test set's name in the plan.
        column: The column that splits it.
        value: The value that these rows have in it.
    """
    return f"{source} {column}={value}"


def speaks_of(asked: str | None, dataset: str) -> bool:
    """Whether a budget's `dataset` means this test set: by its name, or as a part of that source.

    A plan whose own names read like parts of each other is refused, so the name tells.

    Args:
        asked: What the budget says; None means each test set.
        dataset: The name of the test set.
    """
    return asked in (None, dataset) or is_part(str(asked), dataset)


def is_part(source: str, dataset: str) -> bool:
    """Whether a test set's name is that of a part of a source."""
    return dataset.startswith(f"{source} ") and "=" in dataset[len(source) :]
