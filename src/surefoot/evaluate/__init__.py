"""Measures candidates: cells example by example, latency in turns, memory at its peak."""

from surefoot.evaluate.calibration.evidence import (
    apply_temperature,
    beside_tests,
    calibration_evidence,
    fit_temperature,
)
from surefoot.evaluate.cells import fill_cells, hollow
from surefoot.evaluate.checking import asked_rows, run_checks
from surefoot.evaluate.latency import measure_latency, take_turns
from surefoot.evaluate.load.one import measure_load, offered, serve_load
from surefoot.evaluate.machine import machine_columns, machine_of
from surefoot.evaluate.matrix import Filling, ask_again, fill_matrix
from surefoot.evaluate.measured import Entrants, Measured, measure
from surefoot.evaluate.memory import peak_memory
from surefoot.evaluate.pairs import (
    by_row,
    confirmation_evidence,
    of_probabilities,
    of_sets,
    pairs,
    selection_evidence,
    span_of,
)
from surefoot.evaluate.sampled import sample_cell
from surefoot.evaluate.shifted import shifted, under_shifts
from surefoot.evaluate.slices.find import Exploration, find_slices

__all__ = [
    "Entrants",
    "Exploration",
    "Filling",
    "Measured",
    "apply_temperature",
    "ask_again",
    "asked_rows",
    "beside_tests",
    "by_row",
    "calibration_evidence",
    "confirmation_evidence",
    "fill_cells",
    "fill_matrix",
    "find_slices",
    "fit_temperature",
    "hollow",
    "machine_columns",
    "machine_of",
    "measure",
    "measure_latency",
    "measure_load",
    "of_probabilities",
    "of_sets",
    "offered",
    "pairs",
    "peak_memory",
    "run_checks",
    "sample_cell",
    "selection_evidence",
    "serve_load",
    "shifted",
    "span_of",
    "take_turns",
    "under_shifts",
]
