"""Measures candidates: cells example by example, latency in turns, memory at its peak."""

from surefoot.evaluate.cells import ask_again, fill_cells, hollow
from surefoot.evaluate.checking import asked_rows, run_checks
from surefoot.evaluate.latency import measure_latency, take_turns
from surefoot.evaluate.measured import Entrants, Measured, measure
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import by_row, confirmation_evidence, selection_evidence
from surefoot.evaluate.shifted import under_shifts

__all__ = [
    "Entrants",
    "Measured",
    "ask_again",
    "asked_rows",
    "by_row",
    "confirmation_evidence",
    "fill_cells",
    "hollow",
    "measure",
    "measure_latency",
    "peak_memory",
    "run_checks",
    "selection_evidence",
    "take_turns",
    "under_shifts",
]
