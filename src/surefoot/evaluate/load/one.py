"""Latency under load: of one candidate, in process, request by request."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.load import ServedProfile
from surefoot.core.model import Candidate
from surefoot.core.plan import LoadPlan
from surefoot.core.progress import Progress, Silent
from surefoot.evaluate.latency import WARM_UP
from surefoot.evaluate.load.arrivals import lateness, poisson
from surefoot.evaluate.load.generator import Exchange, Server, drive
from surefoot.evaluate.machine import watch_machine
from surefoot.models import open_model, own_threads

ROWS = 16384
"""Requests until the rows of a load that has no schedule come round again."""
LONGEST = 3.0
"""How many times its seconds an offline load may take at most."""


def measure_load(
    candidate: Candidate,
    dataset: Dataset,
    settings: LoadPlan,
    *,
    name: str = "load",
    progress: Progress | None = None,
) -> ServedProfile:
    """Open a candidate in this process and put it under one load.

    The calls run one after another, as they do in a service with one worker. Latency counts from
    the scheduled arrival.

    Args:
        candidate: The candidate.
        dataset: Where rows are drawn from, the same ones for every candidate.
        settings: The load; without a `url`.
        name: What the load is called.
        progress: Told of every second.

    Raises:
        ModelError: The model cannot be run, or gives a non-finite score.
    """
    with open_model(
        candidate.model, runtime=candidate.runtime, threads=settings.threads
    ) as predict:
        return serve_load(
            predict.run_batch, candidate, dataset, settings, name=name, progress=progress
        )


def serve_load(
    call: Callable[[np.ndarray], np.ndarray],
    candidate: Candidate,
    dataset: Dataset,
    settings: LoadPlan,
    *,
    name: str = "load",
    progress: Progress | None = None,
) -> ServedProfile:
    """Put a model that is open already under one load, for whoever tries many rates.

    Args:
        call: From the inputs of a request to (rows, classes) scores: `Predictor.run_batch`.
        candidate: Whose it is.
        dataset: Where rows are drawn from.
        settings: The load; without a `url`.
        name: What the load is called.
        progress: Told of every second.

    Raises:
        ModelError: The model fails, or gives a non-finite score.
    """
    server = Server(
        request=lambda rows: dataset.inputs[rows],
        ask=call,
        read=lambda scores: np.asarray(scores).argmax(axis=1),
    )
    return put_under_load(
        server, dataset, settings, name=name, candidate=candidate, progress=progress
    )


def put_under_load(
    server: Server,
    dataset: Dataset,
    settings: LoadPlan,
    *,
    name: str,
    candidate: Candidate,
    progress: Progress | None = None,
) -> ServedProfile:
    """Warm up, run the load, and put what was seen into a profile.

    Args:
        server: Who answers.
        dataset: Where rows are drawn from.
        settings: The load.
        name: What it is called.
        candidate: Whose answers they are.
        progress: Told of every second.
    """
    watch, rng = progress or Silent(), np.random.default_rng(0)
    warm = rng.integers(len(dataset), size=(WARM_UP, settings.rows))
    pace = min(_once(server, rows) for rows in warm)
    schedule = _schedule(settings, pace, rng)
    count = ROWS if schedule is None else len(schedule)
    rows = rng.integers(len(dataset), size=(count, settings.rows))
    offline = settings.scenario == "offline"
    seconds = settings.seconds * (LONGEST if offline else 1)
    watch.start(f"load {name}: {candidate.name}", int(settings.seconds))
    seen, began, used = watch_machine(), time.perf_counter(), time.process_time()
    exchanges = drive(server, rows, schedule, seconds, watch)
    busy = (time.process_time() - used) / (time.perf_counter() - began)
    # Offline all are there at once, and the run is as long as it takes to answer them.
    least = 0.0 if offline else settings.seconds
    measured = _columns(exchanges, rows, schedule, server.lanes, least)
    if settings.url:
        measured["cpu_ms"][:] = np.nan  # it would be the generator's
    return ServedProfile(
        load=name,
        candidate=candidate.name,
        scenario=settings.scenario,
        runtime="" if settings.url else candidate.runtime,
        url=settings.url,
        batch=settings.rows,
        threads=1 if settings.url else own_threads(candidate.model, settings.threads),
        target_qps=settings.target_qps,
        machine=seen(),
        busy=busy if settings.url else 0.0,
        **measured,
    )


def offered(profile: ServedProfile) -> float:
    """The share of its time that a candidate in process is at work, if nobody is to wait for ever.

    The arrival rate times the mean service time (Erlang's offered load); at 1 or above the queue
    grows without end. 0 where it does not depend on a rate.
    """
    served = profile.service_ms[np.isfinite(profile.service_ms)]
    if profile.url or profile.target_qps is None or not len(served):
        return 0.0
    return float(profile.target_qps * served.mean() / 1000)


def _once(server: Server, rows: np.ndarray) -> float:
    request, began = server.request(rows), time.perf_counter()
    server.ask(request)
    return time.perf_counter() - began


def _schedule(settings: LoadPlan, pace: float, rng: np.random.Generator) -> np.ndarray | None:
    """When requests arrive; None where each waits for the one before it."""
    if settings.scenario == "server":
        return poisson(float(settings.target_qps or 1.0), settings.seconds, rng)
    if settings.scenario == "offline":
        # All rows are there at once, as many as should take so long.
        return np.zeros(max(1, int(settings.seconds / max(pace, 1e-6))))
    return None


def _columns(
    exchanges: Sequence[Exchange],
    rows: np.ndarray,
    schedule: np.ndarray | None,
    lanes: int,
    least: float,
) -> dict[str, Any]:
    """What a profile tells of each request, those that were never sent included.

    The run lasts `least` seconds, and until the last arrival and the last answer, good or bad.
    """
    due, sent, done, cpu = np.array(
        [(e.due, e.sent, e.done, e.cpu_s) for e in exchanges], dtype=np.float64
    ).reshape(-1, 4).T  # fmt: skip
    arrival = due if schedule is None else schedule
    count, never = len(arrival), len(arrival) - len(sent)
    answers = np.full((count, rows.shape[1]), -1)
    good = np.zeros(count, dtype=bool)
    for i, exchange in enumerate(exchanges):
        if isinstance(exchange.answer, np.ndarray):
            good[i], answers[i] = True, exchange.answer
    errors = Counter(e.answer for e in exchanges if isinstance(e.answer, str))
    finished = np.concatenate([done, np.full(never, np.inf)])
    begun = np.concatenate([sent, np.full(never, 0.0)])
    ended = float(max(least, arrival.max(initial=0.0), done.max(initial=0.0)))
    late = lateness(arrival[: len(sent)], sent, done, lanes)
    return {
        "rows": rows[np.arange(count) % len(rows)],
        "arrival_ms": arrival * 1000,
        "wall_ms": np.where(good, (finished - arrival) * 1000, np.inf),
        "service_ms": np.where(good, (finished - begun) * 1000, np.inf),
        "lateness_ms": np.concatenate([late, np.zeros(never)]) * 1000,
        "cpu_ms": np.concatenate([cpu * 1000, np.full(never, np.nan)]),
        "answers": answers,
        "errors": dict(errors) | ({"not sent: too many were waiting": never} if never else {}),
        "ended_ms": ended * 1000,
        "achieved_qps": float(good.sum() / ended),
        "waiting": 0 if schedule is None else int((finished > arrival[-1]).sum()),
    }
