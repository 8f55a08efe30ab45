"""What budgets may speak of, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from surefoot.core.errors import nearest
from surefoot.core.evidence import Budget

FRACTIONS = ("flips", "lost", "won", "other")
"""Shares of rows whose answer changed: all, right to wrong, wrong to right, wrong to wrong."""
QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
"""Latency quantiles."""
LIMITS = ("at_most", "at_least", "max_drop")


def problems(budget: Budget, metric: str) -> Iterator[str]:
    """Everything wrong with one budget, each as `key: what; fix` with the key inside the budget.

    Args:
        budget: The budget.
        metric: The metric that is measured, which budgets may name.
    """
    known = (metric, *FRACTIONS, *QUANTILES, "speedup", "size_mb")
    if not 0.5 < budget.level < 1:
        yield f"level: must be between 0.5 and 1, found {budget.level}"
    if budget.quantity not in known:
        yield f"quantity: '{budget.quantity}' is not measured; {nearest(budget.quantity, known)}"
        return
    yield from _place_problems(budget)
    given = [name for name in LIMITS if getattr(budget, name) is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        yield f"quantity: needs exactly one of {', '.join(LIMITS)}; found {found}"
        return
    allowed = {"speedup": ["at_least"], metric: list(LIMITS)}.get(budget.quantity, ["at_most"])
    value = getattr(budget, given[0])
    if given[0] not in allowed:
        yield f"{given[0]}: '{budget.quantity}' takes {' or '.join(allowed)}"
    share = budget.quantity in (*FRACTIONS, "accuracy")
    if not 0 < value < (1 if share else float("inf")):
        yield f"{given[0]}: must be {'between 0 and 1' if share else 'above 0'}, found {value}"


def contradictions(budgets: Sequence[Budget]) -> Iterator[tuple[int, int]]:
    """Pairs of budgets, by position, that no quantity can keep at once."""
    for i, one in enumerate(budgets):
        for j in range(i):
            if _meet(one, budgets[j]) and _contradict(one, budgets[j]):
                yield j, i


def _place_problems(budget: Budget) -> Iterator[str]:
    """A data set or slice where calls are timed, or a batch size where rows are counted."""
    timed = budget.quantity in (*QUANTILES, "speedup")
    for key in ("dataset", "slice") if timed or budget.quantity == "size_mb" else ():
        if getattr(budget, key) is not None:
            yield f"{key}: '{budget.quantity}' is the same everywhere; leave {key} out"
    if budget.batch != 1 and not timed:
        yield f"batch: '{budget.quantity}' does not depend on it; leave batch out"


def _meet(one: Budget, other: Budget) -> bool:
    """Whether both speak of one place: no data set means each of them, `*` each slice."""
    slices = {one.slice, other.slice}
    return (
        (one.quantity, one.batch) == (other.quantity, other.batch)
        and (one.dataset == other.dataset or None in (one.dataset, other.dataset))
        and (len(slices) == 1 or ("*" in slices and None not in slices))
    )


def _contradict(one: Budget, other: Budget) -> bool:
    least = [b.at_least for b in (one, other) if b.at_least is not None]
    most = [b.at_most for b in (one, other) if b.at_most is not None]
    return bool(least and most) and max(least) > min(most)
