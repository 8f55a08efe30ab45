"""Why it did not get faster: profiles a candidate that gained nothing, and says where time goes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import plugins
from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError, PluginError
from surefoot.core.estimate import Estimate
from surefoot.core.evidence import Diagnosis
from surefoot.core.load import LoadProfile
from surefoot.core.model import Candidate, Model
from surefoot.core.profile import Kernel, Profile
from surefoot.evaluate.diagnosis.reasons import reasons
from surefoot.evaluate.machine import quantile
from surefoot.models import preprocess
from surefoot.store import Store

NOT_SHOWN = 1.05
"""A candidate whose speedup is not shown to be above this is explained."""
SECONDS = 0.5
"""How long calls are timed for a profile; taking it is about as long again."""
CALLS, WARM = 60, 3
"""Calls at most, and of them at the beginning those that are not counted."""
FILE = "profile.json"


def diagnose(
    everyone: Sequence[Candidate],
    dataset: Dataset,
    loads: Sequence[LoadProfile],
    store: Store,
) -> tuple[Diagnosis, ...]:
    """Explain every candidate that is not shown to be faster than the baseline.

    Each is profiled at the batch size at which it gained least, on the rows that latency was
    measured on. That costs a few seconds, once.

    Args:
        everyone: The baseline first.
        dataset: Where rows are drawn from.
        loads: The latencies of all.
        store: Where profiles are kept.

    Returns:
        One for each such candidate, in their order.
    """
    baseline, *others = everyone
    found = []
    for candidate in others:
        slow = _least(baseline.name, candidate.name, loads)
        if slow is None:
            continue
        speedup, load = slow
        try:
            mine, base = (profile(c, dataset, load, store) for c in (candidate, baseline))
        except (ModelError, PluginError):
            continue  # it answered before: what it cannot do is being profiled
        found.append(
            Diagnosis(
                candidate=candidate.name,
                runtime=candidate.runtime,
                speedup=speedup,
                profile=mine,
                reasons=tuple(_reasons(candidate, baseline, mine, base, store)),
            )
        )
    return tuple(found)


def profile(candidate: Candidate, dataset: Dataset, load: LoadProfile, store: Store) -> Profile:
    """Where the time of a candidate's calls goes.

    Args:
        candidate: The candidate.
        dataset: Where rows are drawn from.
        load: Says how many rows a call has, and how many threads the runtime.
        store: Where the profile is kept.

    Raises:
        ModelError: The model fails.
    """
    key = {
        "profile": candidate.model.fingerprint,
        "runtime": plugins.stamped("runtime", candidate.runtime),
        "rows": dataset.fingerprint,
        "batch": load.batch,
        "threads": load.threads,
        "machine": os.uname()[1:],
    }
    kept = store.kept("profiles", key, _read)
    if kept is None:
        kept = _read(store.make("profiles", key, partial(_write, candidate, dataset, load)))
    return kept


def _write(candidate: Candidate, dataset: Dataset, load: LoadProfile, folder: Path) -> None:
    model, runtime = candidate.model, candidate.runtime
    calls, prepare, run = _timed(model, runtime, dataset, load)
    take = getattr(plugins.module("runtime", runtime), "profile", None)
    kernels = () if take is None else take(model, calls, threads=load.threads, warm=WARM)
    made = Profile(
        batch=load.batch,
        threads=load.threads,
        calls=len(calls) - WARM,
        prepare_ms=float(np.median(prepare[WARM:])),
        run_ms=float(np.median(run[WARM:])),
        kernels=kernels,
    )
    (folder / FILE).write_text(json.dumps(asdict(made), indent=1))


def _read(folder: Path) -> Profile:
    data = json.loads((folder / FILE).read_text())
    return Profile(**{**data, "kernels": tuple(Kernel(**kernel) for kernel in data["kernels"])})


def _timed(
    model: Model, runtime: str, dataset: Dataset, load: LoadProfile
) -> tuple[list[dict[str, np.ndarray]], list[float], list[float]]:
    """The tensors of some calls, and the milliseconds that making and running them takes."""
    tensors, rng = preprocess.tensors(model), np.random.default_rng(0)
    calls: list[dict[str, np.ndarray]] = []
    prepare, ran = list[float](), list[float]()
    with plugins.find("runtime", runtime)(model, threads=load.threads) as run:
        until = time.perf_counter() + SECONDS
        while len(calls) < WARM + 2 or (len(calls) < CALLS and time.perf_counter() < until):
            inputs = dataset.inputs[rng.integers(len(dataset), size=load.batch)]
            started = time.perf_counter()
            calls.append(tensors(inputs))
            ready = time.perf_counter()
            run(calls[-1])
            prepare.append((ready - started) * 1000)
            ran.append((time.perf_counter() - ready) * 1000)
    return calls, prepare, ran


def _least(
    baseline: str, candidate: str, loads: Sequence[LoadProfile]
) -> tuple[Estimate, LoadProfile] | None:
    """Where the candidate gained least, if it is not shown to be faster at every batch size."""
    known = {(load.candidate, load.batch): load for load in loads}
    found = [
        (quantile(known[baseline, load.batch].wall_ms / load.wall_ms, 0.5), load)
        for load in loads
        if load.candidate == candidate
    ]
    slow = [(speedup, load) for speedup, load in found if speedup.low <= NOT_SHOWN]
    return min(slow, key=lambda entry: entry[0].value, default=None)


def _reasons(
    candidate: Candidate, baseline: Candidate, mine: Profile, base: Profile, store: Store
) -> Iterator[str]:
    same = candidate.runtime == baseline.runtime
    if same and candidate.model.fingerprint == baseline.model.fingerprint:
        yield "it is the baseline's own file in the same runtime"
        return
    if not mine.kernels:
        exported = "" if candidate.model.format == "onnx" else "; export_onnx gives one that does"
        yield f"{candidate.runtime} does not tell what its operators cost{exported}"
    yield from reasons(mine, base, exporter=_exporter(candidate.model, store.root))


def _exporter(model: Model, root: Path) -> str:
    """What wrote a model's graph: the certificate of the step that exported it says so."""
    sealed = {}
    for file in (root / "models").glob("*/signature.json"):
        record = _json(file)
        sealed[record.get("fingerprint")] = file.parent, record.get("parent")
    fingerprint: str | None = model.fingerprint
    while fingerprint in sealed:
        folder, parent = sealed.pop(fingerprint)
        if found := _json(folder / "certificate.json").get("exporter"):
            return str(found)
        fingerprint = parent
    return ""


def _json(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
