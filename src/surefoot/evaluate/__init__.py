"""Measures candidates: cells example by example, latency in turns."""

from surefoot.evaluate.cells import fill_cells, gather, pair
from surefoot.evaluate.latency import measure_latency

__all__ = ["fill_cells", "gather", "measure_latency", "pair"]
