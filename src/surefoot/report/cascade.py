"""The terminal form of a cascade: what is promised first, then the trade-off behind it."""

from __future__ import annotations

from collections.abc import Iterator

from surefoot.core.estimate import Estimate
from surefoot.core.printable import printable
from surefoot.core.serving import Cascade, Tradeoff
from surefoot.report.terminal import table


def cascade_lines(found: Cascade) -> list[str]:
    """A cascade for the terminal.

    Args:
        found: What its calibration rows show.
    """
    heads = (
        "from confidence", f"answered by {found.lean}", _lost(found), "right", "CPU ms", "promised",
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
        f"at most {100 * found.max_error:g}% of requests {_lost(found)}"
        f" (delta {100 * found.delta:g}%, n = {found.rows:,})"
    )
    told += "".join(printable(f", and on {name}") for name in found.slices)
    name = printable(found.lean)
    if found.void:
        return f"NOT PROMISED  {name} answers every request: {found.void}"
    if found.chosen:
        share = f"{found.chosen.share.value:.1%} of requests"
        return f"PROMISED  {name} answers {share} from confidence {_sure(found.chosen)}: {told}"
    short = f"; it takes {found.needed:,} calibration rows at least" * (found.rows < found.needed)
    return f"NOT PROMISED  {name} answers nothing: not shown, {told}{short}"


def _with_chosen(found: Cascade) -> list[Tradeoff]:
    every = {one.threshold: one for one in (*found.curve, found.chosen) if one}
    return [every[threshold] for threshold in sorted(every, reverse=True)]


def _row(found: Cascade, one: Tradeoff) -> list[str]:
    cost = found.cost(one.share.value)
    mark = "deployed" if one == found.chosen else "yes" if one.shown else "no"
    return [
        _sure(one),
        _percent(one.share),
        _percent(one.lost, 2),
        f"{one.accuracy:.2%}",
        "" if cost is None else f"{cost:.3g}",
        mark,
    ]


def _sure(one: Tradeoff) -> str:
    """Confidence with as many digits as it takes to tell it from 1."""
    if one.threshold == 0:
        return "0"
    near = min(one.threshold, 1 - one.threshold)
    digits = next((d for d in range(2, 8) if near >= 0.5 * 10**-d), 8)
    return f"{one.threshold:.{digits}f}"


def _percent(share: Estimate, digits: int = 1) -> str:
    low, high = (f"{100 * end:.{digits}f}" for end in (share.low, share.high))
    return f"{100 * share.value:.{digits}f} % [{low}, {high}]"


def _remarks(found: Cascade) -> Iterator[str]:
    if found.fallback != "abstain":
        alone = f"{found.fallback} alone is right in {found.fallback_accuracy:.2%}"
        if found.fallback_ms is not None and found.lean_ms is not None:
            alone += f" and takes {found.fallback_ms:.3g} ms of CPU time; {found.lean} takes"
            alone += f" {found.lean_ms:.3g}"
        yield printable(alone)
    while_ = "" if found.fallback == "abstain" else ", and while the fallback can be reached"
    yield f"it holds for requests like the calibration rows{while_}"
