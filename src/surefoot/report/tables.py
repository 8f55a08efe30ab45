"""Tables of words, the same for the terminal, a page and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from surefoot.report.terminal import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of words; whoever shows it makes them safe where they stand."""

    title: str
    """What it is about; empty where its header says so."""
    header: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Its rows; those of no column are left out by whoever shows it."""
    notes: tuple[str, ...] = ()
    """What to know besides, a line each."""

    def kept(self) -> list[int]:
        """The columns that hold anything."""
        return [i for i in range(len(self.header)) if any(row[i] for row in self.rows)]


def as_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()
) -> Table:
    """A table of rows of any kind.

    Args:
        title: What it is about.
        header: Names of the columns.
        rows: As many words each.
        notes: What to know besides.
    """
    lines = tuple(tuple(row) for row in rows)
    return Table(title=title, header=tuple(header), rows=lines, notes=tuple(notes))


def table_lines(tables: Iterable[Table]) -> list[str]:
    """Tables for the terminal, an empty line between them.

    Args:
        tables: In order.
    """
    lines: list[str] = []
    for one in tables:
        title = [f"{one.title}:"] if one.title else []
        lines += [*([""] if lines else []), *title, *table(one.header, one.rows), *one.notes]
    return lines
