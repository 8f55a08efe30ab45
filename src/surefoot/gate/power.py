"""What a plan's data can decide, before anything runs: budgets and counts of rows in, chances out.

A row of the outlook is one budget in one place, as `gate.questions` would ask it. What a candidate
will do is assumed: a share of all answers changes, half of it lost and half won, so that nothing
gets worse in truth, and a PASS is what should come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import numpy as np

from surefoot import stats
from surefoot.core.budget import EXACT, FRACTIONS, QUANTILES, TIMED
from surefoot.core.dataset import ConfirmationSet, Dataset, Examples
from surefoot.core.errors import BudgetError
from surefoot.core.evidence import Budget, Use, place
from surefoot.core.model import StepCall
from surefoot.core.parts import speaks_of
from surefoot.evaluate.shifted import under_shifts
from surefoot.gate.samples import POWER
from surefoot.stats import BLOCKS, FEWEST

FLIPS = (0.02, 0.05, 0.1)
"""Shares of answers that change, from a careful quantisation to another model."""
ALIKE = 0.3
"""How alike the rows of one group are taken to be, as a correlation."""
HALF = 0.5
"""Where the truth is taken to lie on the way to a fixed limit: on it, no data would decide."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A test set, or a slice of one, as numbers of rows."""

    dataset: str
    """The data set's name."""
    slice: str | None = None
    """The slice; None for all rows."""
    shift: str = ""
    """How the inputs will be changed; empty where they will not."""
    severity: float = 0.0
    """How far."""
    rows: int
    """How many rows."""
    sizes: np.ndarray | None = None
    """(clusters,) rows of each group; None when rows are independent."""

    @property
    def name(self) -> str:
        """As in a verdict: `tweets + typos 3 [short]`."""
        return place(self.dataset, self.shift, self.severity, self.slice)

    @property
    def effect(self) -> float:
        """How many rows are worth one independent row: 1 + (group size - 1) x `ALIKE`.

        Kish 1965, "Survey sampling". The size is that of the group which a row is in, on average,
        because one large group costs more than many small ones gain.
        """
        if self.sizes is None:
            return 1.0
        return 1 + (float(np.square(self.sizes).sum()) / self.rows - 1) * ALIKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a plan takes from its data besides rows."""

    candidates: int
    """How many share alpha."""
    calls: int
    """Calls that are timed."""
    use: Use | None = None
    """Which use of the test sets it would be; None where nobody counts."""
    seeds: int = 1
    """How often a candidate is made."""
    checks: Mapping[str, int] = field(default_factory=dict)
    """By behaviour check, the rows that it asks at most; 0 where its rate is read off a list."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """Requests of each load that arrive at a rate; how many a stream sends, nobody knows before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What can be expected of one budget in one place; a tuple has one entry an assumption."""

    budget: Budget
    """The budget."""
    subject: str
    """What will be judged, for example `accuracy on tweets [short]`."""
    unit: Literal["rows", "calls", ""]
    """What `n` counts; nothing for what is read off."""
    n: int
    """Rows or calls there are."""
    alpha: float
    """The error that a PASS may have, after all divisions."""
    clusters: int | None = None
    """Groups that the rows come in; None when they are independent."""
    worth: int | None = None
    """Independent rows that they are taken to be worth."""
    least: int | None = None
    """Rows that a PASS takes if not a single answer changes."""
    power: tuple[float | None, ...] = ()
    """The chance of a PASS; None where nothing tells."""
    needed: tuple[int | None, ...] = ()
    """Rows for a chance of 90 %, or calls without which there is no bound; None: none would do."""
    missing: tuple[int | None, ...] = ()
    """How many of them are not there."""
    decided: tuple[bool, ...]
    """Whether the data are enough."""
    reason: str = ""
    """Why nothing tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What can be expected of a plan."""

    flips: tuple[float, ...]
    """The assumed shares of answers that change."""
    middle: int
    """The position of the one that answers by default."""
    design: Design
    """What shares alpha, and the calls."""
    prospects: tuple[Prospect, ...]
    """Every budget in every place."""
    budgets: int
    """How many budgets there are."""
    decided: int
    """How many of them can be decided everywhere, at the middle assumption."""
    together: tuple[float, ...]
    """At least so often will all of those on rows pass at once (Bonferroni)."""
    power: float = POWER
    """The chance of a PASS that counts as enough."""
    alike: float = ALIKE
    """How alike the rows of one group are taken to be."""

    def worst(self) -> Prospect | None:
        """The one that misses most at the middle assumption; None where all can be decided."""
        open_ = [p for p in self.prospects if not p.decided[self.middle]]
        return max(open_, key=self._lack, default=None)

    def _lack(self, prospect: Prospect) -> float:
        missing = prospect.missing[self.middle] if prospect.missing else None
        return -1 if missing is None else missing / max(prospect.n, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSmall:
    """A place that cannot pass a budget, whatever a candidate does."""

    place: Place
    """The place; without its shift where that keeps all rows."""
    budget: Budget
    """The budget that takes the most rows there."""
    least: int
    """Rows that it takes if not a single answer changes."""


def places(sets: Mapping[str, Dataset], shifts: Sequence[StepCall] = ()) -> tuple[Place, ...]:
    """Every test set and each of its slices, counted, and all of that again under each shift.

    Args:
        sets: Test sets by name.
        shifts: What the plan measures them under too.
    """
    return tuple(
        Place(
            dataset=name,
            slice=part,
            shift=here.shift,
            severity=here.severity,
            rows=int(mask.sum()),
            sizes=_sizes(here.groups, mask),
        )
        for name, dataset in sets.items()
        for here in under_shifts({name: ConfirmationSet(dataset)}, shifts).values()
        for part, mask in _parts(here).items()
    )


def too_small(
    budgets: Sequence[Budget], where: Sequence[Place], design: Design
) -> tuple[TooSmall, ...]:
    """The places with fewer rows than a budget on them takes even if no answer changes.

    No candidate passes there: where the first of Holm's steps is out of reach, so are all others.

    Args:
        budgets: What has to hold.
        where: The test sets and their slices.
        design: What shares alpha.
    """
    plain = {(here.dataset, here.slice, here.rows) for here in where if not here.shift}
    worst: dict[str, TooSmall] = {}
    for budget in budgets:
        margin, rates = _assumed(budget, FLIPS)
        for here in where if rates else ():
            least = _least(here, margin, _alpha(budget, design))
            if not _speaks_of(budget, here) or here.rows >= least:
                continue
            keeps_rows = (here.dataset, here.slice, here.rows) in plain
            found = replace(here, shift="", severity=0.0) if keeps_rows else here
            if found.name not in worst or worst[found.name].least < least:
                worst[found.name] = TooSmall(place=found, budget=budget, least=least)
    return tuple(worst.values())


def too_short(budgets: Sequence[Budget], design: Design) -> tuple[Prospect, ...]:
    """The budgets on time with fewer calls or requests than any bound takes, however fast they are.

    Args:
        budgets: What has to hold.
        design: What shares alpha, the calls, and the requests of each load.

    Returns:
        What can be expected of each of them: that it is INCONCLUSIVE.
    """
    timed = (budget for budget in budgets if budget.quantity in TIMED)
    found = (_timed(budget, _alpha(budget, design), design, 1) for budget in timed)
    return tuple(prospect for prospect in found if prospect.missing[0])


def foresee(
    budgets: Sequence[Budget],
    where: Sequence[Place],
    design: Design,
    flips: Sequence[float] = FLIPS,
) -> Outlook:
    """Say what the data can decide.

    Args:
        budgets: What has to hold.
        where: The test sets and their slices.
        design: What shares alpha, and the calls.
        flips: Assumed shares of answers that change, each in [0, 1].

    Raises:
        BudgetError: No budget, one that speaks of no place there is, or a share that is none.
    """
    if not budgets:
        raise BudgetError("no budget, so there is nothing to decide")
    if not flips or not all(0 <= share <= 1 for share in flips):
        raise BudgetError(
            "an assumed share of changed answers is not one", fix="give shares such as 0.03"
        )
    shares = tuple(sorted(set(flips)))
    middle = len(shares) // 2
    each = [list(_of(budget, where, design, shares)) for budget in budgets]
    prospects = tuple(prospect for one in each for prospect in one)
    return Outlook(
        flips=shares,
        middle=middle,
        design=design,
        prospects=prospects,
        budgets=len(budgets),
        decided=sum(all(p.decided[middle] for p in one) for one in each),
        together=_together(prospects, len(shares)),
    )


def _parts(dataset: Examples) -> dict[str | None, np.ndarray]:
    parts: dict[str | None, np.ndarray] = {None: np.ones(len(dataset), dtype=bool)}
    parts.update(dataset.slices)
    return parts


def _sizes(groups: np.ndarray | None, mask: np.ndarray) -> np.ndarray | None:
    return None if groups is None else np.unique(groups[mask], return_counts=True)[1]


def _of(
    budget: Budget, where: Sequence[Place], design: Design, flips: tuple[float, ...]
) -> Iterator[Prospect]:
    alpha = _alpha(budget, design)
    if budget.quantity in EXACT or design.checks.get(budget.quantity) == 0:
        yield Prospect(
            budget=budget,
            subject=budget.quantity,
            unit="",
            n=0,
            alpha=alpha,
            decided=(True,) * len(flips),
        )
    elif budget.quantity in TIMED:
        yield _timed(budget, alpha, design, len(flips))
    elif budget.quantity in design.checks:
        # A check may find fewer rows to ask than there are; only a run tells.
        asked = Place(dataset="the rows asked", rows=design.checks[budget.quantity])
        limit = float(budget.at_most or 0)
        yield _foreseen(budget, asked, alpha, limit, (limit * HALF,) * len(flips))
    else:
        found = [place for place in where if _speaks_of(budget, place)]
        if not found:
            raise BudgetError(f"no place for the budget on '{budget.quantity}'")
        for place in found:
            margin, rates = _assumed(budget, flips)
            if rates:
                yield _foreseen(budget, place, alpha, margin, rates)
            else:
                yield _unknown(budget, place, alpha, len(flips))


def _alpha(budget: Budget, design: Design) -> float:
    return (1 - budget.level) * (design.use.share if design.use else 1) / design.candidates


def _speaks_of(budget: Budget, place: Place) -> bool:
    """Whether the gate would ask a budget there."""
    inside = budget.slice == place.slice or (budget.slice == "*" and place.slice is not None)
    under = bool(place.shift) if budget.shift == "*" else (budget.shift or "") == place.shift
    return inside and under and speaks_of(budget.dataset, place.dataset)


def _timed(budget: Budget, alpha: float, design: Design, assumptions: int) -> Prospect:
    """Enough calls for a bound at all; how near the limit the truth lies, nobody knows."""
    calls, where = design.calls, f"at batch {budget.batch}"
    if budget.load is not None:
        calls, where = design.requests.get(budget.load, 0), f"under {budget.load}"
    if budget.quantity in (*QUANTILES, "speedup"):
        q = QUANTILES.get(budget.quantity, HALF)
        needed = max(FEWEST, int(stats.calls_needed(q, 1 - alpha, blocks=BLOCKS)))
    else:
        needed = FEWEST
    unknown = budget.load is not None and budget.load not in design.requests
    missing = 0 if unknown else max(needed - calls, 0)
    return Prospect(
        budget=budget,
        subject=f"{budget.quantity} {where}",
        unit="calls",
        n=calls,
        alpha=alpha,
        needed=(needed,) * assumptions,
        missing=(missing,) * assumptions,
        decided=(not missing,) * assumptions,
        reason="how many requests it answers, nobody knows before" if unknown else "",
    )


def _assumed(budget: Budget, flips: tuple[float, ...]) -> tuple[float, tuple[float, ...]]:
    """The drop or share of failures that is too much, and the true shares; none if unknown.

    Answers change as assumed, but where a limit is on their number never more than half of what
    it allows; without `max_drop` accuracy fails half as often as it may.
    """
    quantity, limit = budget.quantity, float(budget.at_most or 0)
    if quantity in FRACTIONS:
        part = HALF if quantity in ("lost", "won") else 1.0
        return limit, tuple(min(f * part, limit * HALF) for f in flips)
    if quantity != "accuracy":
        return 0.0, ()
    if budget.max_drop is not None:
        return budget.max_drop, flips
    limit = limit if budget.at_least is None else 1 - budget.at_least
    return limit, (limit * HALF,) * len(flips)


def _foreseen(
    budget: Budget, place: Place, alpha: float, margin: float, rates: tuple[float, ...]
) -> Prospect:
    """A budget on answers: chances by exact sums, for as many rows as those in groups are worth."""
    worth = max(int(place.rows / place.effect + _ROUNDING), 1)
    paired = budget.max_drop is not None
    power = _power(worth, rates, margin, alpha, paired=paired).tolist()
    enough = tuple(p >= POWER for p in power)
    independent = _rows(rates, margin, alpha, paired=paired)
    rows = [int(np.ceil(n * place.effect - _ROUNDING)) for n in independent]
    # Power rises in a saw: near its teeth the fewest rows may lie on the other side.
    needed = [
        min(n, place.rows) if ok else max(n, place.rows + 1)
        for n, ok in zip(rows, enough, strict=True)
    ]
    return Prospect(
        budget=budget,
        subject=f"{budget.quantity} on {place.name}",
        unit="rows",
        n=place.rows,
        clusters=None if place.sizes is None else len(place.sizes),
        worth=worth,
        alpha=alpha,
        least=_least(place, margin, alpha),
        power=tuple(power),
        needed=tuple(needed),
        missing=tuple(n - place.rows if n > place.rows else 0 for n in needed),
        decided=enough,
    )


def _power(
    n: int, rates: tuple[float, ...], margin: float, alpha: float, *, paired: bool
) -> np.ndarray:
    if not paired:
        return stats.share_power(n, rates, margin, level=1 - alpha)
    half = np.array(rates) * HALF
    return stats.release_power(n, half, half, margin, level=1 - alpha)


@cache
def _rows(
    rates: tuple[float, ...], margin: float, alpha: float, *, paired: bool
) -> tuple[float, ...]:
    """Independent rows for enough power; the same for every place, so remembered."""
    if paired:
        half = np.array(rates) * HALF
        found = stats.release_rows(half, half, margin, level=1 - alpha, power=POWER)
    else:
        found = stats.share_rows(rates, margin, level=1 - alpha, power=POWER)
    return tuple(found.tolist())


def _least(place: Place, margin: float, alpha: float) -> int:
    """Rows that unchanged answers need for a PASS: (1 - margin)^n must be at most alpha.

    Rows in groups could all have fallen in the largest of them, so groups are counted instead,
    and each may be one that fell by as much as the largest one can.
    """
    if place.sizes is None:
        return int(np.ceil(np.log(alpha) / np.log1p(-margin) - _ROUNDING))
    size = place.rows / len(place.sizes)
    share = margin * size / float(place.sizes.max())
    return int(np.ceil(np.log(alpha) / np.log1p(-share) - _ROUNDING) * size + HALF)


def _unknown(budget: Budget, place: Place, alpha: float, assumptions: int) -> Prospect:
    """A metric of which only a run tells what it would take."""
    reason = "only a run can tell how far the limit is"
    if budget.max_drop is not None:
        from scipy.special import ndtri

        error = budget.max_drop / float(ndtri(1 - alpha) + ndtri(POWER))
        spread = error * float(np.sqrt(place.rows / place.effect))
        reason = f"enough if a row changes with a standard deviation of at most {spread:.2g}"
    nothing = (None,) * assumptions
    return Prospect(
        budget=budget,
        subject=f"{budget.quantity} on {place.name}",
        unit="rows",
        n=place.rows,
        clusters=None if place.sizes is None else len(place.sizes),
        alpha=alpha,
        power=nothing,
        needed=nothing,
        missing=nothing,
        decided=(False,) * assumptions,
        reason=reason,
    )


def _together(prospects: Sequence[Prospect], assumptions: int) -> tuple[float, ...]:
    """What is left of certainty after the chances of every miss are taken from it."""
    return tuple(
        max(0.0, 1 - sum(1 - p for x in prospects if x.power and (p := x.power[i]) is not None))
        for i in range(assumptions)
    )
