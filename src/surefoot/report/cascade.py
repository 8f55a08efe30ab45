"""The terminal form of a cascade: what is promised first, then the trade-off behind it."""

from __future__ import annotations

from collections.abc import Iterator

from surefoot.core.estimate import Estimate
from surefoot.core.printable import printable
from surefoot.core.serving import Cascade, Tradeoff
from surefoot.gate.cascade import PLANNED
from surefoot.report.terminal import table


def cascade_lines(found: Cascade) -> list[str]:
    """A cascade for the terminal.

    Args:
        found: What its calibration rows show.
    """
    heads = (
        "from confidence", f"answered by {found.lean}", *(f"by {name}" for name in found.between),
        _lost(found), "right", "CPU ms", *_priced(found, "cost of 1,000"), "promised",
    )  # fmt: skip
    rows = [_row(found, one) for one in _with_chosen(found)]
    return [
        promise_line(found),
        "",
        *table(heads, rows),
        "",
        *_remarks(found),
        promise_line(found),
    ]


def _lost(found: Cascade) -> str:
    return "wrong" if found.fallback == "abstain" else f"lost to {found.fallback}"


def promise_line(found: Cascade) -> str:
    """One line: what may be deployed, or why nothing may."""
    told = (
        f"at most {100 * found.max_error:g}% of requests"
        f"{', each from a new group,' * found.grouped} {_lost(found)}"
        f" (delta {100 * found.delta:g}%, n = {found.rows:,}{' groups' * found.grouped})"
    )
    told += "".join(printable(f", and on {name}") for name in found.slices)
    name = printable(found.lean)
    if found.void:
        return f"NOT PROMISED  {name} answers every request: {found.void}"
    if found.chosen:
        share = f"{found.chosen.share.value:.1%} of requests"
        parts = zip(found.between, found.chosen.between, strict=True)
        share += "".join(f", {printable(other)} {part:.1%}" for other, part in parts)
        sure = _sure(found.chosen.threshold)
        return f"PROMISED  {name} answers {share} from confidence {sure}: {told}"
    # Of the rows that it takes as many plan as of any others; `rows` are those that test.
    tested = found.needed - found.needed // PLANNED * bool(found.between)
    beside = ", beside those that plan" * bool(found.between)
    if found.rows < tested:
        short = f"it takes {tested:,} calibration rows at least{beside}"
        return f"NOT PROMISED  {name} answers nothing: not shown, {told}; {short}"
    where = "not shown from any confidence that an answer reaches"
    return f"NOT PROMISED  {name} answers nothing: {where}, {told}"


def _with_chosen(found: Cascade) -> list[Tradeoff]:
    # Of several models: where the first one's threshold stays, another one's may not.
    shown = (one for one in (*found.curve, found.chosen) if one)
    every = {(one.threshold, *one.thresholds): one for one in shown}
    return [every[thresholds] for thresholds in sorted(every, reverse=True)]


def _row(found: Cascade, one: Tradeoff) -> list[str]:
    cost = found.cost(one.share.value, one.between)
    mark = "deployed" if one == found.chosen else "yes" if one.shown else "no"
    return [
        _sure(one.threshold),
        _percent(one.share),
        *(
            f"{100 * part:.1f} % from {_sure(threshold)}"
            for part, threshold in zip(one.between, one.thresholds, strict=True)
        ),
        _percent(one.lost, 2),
        f"{one.accuracy:.2%}",
        "" if cost is None else f"{cost:.3g}",
        *_priced(found, f"{1000 * (1 - one.answered) * (found.endpoint_cost or 0):.3g}"),
        mark,
    ]


def _priced(found: Cascade, told: str) -> tuple[str, ...]:
    """A cell of the table, where requests to the fallback cost money."""
    return () if found.endpoint_cost is None else (told,)


def _sure(threshold: float) -> str:
    """Confidence with as many digits as it takes to tell it from 1."""
    if threshold == 0:
        return "0"
    near = min(threshold, 1 - threshold)
    digits = next((d for d in range(2, 8) if near >= 0.5 * 10**-d), 8)
    return f"{threshold:.{digits}f}"


def _percent(share: Estimate, digits: int = 1) -> str:
    low, high = (f"{100 * end:.{digits}f}" for end in (share.low, share.high))
    return f"{100 * share.value:.{digits}f} % [{low}, {high}]"


def _remarks(found: Cascade) -> Iterator[str]:
    if found.fallback != "abstain":
        where = f" ({found.endpoint})" if found.endpoint else ""
        yield printable(f"{found.fallback}{where} alone is right in {found.fallback_accuracy:.2%}")
    if times := list(_times(found)):
        yield printable(f"CPU time of an answer: {', '.join(times)}")
    if found.endpoint and found.fallback_slow_ms is not None:
        yield f"95 of 100 of its answers took {found.fallback_slow_ms:.3g} ms at most"
    if found.planned:
        yield (
            f"{found.planned:,} more calibration rows say how their thresholds go together, and"
            " test none"
        )
    while_ = "" if found.fallback == "abstain" else ", and while the fallback can be reached"
    yield f"it holds for requests like the calibration rows{while_}"
    if found.lean in found.scope:
        yield printable(
            f"out of scope: below {found.scope[found.lean]:.3g} of {found.lean}'s own confidence,"
            " as 5 % of the calibration rows are"
        )


def _times(found: Cascade) -> Iterator[str]:
    models = (*found.stages, *([] if found.endpoint else [found.fallback]))
    told = zip(models, (found.lean_ms, *found.between_ms, found.fallback_ms), strict=False)
    yield from (f"{name} {ms:.3g} ms" for name, ms in told if ms is not None)


def too_few_line(part: str | None, rows: int, needed: int, planned: int) -> str:
    """Calibration rows that are too few to promise anything.

    Args:
        part: The slice; None for all rows.
        rows: How many test it.
        needed: How many it takes at least.
        planned: How many more say how the thresholds of several models go together.
    """
    where = f" in slice '{printable(part)}'" if part else ""
    where += f" beside the {planned:,} that plan" if planned else ""
    return (
        f"[serve] cannot be promised with {rows:,} calibration rows{where}, whatever the models"
        f" say: it takes {needed:,} at least; add rows to task.calibration, or promise less"
    )
