"""What is wrong with the loads of a plan, and with budgets that speak of them."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from urllib.parse import urlsplit

from surefoot import stats
from surefoot.core.budget import QUANTILES, UNDER_LOAD
from surefoot.core.errors import nearest
from surefoot.core.evidence import Budget
from surefoot.core.model import BASELINE
from surefoot.core.plan import LoadPlan
from surefoot.plan.numbers import (
    CALL,
    DAY,
    WORKERS,
    count_problems,
    positive_problems,
    total_problems,
)
from surefoot.plan.typed import File


def load_problems(
    file: File, candidates: Sequence[str], broken: Container[str] = ()
) -> Iterator[str]:
    """Loads that cannot be run, and budgets that no load could decide.

    Args:
        file: The plan's tables.
        candidates: The names of all candidates, those of a standard set too.
        broken: Keys of the file whose values had to be replaced.
    """
    for name, load in file.evaluate.load.items():
        key = f"evaluate.load.{name}"
        if f"{key}.scenario" in broken:  # whether it needs a rate, nobody knows
            continue
        yield from (f"{key}.{problem}" for problem in _pace(load))
        yield from (f"{key}.{problem}" for problem in _numbers(load))
        yield from (f"{key}.{problem}" for problem in _place(load, candidates))
    for i, budget in enumerate(file.budget if "evaluate.load" not in broken else ()):
        if budget.load is not None and f"evaluate.load.{budget.load}.scenario" not in broken:
            found = _budget(budget, file.evaluate.load, len(candidates))
            yield from (f"budget[{i}].{problem}" for problem in found)


def _pace(load: LoadPlan) -> Iterator[str]:
    """A rate that is missing, or where the candidate sets the pace."""
    if load.scenario == "server":
        if load.target_qps is None:
            yield "target_qps: missing; a server is asked at a rate, for example target_qps = 50"
        else:
            yield from _rate(load.target_qps, load.seconds)
    elif load.target_qps is not None:
        yield f"target_qps: '{load.scenario}' has no rate; leave it out, or use scenario 'server'"
    if load.scenario == "single_stream" and load.rows > 1:
        yield "batch: 'single_stream' sends one row a request; use scenario 'multi_stream'"
    if load.scenario == "offline" and load.deadlines_ms is not None:
        yield "deadlines_ms: 'offline' has no arrivals to be late for; leave it out"


def _rate(rate: float, seconds: float) -> Iterator[str]:
    """A rate that is none, or that brings too many requests."""
    found = list(positive_problems("target_qps", rate))
    if not found and 0 < seconds <= DAY:
        found = list(total_problems("target_qps", rate, seconds))
    yield from found


def _numbers(load: LoadPlan) -> Iterator[str]:
    yield from count_problems("batch", load.rows, CALL)
    yield from count_problems("threads", load.threads, WORKERS)
    yield from positive_problems("seconds", load.seconds, DAY)
    if load.deadlines_ms == []:
        yield "deadlines_ms: empty; leave it out for 10 to 500"
    for j, deadline in enumerate(load.deadlines_ms or ()):
        yield from positive_problems(f"deadlines_ms[{j}]", deadline)


def _place(load: LoadPlan, candidates: Sequence[str]) -> Iterator[str]:
    """An endpoint, and whom it serves."""
    known = (BASELINE, *candidates)
    if load.url is None:
        if load.candidate is not None:
            yield "candidate: only a load with a url names one; leave it out"
        return
    if load.candidate is None:
        yield "candidate: missing; say which candidate the endpoint of url serves"
    elif load.candidate not in known:
        yield f"candidate: no candidate called '{load.candidate}'; {nearest(load.candidate, known)}"
    if load.threads != 1:
        yield "threads: the endpoint has its own; leave it out"
    if not _is_address(load.url):
        yield (
            f"url: '{load.url}' is not the address of a model; write it as"
            " http://HOST:PORT/v2/models/NAME"
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username) and url.isascii()
    clean = plain and not any(c.isspace() for c in url) and port != 0
    bare = parts.path.strip("/") != "" and not parts.path.rstrip("/").endswith("/infer")
    return clean and bare and parts.scheme in ("http", "https") and bool(parts.hostname)


def _budget(budget: Budget, loads: dict[str, LoadPlan], candidates: int) -> Iterator[str]:
    load = loads.get(str(budget.load))
    if load is None:
        yield f"load: no load called '{budget.load}'; {nearest(str(budget.load), loads)}"
        return
    if budget.quantity not in UNDER_LOAD:
        return
    quantile = QUANTILES.get(budget.quantity)
    if load.scenario == "offline" and quantile:
        yield f"load: '{budget.quantity}' says nothing of 'offline'; it takes rows_per_s"
    elif load.scenario == "server" and quantile is None:
        yield f"load: '{budget.quantity}' of a server is what it is asked; it takes a latency"
    elif _arrive(load) and 0.5 < budget.level < 1:
        yield from _too_few(budget, load, float(quantile or 0.5), candidates)


def _arrive(load: LoadPlan) -> bool:
    """Whether a known number of requests arrives."""
    rate = load.target_qps or 0.0
    return rate > 0 and 0 < rate * load.seconds < math.inf


def _too_few(budget: Budget, load: LoadPlan, quantile: float, candidates: int) -> Iterator[str]:
    """Fewer requests than any PASS takes, however fast all of them are."""
    rate, requests = float(load.target_qps or 1.0), load.requests or 0
    # The best of several candidates needs its share of alpha, and so does a first use.
    alpha = (1 - budget.level) * stats.spending(1)[0] / max(candidates, 1)
    bound = int(stats.calls_needed(quantile, 1 - alpha, blocks=stats.BLOCKS))
    needed = max(bound, stats.FEWEST)
    if requests < needed:
        yield (
            f"load: '{budget.load}' sends {requests:,} requests, and a PASS on {budget.quantity}"
            f" takes {needed:,} at least; set evaluate.load.{budget.load}.seconds to"
            f" {math.ceil(needed / rate)}"
        )
