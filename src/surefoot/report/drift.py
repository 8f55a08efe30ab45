"""Earlier evidence against this machine, for the terminal."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from surefoot.core.drift import CellDrift, Drift, Moved
from surefoot.core.estimate import Estimate
from surefoot.core.printable import printable
from surefoot.report.terminal import table


def drift_lines(found: Drift) -> list[str]:
    """What differs between the machines, then which cells moved; first and last the summary."""
    summary = _summary(found)
    header = ("", "candidate", "on", "rows", "other answers", "accuracy", "change", "largest", "")
    parts = [
        [summary],
        _environment(found),
        table(header, [*_rows(found)]),
        [*_remarks(found)],
        [summary],
    ]
    return "\n\n".join("\n".join(part) for part in parts).splitlines()


def drift_exit_code(found: Drift) -> int:
    """0 if nothing moved, 1 if something did, 4 if nothing or not the same rows were compared."""
    if any(cell.status == "moved" for cell in found.cells):
        return 1
    if any(cell.other_rows for cell in found.cells):
        return 4
    return 0 if any(cell.status == "same" for cell in found.cells) else 4


def _summary(found: Drift) -> str:
    counts = Counter(cell.status for cell in found.cells)
    compared = counts["same"] + counts["moved"]
    word = ("SAME", "MOVED", "", "", "NOT COMPARED")[drift_exit_code(found)]
    return (
        f"{word}  {counts['moved']} of {compared} cells moved beyond the noise floor,"
        f" {counts['not run']} were not run"
    )


def _environment(found: Drift) -> list[str]:
    if not found.environment:
        return ["the environment is the same"]
    rows = [(change.what, change.there, change.here) for change in found.environment]
    return table(("environment", "there", "here"), rows)


def _rows(found: Drift) -> Iterator[list[str]]:
    """A line for each cell; those that one reason kept from being run share one."""
    idle: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in found.cells:
        if cell.moved is None:
            idle[cell.candidate, cell.reason].append(cell.place)
        else:
            yield _row(cell, cell.moved)
    for (candidate, reason), places in idle.items():
        yield ["not run", candidate, ", ".join(places), *[""] * 5, reason]


def _row(cell: CellDrift, moved: Moved) -> list[str]:
    return [
        cell.status,
        cell.candidate,
        cell.place,
        f"{moved.rows:,}",
        f"{round(moved.differ.value * moved.rows)}: {_points(moved.differ)} %",
        f"{moved.there:.4f} -> {moved.here:.4f}",
        f"{_points(moved.difference, sign='+')} pp",
        f"{moved.largest:.2g}",
        cell.reason,
    ]


def _points(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (
        f"{100 * number + 0.0:{sign}.2f}"
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def floor_lines(found: Drift) -> Iterator[str]:
    """What each model differs by from itself, a line each."""
    for name, floor in found.floors:
        yield (
            f"noise floor: asked twice, {printable(name)} gave {floor.flips} of {floor.rows:,} rows"
            f" another answer and moved no probability by more than {floor.largest:.2g}"
        )


def _remarks(found: Drift) -> Iterator[str]:
    yield from floor_lines(found)
    yield f"answers were taken {found.batch} rows a call, as they were there"
    yield "largest: the largest change of a probability, of the right class or of the answer"
