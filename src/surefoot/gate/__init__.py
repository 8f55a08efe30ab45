"""Budgets and evidence in, verdicts out: PASS, FAIL or INCONCLUSIVE."""

from surefoot.gate.checks import check_summaries
from surefoot.gate.differences import differences
from surefoot.gate.finalists import finalists
from surefoot.gate.latency import noise, summaries
from surefoot.gate.load import load_summaries
from surefoot.gate.verdict import best, exit_code, gate_evidence
from surefoot.gate.waived import bad_end, covering, hold_waivers, limit_kind, released
from surefoot.gate.worst import Worst, worst_slices

__all__ = [
    "Worst",
    "bad_end",
    "best",
    "check_summaries",
    "covering",
    "differences",
    "exit_code",
    "finalists",
    "gate_evidence",
    "hold_waivers",
    "limit_kind",
    "load_summaries",
    "noise",
    "released",
    "summaries",
    "worst_slices",
]
