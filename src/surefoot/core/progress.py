"""How long work tells whoever watches that it is alive."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a stage reports to; the command line renders it."""

    def start(self, title: str, total: int) -> None:
        """A piece of work of `total` units begins; the one before it has ended."""

    def advance(self, units: int = 1) -> None:
        """So many units are done."""

    def note(self, line: str) -> None:
        """One line that stays, for example what was cached or removed."""


class Silent:
    """Progress that nobody watches."""

    def start(self, title: str, total: int) -> None:
        """Do nothing."""

    def advance(self, units: int = 1) -> None:
        """Do nothing."""

    def note(self, line: str) -> None:
        """Do nothing."""
