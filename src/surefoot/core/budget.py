"""What budgets may speak of, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from surefoot.core.errors import nearest
from surefoot.core.evidence import Budget
from surefoot.core.parts import is_part

FRACTIONS = ("flips", "lost", "won", "other")
"""Shares of rows whose answer changed: all, right to wrong, wrong to right, wrong to wrong."""
QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99}
"""Latency quantiles."""
TIMED = {**dict.fromkeys(QUANTILES, "at_most"), "speedup": "at_least"}
"""Quantities of calls, and the limit that each takes."""
TIMED |= {"rows_per_s": "at_least", "cpu_hours": "at_most"}
UNDER_LOAD = (*QUANTILES, "rows_per_s")
"""Quantities that a budget may hold under a load."""
EXACT = ("size_mb", "memory_mb")
"""Quantities that are read off, not estimated."""
LIMITS = ("at_most", "at_least", "max_drop")


def metrics(budgets: Iterable[Budget], main: str, checks: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics that have to be measured: the task's own first, then those of budgets."""
    none = (*FRACTIONS, *TIMED, *EXACT, *checks)
    others = (b.quantity for b in budgets if b.quantity not in none)
    return tuple(dict.fromkeys([main, *others]))


def problems(budget: Budget, known: Sequence[str], checks: Sequence[str] = ()) -> Iterator[str]:
    """Everything wrong with one budget, each as `key: what; fix` with the key inside the budget.

    Args:
        budget: The budget.
        known: The metrics that budgets may name.
        checks: The behaviour checks that are run.
    """
    quantity, every = budget.quantity, (*known, *FRACTIONS, *TIMED, *EXACT, *checks)
    if not 0.5 < budget.level < 1:
        yield f"level: must be between 0.5 and 1, found {budget.level}"
    if quantity not in every:
        yield f"quantity: '{quantity}' is not measured; {nearest(quantity, every)}"
        return
    yield from _place_problems(budget, checks)
    given = [name for name in LIMITS if getattr(budget, name) is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        yield f"quantity: needs exactly one of {', '.join(LIMITS)}; found {found}"
        return
    allowed = LIMITS if quantity in known else (TIMED.get(quantity, "at_most"),)
    value = getattr(budget, given[0])
    if given[0] not in allowed:
        yield f"{given[0]}: '{quantity}' takes {' or '.join(allowed)}"
    share = quantity in (*FRACTIONS, "accuracy", *checks)
    # A check that asks a fixed list may be asked for no failure at all.
    none = value == 0 and quantity in checks
    if not none and not 0 < value < (1 if share else float("inf")):
        yield f"{given[0]}: must be {'between 0 and 1' if share else 'above 0'}, found {value}"


def contradictions(budgets: Sequence[Budget]) -> Iterator[tuple[int, int]]:
    """Pairs of budgets, by position, that no quantity can keep at once."""
    for i, one in enumerate(budgets):
        for j in range(i):
            if _meet(one, budgets[j]) and _contradict(one, budgets[j]):
                yield j, i


def _place_problems(budget: Budget, checks: Sequence[str]) -> Iterator[str]:
    """A data set or slice where calls are timed, or a batch size where rows are counted."""
    timed, check = budget.quantity in TIMED, budget.quantity in checks
    why = "asks rows of its own" if check else "is the same everywhere"
    for key in ("dataset", "slice", "shift") if timed or check or budget.quantity in EXACT else ():
        if getattr(budget, key) is not None:
            yield f"{key}: '{budget.quantity}' {why}; leave {key} out"
    if budget.load is not None and budget.quantity not in UNDER_LOAD:
        yield f"load: '{budget.quantity}' is not measured under load; {nearest('', UNDER_LOAD)}"
    if budget.load is not None and budget.batch != 1:
        yield "batch: the load says how many rows a request has; leave batch out"
    if budget.batch != 1 and not timed:
        yield f"batch: '{budget.quantity}' does not depend on it; leave batch out"


def _meet(one: Budget, other: Budget) -> bool:
    """Whether both speak of one place: no data set means each of them, `*` each slice."""
    slices, names = {one.slice, other.slice}, (str(one.dataset), str(other.dataset))
    parts = is_part(*names) or is_part(*reversed(names))
    return (
        (one.quantity, one.batch, one.shift, one.load)
        == (other.quantity, other.batch, other.shift, other.load)
        and (one.dataset == other.dataset or None in (one.dataset, other.dataset) or parts)
        and (len(slices) == 1 or ("*" in slices and None not in slices))
    )


def _contradict(one: Budget, other: Budget) -> bool:
    least = [b.at_least for b in (one, other) if b.at_least is not None]
    most = [b.at_most for b in (one, other) if b.at_most is not None]
    return bool(least and most) and max(least) > min(most)
