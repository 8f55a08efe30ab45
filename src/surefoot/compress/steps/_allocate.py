"""How wide each part of a pruned model is to be: the same share of all, or what time asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from surefoot.compress.steps._damage import Damage
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


def fastest(damage: Sequence[Damage], times: Times, limit: float) -> Widths | None:
    """The widths that do the least damage among those that stay within a time.

    A small search in the manner of ZipLM (Kurtic, Frantar and Alistarh 2023, "ZipLM:
    Inference-Aware Structured Pruning of Language Models"), which takes the damage of units to add
    up: narrow whatever is damaged least for each millisecond won, until the time is kept; then
    widen what can be widened, and exchange a step of one unit for a step of another as long as that
    does less damage.

    Args:
        damage: What each width of each unit costs.
        times: The time of any widths.
        limit: The most milliseconds.

    Returns:
        The width of each unit, in blocks; None where even the narrowest take longer.
    """
    widths: Widths = tuple(max(costs) for costs in damage)
    while times.milliseconds(widths) > limit:
        step = _narrower(damage, times, widths)
        if step is None:
            return None
        widths = step
    while True:
        better = next(_better(damage, times, limit, widths), None)
        if better is None:
            return widths
        widths = better


def _narrower(damage: Sequence[Damage], times: Times, widths: Widths) -> Widths | None:
    """The widths after the step down that costs least for each millisecond."""
    now, best, found = times.milliseconds(widths), float("inf"), None
    for place, costs in enumerate(damage):
        for width in _below(costs, widths[place]):
            changed = _with(widths, place, width)
            won = now - times.milliseconds(changed)
            price = (costs[width] - costs[widths[place]]) / won if won > 0 else float("inf")
            if price < best:
                best, found = price, changed
    return found


def _better(
    damage: Sequence[Damage], times: Times, limit: float, widths: Widths
) -> Iterator[Widths]:
    """Widths within the time that do less damage: one unit wider, with or without one narrower."""
    now = _total(damage, widths)
    for place, costs in enumerate(damage):
        above = [width for width in costs if width > widths[place]]
        if not above:
            continue
        wider = _with(widths, place, min(above))
        steps = [(other, _below(costs, wider[other])) for other, costs in enumerate(damage)]
        narrower = [_with(wider, other, max(below)) for other, below in steps if below]
        for changed in (wider, *narrower):
            # By more than rounding, so that it ends.
            less = _total(damage, changed) < now - 1e-9 * max(1.0, abs(now))
            if less and times.milliseconds(changed) <= limit:
                yield changed


def _below(costs: Damage, width: int) -> list[int]:
    return [other for other in costs if other < width]


def _with(widths: Widths, place: int, width: int) -> Widths:
    return (*widths[:place], width, *widths[place + 1 :])


def _total(damage: Sequence[Damage], widths: Widths) -> float:
    return sum(costs[width] for costs, width in zip(damage, widths, strict=True))


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
