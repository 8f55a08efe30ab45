"""What every candidate differs by in every place, whether or not a budget speaks of it."""

from __future__ import annotations

import numpy as np

from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Evidence
from surefoot.gate.questions import Questions
from surefoot.gate.verdict import estimated, intervals

LEVEL = 0.95
"""Two-sided confidence of each interval, on its own."""


def differences(evidence: Evidence) -> list[Estimate | None]:
    """Candidate minus baseline in each place, with an interval that holds on its own.

    Args:
        evidence: What a gate looks at.

    Returns:
        One entry for each of `evidence.paired`, in its order; None where it cannot be computed.
    """
    found: dict[int, Estimate] = {}
    askable = Questions(evidence)
    for candidate, metric in dict.fromkeys((p.candidate, p.metric) for p in evidence.paired):
        questions = askable.drops(candidate, metric)
        if not questions:
            continue
        ends = intervals(questions, np.full(len(questions), LEVEL)).tolist()
        for question, values in zip(questions, ends, strict=True):
            found[id(question.paired)] = estimated(question, values, LEVEL)
    return [found.get(id(paired)) for paired in evidence.paired]
