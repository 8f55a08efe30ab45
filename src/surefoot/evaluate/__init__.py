"""Measures candidates: cells example by example, latency in turns, memory at its peak."""

from surefoot.evaluate.calibration import (
    apply_temperature,
    beside_tests,
    calibration_evidence,
    fit_temperature,
)
from surefoot.evaluate.cells import ask_again, fill_cells, hollow
from surefoot.evaluate.latency import measure_latency, take_turns
from surefoot.evaluate.measured import Entrants, Measured, measure
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import by_row, confirmation_evidence, selection_evidence
from surefoot.evaluate.shifted import under_shifts

__all__ = [
    "Entrants",
    "Measured",
    "apply_temperature",
    "ask_again",
    "beside_tests",
    "by_row",
    "calibration_evidence",
    "confirmation_evidence",
    "fill_cells",
    "fit_temperature",
    "hollow",
    "measure",
    "measure_latency",
    "peak_memory",
    "selection_evidence",
    "take_turns",
    "under_shifts",
]
