"""The gate's test of itself as lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from surefoot.core.evidence import Plant
from surefoot.report.terminal import amount, need, table


def selftest_lines(plants: Sequence[Plant]) -> list[str]:
    """What was planted and what the gate said; the first and the last line are the answer.

    Args:
        plants: What was planted.
    """
    missed = [plant for plant in plants if not plant.seen]
    left_out = sum(plant.found.startswith("not run") for plant in plants)
    run = len(plants) - left_out
    answer = (
        f"PASS  gate selftest  {run} of {run} as expected"
        if not missed
        else f"FAIL  gate selftest  {len(missed)} of {run} not as expected:"
        f" {missed[0].what}: {missed[0].found}"
    )
    answer += f"; {left_out} could not be run" if left_out else ""
    rows = [
        ("yes" if plant.seen else "NO", plant.what, plant.expected, plant.found, _why(plant))
        for plant in plants
    ]
    header = ("as expected", "planted", "expected", "found", "")
    return [answer, "", *table(header, rows), "", answer]


def _why(plant: Plant) -> str:
    if plant.finding is None:
        return ""
    text = f"{plant.finding.subject} {amount(plant.finding)}"
    open_ = plant.finding.outcome == "INCONCLUSIVE"
    return f"{text}; {need(plant.finding)}" if open_ else text
