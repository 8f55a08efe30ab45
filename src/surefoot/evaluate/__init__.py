"""Measures candidates: cells example by example, latency in turns, memory at its peak."""

from surefoot.evaluate.cells import fill_cells, hollow
from surefoot.evaluate.latency import measure_latency, take_turns
from surefoot.evaluate.matrix import Filling, ask_again, fill_matrix
from surefoot.evaluate.measured import Entrants, Measured, measure
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import by_row, confirmation_evidence, selection_evidence
from surefoot.evaluate.shifted import under_shifts

__all__ = [
    "Entrants",
    "Filling",
    "Measured",
    "ask_again",
    "by_row",
    "confirmation_evidence",
    "fill_cells",
    "fill_matrix",
    "hollow",
    "measure",
    "measure_latency",
    "peak_memory",
    "selection_evidence",
    "take_turns",
    "under_shifts",
]
