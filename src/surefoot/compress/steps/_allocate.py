"""How wide each part of a pruned model is to be: the same share of all, or what time asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from surefoot.compress.steps._layer_times import SHARES
from surefoot.compress.steps._units import Unit

Widths = tuple[int, ...]


class Times:
    """The time of all layers at given widths, from a table per layer.

    Args:
        units: What can be pruned.
        tables: Milliseconds of each layer at shares of its inputs and outputs.
    """

    def __init__(self, units: Sequence[Unit], tables: Mapping[str, np.ndarray]) -> None:
        self._units = units
        self._layers: list[tuple[np.ndarray, int | None, int | None]] = []
        for name, table in tables.items():
            reads = [place for place, unit in enumerate(units) if name in unit.reads]
            writes = [place for place, unit in enumerate(units) if name in unit.writes]
            ends = (reads[0] if reads else None), (writes[0] if writes else None)
            self._layers.append((table, *ends))

    def milliseconds(self, widths: Widths) -> float:
        """The sum over all layers, each taken to be on a line between the two nearest shares."""
        shares = [width / unit.blocks for width, unit in zip(widths, self._units, strict=True)]
        total = 0.0
        for table, reads, writes in self._layers:
            taken = 1.0 if reads is None else shares[reads]
            given = 1.0 if writes is None else shares[writes]
            total += _between(table, taken, given)
        return total


def uniform(units: Sequence[Unit], ratio: float) -> Widths:
    """The width of each unit that is nearest to keeping 1 - ratio of it."""
    return tuple(
        min(unit.widths(), key=lambda width: abs(width - (1 - ratio) * unit.blocks))
        for unit in units
    )


def fastest(units: Sequence[Unit], times: Times, limit: float) -> Widths | None:
    """The widths that lose the least importance among those that stay within a time.

    A small search in the manner of ZipLM (Kurtic, Frantar and Alistarh 2023, "ZipLM:
    Inference-Aware Structured Pruning of Language Models"): narrow whatever loses least for each
    millisecond won, until the time is kept; then widen what can be widened, and exchange a step of
    one unit for a step of another as long as that loses less.

    Args:
        units: What can be pruned.
        times: The time of any widths.
        limit: The most milliseconds.

    Returns:
        The width of each unit, in blocks; None where even the narrowest take longer.
    """
    choices = [unit.widths() for unit in units]
    widths = tuple(choice[0] for choice in choices)
    time = times.milliseconds(widths)
    while time > limit:
        step = _narrower(units, choices, times, widths)
        if step is None:
            return None
        widths, time = step, times.milliseconds(step)
    return _improved(units, choices, lambda w: times.milliseconds(w) <= limit, widths)


def _narrower(
    units: Sequence[Unit], choices: Sequence[Sequence[int]], times: Times, widths: Widths
) -> Widths | None:
    """The widths after the step down that loses least for each millisecond."""
    now, best, found = times.milliseconds(widths), float("inf"), None
    for place, unit in enumerate(units):
        for width in choices[place]:
            if width >= widths[place]:
                continue
            changed = _with(widths, place, width)
            won = now - times.milliseconds(changed)
            if won <= 0:
                continue
            price = (unit.lost(width) - unit.lost(widths[place])) / won
            if price < best:
                best, found = price, changed
    return found


def _improved(
    units: Sequence[Unit],
    choices: Sequence[Sequence[int]],
    holds: Callable[[Widths], bool],
    widths: Widths,
) -> Widths:
    """Widths that no step up alone, and no step up against one down, makes better."""
    while True:
        better = None
        for up in range(len(units)):
            wider = [width for width in choices[up] if width > widths[up]][-1:]
            for changed in (_with(widths, up, width) for width in wider):
                better = changed if holds(changed) else _exchanged(units, choices, holds, changed)
                better = better if better and _lost(units, better) < _lost(units, widths) else None
            if better is not None:
                break
        if better is None:
            return widths
        widths = better


def _exchanged(
    units: Sequence[Unit],
    choices: Sequence[Sequence[int]],
    holds: Callable[[Widths], bool],
    widths: Widths,
) -> Widths | None:
    """Of the widths with one unit a step down, those that hold and lose least."""
    down = [
        _with(widths, place, narrower[0])
        for place in range(len(units))
        if (narrower := [width for width in choices[place] if width < widths[place]])
    ]
    return min(filter(holds, down), key=lambda w: _lost(units, w), default=None)


def _with(widths: Widths, place: int, width: int) -> Widths:
    return (*widths[:place], width, *widths[place + 1 :])


def _lost(units: Sequence[Unit], widths: Widths) -> float:
    return sum(unit.lost(width) for unit, width in zip(units, widths, strict=True))


def _between(table: np.ndarray, taken: float, given: float) -> float:
    row, row_share = _place(taken)
    column, column_share = _place(given)
    upper = table[row, column] * (1 - column_share) + table[row, column + 1] * column_share
    lower = table[row + 1, column] * (1 - column_share) + table[row + 1, column + 1] * column_share
    return float(upper * (1 - row_share) + lower * row_share)


def _place(share: float) -> tuple[int, float]:
    """The interval of shares that one lies in, and how far; less than all counts as the least."""
    place = int(np.searchsorted(SHARES, share, side="right")) - 1
    place = min(max(place, 0), len(SHARES) - 2)
    part = (share - SHARES[place]) / (SHARES[place + 1] - SHARES[place])
    return place, max(0.0, part)
