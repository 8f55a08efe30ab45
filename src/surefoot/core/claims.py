"""What a bundle claims, and what became of each claim when it was looked into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from surefoot.core.drift import Change, Drift, Sample

Status = Literal["REPRODUCED", "DIFFERS", "NOT RUN"]
Basis = Literal["files", "again", "recipe"]
"""From the bundle's own files; by running its models here; by making its model here anew."""
What = Literal["changed", "missing", "added", "a link", "cannot be read", "not signed by the key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file that is not as the manifest says."""

    file: str
    """Its name inside the bundle."""
    what: What
    """What is wrong with it."""
    why: str = ""
    """More about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One statement of a bundle."""

    basis: Basis
    """How it was looked into."""
    candidate: str
    """Whom it is about; empty where it is about all."""
    subject: str
    """What it is about, as in a verdict: `accuracy on tweets [short]`."""
    status: Status
    """What became of it."""
    there: str = ""
    """What the bundle says."""
    here: str = ""
    """What was found."""
    why: str = ""
    """By how much it differs and beyond what, or why it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Everything that was found out about a bundle."""

    faults: tuple[Fault, ...]
    """Files that are not as the manifest says; nothing else is looked into where there are some."""
    files: int
    """Files that the manifest names."""
    signature: str = ""
    """Who signed it, or that nobody did."""
    notes: tuple[str, ...] = ()
    """What else a reader should know."""
    models: tuple[str, ...] = ()
    """The candidates whose models the bundle holds, the baseline first."""
    environment: tuple[Change, ...] = ()
    """What differs between the machine of the bundle and this one."""
    claims: tuple[Claim, ...] = ()
    """Every claim that was looked into, and those that could not be."""
    sample: Sample | None = None
    """Which rows were asked again; None for all."""
    drift: Drift | None = None
    """The cells that were measured again; None where none was to be."""
