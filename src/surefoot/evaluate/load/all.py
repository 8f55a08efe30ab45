"""All loads of a plan, on everybody they are meant for; what the store holds is not run again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.load import Machine, ServedProfile
from surefoot.core.model import Candidate
from surefoot.core.plan import LoadPlan
from surefoot.core.progress import Progress
from surefoot.evaluate.latency import AGAIN
from surefoot.evaluate.load.endpoint import LANES, Endpoint, connected, find_endpoint
from surefoot.evaluate.load.one import measure_load, put_under_load
from surefoot.evaluate.machine import disturbed, times_itself, unlike, worth_keeping
from surefoot.evaluate.memory import fresh
from surefoot.store import Store

ARRAYS, REST = "requests.npz", "run.json"
_COLUMNS = tuple(f.name for f in fields(ServedProfile) if f.type == "np.ndarray")


def find_endpoints(loads: Mapping[str, LoadPlan], dataset: Dataset) -> dict[str, Endpoint]:
    """The endpoints that loads name, by load: asked before any work, so that none is in vain.

    Raises:
        ModelError: One does not answer, or takes something else than raw rows.
    """
    return {name: find_endpoint(load.url, dataset) for name, load in loads.items() if load.url}


def measure_loads(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    store: Store,
    loads: Mapping[str, LoadPlan],
    endpoints: Mapping[str, Endpoint],
    progress: Progress,
) -> tuple[ServedProfile, ...]:
    """Put everybody under every load, one after another on the same arrivals and rows.

    Of a load in process the baseline takes the first and the last turn: the two say how far apart
    two equal things appear over the time that all of them took. What a noisy machine showed is not
    kept for a later run.

    Args:
        candidates: The baseline first.
        dataset: Where rows are drawn from.
        store: Where profiles are kept.
        loads: The plan's loads by name.
        endpoints: What those with a `url` take, by load.
        progress: Told of every second.

    Raises:
        ModelError: A model fails.
    """
    found = []
    for name, load in loads.items():
        endpoint = endpoints.get(name)
        turns = [replace(c, name=title) for title, c in _turns(candidates, load)]
        profiles = [_kept(c, dataset, store, name, load, endpoint, progress) for c in turns]
        if load.url:
            found += profiles
            continue
        ratio = times_itself(profiles[0].service_ms, profiles[-1].service_ms)
        if not worth_keeping(unlike(ratio)):
            for candidate in turns:
                store.discard(store.path("load", _key(candidate, dataset, load, endpoint)))
        for profile, candidate in zip(profiles, turns, strict=True):
            start = fresh(candidate, dataset, store, batch=load.rows)
            found.append(replace(profile, cold_ms=start.cold_ms, memory_bytes=start.peak_bytes))
    return tuple(found)


def compared(
    profiles: Sequence[ServedProfile], predicted: Mapping[str, np.ndarray]
) -> tuple[ServedProfile, ...]:
    """The profiles with how far endpoints answer as the candidates that they are said to serve.

    Args:
        profiles: What was measured.
        predicted: By candidate, the class of every row that was to be sent.
    """
    return tuple(
        replace(p, agree=_agreement(p, predicted[p.candidate])) if p.url else p for p in profiles
    )


def _agreement(profile: ServedProfile, predicted: np.ndarray) -> float | None:
    answered = profile.answers >= 0
    same = (profile.answers == predicted[profile.rows])[answered]
    return float(same.mean()) if len(same) else None


def _turns(candidates: Sequence[Candidate], load: LoadPlan) -> list[tuple[str, Candidate]]:
    """Who is put under a load, by the name of the profile."""
    if load.url:
        return [(c.name, c) for c in candidates if c.name == load.candidate]
    first = candidates[0]
    return [*((c.name, c) for c in candidates), (first.name + AGAIN, first)]


def _kept(  # size: what is measured, where it is kept, and what it is called
    candidate: Candidate,
    dataset: Dataset,
    store: Store,
    name: str,
    load: LoadPlan,
    endpoint: Endpoint | None,
    progress: Progress,
) -> ServedProfile:
    key = _key(candidate, dataset, load, endpoint)
    profile = store.kept("load", key, _read)
    if profile is None:
        if endpoint is None:
            profile = measure_load(candidate, dataset, load, name=name, progress=progress)
        else:
            profile = _at_endpoint(endpoint, candidate, dataset, load, name, progress)
        if worth_keeping(disturbed(profile.machine, in_process=endpoint is None)):
            store.make("load", key, partial(_write, profile))
    return replace(profile, load=name)


def _key(
    candidate: Candidate, dataset: Dataset, load: LoadPlan, endpoint: Endpoint | None
) -> dict[str, Any]:
    return {
        "model": [candidate.name, candidate.model.fingerprint, candidate.runtime],
        "rows": dataset.fingerprint,
        "load": [load.scenario, load.target_qps, load.seconds, load.rows, load.threads],
        "endpoint": endpoint and [endpoint.url, endpoint.metadata],
        "machine": os.uname()[1:],
    }


def _at_endpoint(
    endpoint: Endpoint,
    candidate: Candidate,
    dataset: Dataset,
    load: LoadPlan,
    name: str,
    progress: Progress,
) -> ServedProfile:
    # A stream has one request under way, and all others as many as there are.
    lanes = 1 if load.scenario in ("single_stream", "multi_stream") else LANES
    with connected(endpoint, dataset, lanes=lanes) as server:
        return put_under_load(
            server, dataset, load, name=name, candidate=candidate, progress=progress
        )


def _write(profile: ServedProfile, folder: Path) -> None:
    rest = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name not in _COLUMNS}
    rest["machine"] = [profile.machine.steal, profile.machine.foreign]
    (folder / REST).write_text(json.dumps(rest))
    columns: dict[str, Any] = dict(_arrays(profile))
    np.savez(folder / ARRAYS, allow_pickle=False, **columns)


def _arrays(profile: ServedProfile) -> Iterator[tuple[str, np.ndarray]]:
    for name in _COLUMNS:
        yield name, getattr(profile, name)


def _read(folder: Path) -> ServedProfile:
    rest: dict[str, Any] = json.loads((folder / REST).read_text())
    steal, foreign = rest.pop("machine")
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in _COLUMNS}
    return ServedProfile(**rest, **columns, machine=Machine(steal=steal, foreign=foreign))
