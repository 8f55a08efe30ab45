"""Behaviour checks as rates: what a budget on one is held against, and what a table shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot.core.checks import CheckResult
from surefoot.core.estimate import Estimate
from surefoot.gate.samples import Exact, Rows, Sample, Share

LEVEL = 0.95
SHOWN = 100
"""Failing ids that are listed, at most; all of them stand in the check's own file."""


def rate_sample(result: CheckResult, limit: float) -> Sample:
    """The rows of a check that failed, held against a limit on their share.

    A fixed list is read off. Of a sample the share is binomial; where rows come in groups, those of
    one group are not independent.

    Args:
        result: What was found.
        limit: The share that may fail.
    """
    if result.checked is None or not len(result.checked.failed):
        return Rows(gain=np.zeros(1), margin=limit, answers=True)
    return _sample(result.checked.failed, result, limit, result.groups)


def unanswered(result: CheckResult) -> str:
    """Why a check says nothing about a candidate; empty where it does."""
    if result.checked is None:
        return f"it could not be run: {result.error}"
    if not len(result.checked.failed):
        return result.checked.note or "it found no row to ask"
    return ""


def check_summaries(results: Sequence[CheckResult]) -> list[Mapping[str, object]]:
    """One entry per check and candidate: the rate with its interval, and the ids that failed."""
    return [_summary(result) for result in results]


def _summary(result: CheckResult) -> Mapping[str, object]:
    entry = {"check": result.check, "candidate": result.candidate, "error": result.error}
    checked = result.checked
    if checked is None:
        return {**entry, "rate": None, "asked": 0, "failed": 0}
    failed = checked.failed
    return {
        **entry,
        "rate": _rate(result, np.ones(len(failed), dtype=bool)),
        "asked": len(failed),
        "failed": int(failed.sum()),
        "ids": checked.ids[failed][:SHOWN].tolist(),
        "largest": checked.largest,
        "note": checked.note,
        "slices": {name: _rate(result, mask) for name, mask in result.slices.items()},
    }


def _rate(result: CheckResult, mask: np.ndarray) -> Estimate | None:
    """The share of rows that failed among these; None where there are none."""
    if result.checked is None or not mask.any():
        return None
    groups = None if result.groups is None else result.groups[mask]
    sample = _sample(result.checked.failed[mask], result, 0.0, groups)
    found = type(sample).intervals([sample], np.array([LEVEL]))
    value, low, high = (float(np.ravel(end)[0]) for end in (found.value, found.low, found.high))
    if isinstance(sample, Rows):
        # Its gain is minus the share, and an interval by t may reach beyond what there is.
        value, low, high = -value + 0.0, max(-high, 0.0), min(-low, 1.0)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=1.0 if result.exact else LEVEL,
        method=sample.method,
        n=sample.n,
    )


def _sample(
    failed: np.ndarray, result: CheckResult, limit: float, groups: np.ndarray | None
) -> Sample:
    if result.exact:
        return Exact(value=float(failed.mean()), limit=limit, n=len(failed))
    if groups is None:
        return Share(count=int(failed.sum()), n=len(failed), limit=limit, at_least=False)
    return Rows(gain=-failed.astype(float), margin=limit, groups=groups, answers=True)
