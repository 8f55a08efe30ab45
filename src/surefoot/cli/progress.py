"""Renders progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from surefoot.core.progress import Progress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown() -> Iterator[Progress]:
    """Progress for one command."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Rich(*columns, console=Console(stderr=True), transient=True) as rich:
        yield Bar(rich)


class Lines:
    """A line when work begins, and one every ten seconds with the time left."""

    def __init__(self) -> None:
        self._title, self._total, self._done = "", 0, 0
        self._started = self._printed = 0.0

    def start(self, title: str, total: int) -> None:
        """Print the title."""
        self._title, self._total, self._done = title, total, 0
        self._started = self._printed = time.monotonic()
        click.echo(title, err=True)

    def advance(self, units: int = 1) -> None:
        """Print how far the work is, when ten seconds have passed since the last line."""
        self._done += units
        now = time.monotonic()
        if now - self._printed >= SECONDS_BETWEEN_LINES and self._done:
            left = (now - self._started) * (self._total - self._done) / self._done
            click.echo(
                f"{self._title}: {self._done:,} of {self._total:,}, about {left:.0f} s left",
                err=True,
            )
            self._printed = now

    def note(self, line: str) -> None:
        """Print the line."""
        click.echo(line, err=True)


class Bar:
    """One bar that each piece of work takes over from the last."""

    def __init__(self, rich: Any) -> None:
        self._rich, self._task = rich, rich.add_task("", total=None)

    def start(self, title: str, total: int) -> None:
        """Begin the bar anew."""
        self._rich.reset(self._task, description=title, total=total, completed=0)

    def advance(self, units: int = 1) -> None:
        """Move the bar."""
        self._rich.advance(self._task, units)

    def note(self, line: str) -> None:
        """Print the line above the bar."""
        self._rich.console.print(line, markup=False, highlight=False)
