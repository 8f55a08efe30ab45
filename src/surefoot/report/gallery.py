"""The answers that changed most, as a report may show them: no row's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surefoot.core.errors import BundleError
from surefoot.report.flips import KINDS, Flip, Kind, changed_in
from surefoot.report.places import PlaceLine

PLACES = 3
"""Places that are read: those with most lost answers."""
EACH = 8
"""Rows of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One changed answer."""

    kind: Kind
    """Lost, won or other."""
    where: str
    """The test set, and the shift."""
    id: str
    """Its id."""
    label: str
    """The right class."""
    before: str
    """The baseline's answer."""
    after: str
    """The candidate's answer."""
    moved: float
    """How much probability went from the right class to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Changed answers of one candidate."""

    shown: tuple[Shown, ...]
    """Those that moved furthest, of each kind."""
    counts: Mapping[str, int]
    """All of each kind in these places."""
    places: tuple[str, ...]
    """Where was looked."""
    note: str
    """Why none is shown, or what is not."""


NOT_READ = Gallery(shown=(), counts={}, places=(), note="changed answers were not read")


def gallery(
    folder: Path, data: Mapping[str, Any], places: Sequence[PlaceLine], candidate: str
) -> Gallery:
    """The changed answers that moved furthest, where most were lost.

    Args:
        folder: The bundle's.
        data: As `verdict.json` holds it.
        places: All places.
        candidate: Whose answers.
    """
    first = places[0].metric if places else ""
    whole = [p for p in places if p.candidate == candidate and p.slice is None]
    worst = sorted((p for p in whole if p.metric == first), key=lambda p: (-p.lost, -p.won))
    here = [(p.dataset, p.shift, p.severity) for p in worst[:PLACES] if p.lost + p.won]
    names = tuple(p.name for p in worst[:PLACES] if p.lost + p.won)
    if not here:
        return Gallery(shown=(), counts={}, places=(), note="no answer changed")
    if (data.get("evidence") or {}).get("kind") == "hashed":
        note = "which answers changed is not told: the evidence is hashed"
        return Gallery(shown=(), counts={}, places=names, note=note)
    try:
        found = changed_in(folder, data["candidates"][0]["name"], candidate, here)
    except (BundleError, KeyError):
        note = "the bundle does not tell which answers changed: it lacks the cells"
        return Gallery(shown=(), counts={}, places=names, note=note)
    return Gallery(
        shown=tuple(_shown(found, names)),
        counts={kind: sum(flip.kind == kind for flip in found) for kind in KINDS},
        places=names,
        note="the rows' own inputs are not shown: surefoot flips does that, where the data are",
    )


def _shown(flips: Sequence[Flip], names: Sequence[str]) -> list[Shown]:
    return [
        Shown(
            kind=kind,
            where=names[flip.place],
            id=flip.id,
            label=flip.label,
            before=flip.before,
            after=flip.after,
            moved=flip.moved,
        )
        for kind in KINDS
        for flip in [one for one in flips if one.kind == kind][:EACH]
    ]
