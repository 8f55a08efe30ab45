"""Which candidates are worth a look at the confirmation data, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, SelectionEvidence
from surefoot.gate.questions import Questions
from surefoot.gate.verdict import p_values

LIKELY = 0.2
"""A p-value on the selection rows that lets hope for a PASS on others."""


def finalists(
    evidence: SelectionEvidence,
    budgets: Sequence[Budget],
    costs: Mapping[str, float],
    *,
    most: int = 3,
) -> tuple[str, ...]:
    """The cheapest candidates likely to pass and the surest one, the cheapest first.

    Every finalist takes a share of alpha from the others, so few of them are best: the one whose
    worst budget has the smallest p-value on the selection data, the cheapest of those for which no
    p-value is above `LIKELY`, then whoever is likeliest; and none that look broken there. They are
    put in order of their cost before the confirmation data are opened, so that what is
    seen there cannot choose among them. The p-values are no verdict: selection has worn them out.

    Args:
        evidence: What was measured on the selection data.
        budgets: What has to hold; those on quantities that the evidence lacks are left out.
        costs: What each candidate costs to run; only the order matters.
        most: How many finalists there may be.

    Returns:
        At most `most` names; none where every candidate looks broken.

    Raises:
        BudgetError: No budget speaks of anything that was measured.
    """
    measured = {paired.metric for paired in evidence.paired} | {"flips", "lost", "won", "other"}
    measured |= {"size_mb"} if evidence.sizes else set()
    asked = [b for b in budgets if b.quantity in measured and not (b.dataset or b.slice or b.shift)]
    if not asked:
        raise BudgetError("no budget speaks of what was measured on the selection data")
    known = Questions(evidence)
    p = {name: p_values(known.about(name, asked)) for name in evidence.candidates}
    worst = {name: float(np.max(p[name][:, 0])) for name in p}
    # Too few rows to pass is not broken: broken is what rather fails than passes.
    sound = (name for name in p if not (p[name][:, 1] < p[name][:, 0]).any())
    surest = sorted(sound, key=worst.__getitem__)
    in_order = {name: costs.get(name, np.inf) for name in surest}
    cheap = sorted((n for n in surest if worst[n] <= LIKELY), key=in_order.__getitem__)
    # Where one alone is judged it is the cheapest of the likely ones, not the surest.
    chosen = list(dict.fromkeys([*cheap[: max(most - 1, 1)], *surest[:1], *cheap, *surest]))[:most]
    return tuple(sorted(chosen, key=in_order.__getitem__))
