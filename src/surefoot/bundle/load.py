"""Writes what happened under load, request by request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Task
from surefoot.core.hidden import Hider
from surefoot.core.load import ServedProfile
from surefoot.data.columns import write_parquet

SAID = ("load", "candidate", "scenario", "runtime", "url")
"""Texts that are the same for every request of a run; no url is an empty one."""
NUMBERS = (
    "threads", "target_qps", "achieved_qps", "ended_ms", "waiting", "busy", "agree", "cold_ms",
    "memory_bytes",
)  # fmt: skip
"""Numbers that are; what is not known is NaN."""
SEEN = ("steal", "foreign")
"""What else the machine did."""
COLUMNS = ("arrival_ms", "wall_ms", "service_ms", "lateness_ms", "cpu_ms")


def write_served(
    path: Path, profiles: Sequence[ServedProfile], task: Task, hider: Hider | None = None
) -> None:
    """Write one line for each row of each request; nothing where there was no load.

    Args:
        path: The Parquet file.
        profiles: What was measured, on rows of the first test set.
        task: Its data.
        hider: What hides ids and answers; None where they may be named.
    """
    if not profiles:
        return
    dataset = next(iter(task.test.values()))
    names = np.array([*task.classes, ""], dtype=object)  # -1, no answer, takes the last
    sizes = [profile.rows.size for profile in profiles]
    rows = np.concatenate([profile.rows.ravel() for profile in profiles])
    answers = np.concatenate([profile.answers.ravel() for profile in profiles])
    said = {
        name: np.repeat(np.array([getattr(p, name) or "" for p in profiles], dtype=object), sizes)
        for name in SAID
    }
    once = {name: _repeated([getattr(p, name) for p in profiles], sizes) for name in NUMBERS}
    seen = {name: _repeated([getattr(p.machine, name) for p in profiles], sizes) for name in SEEN}
    errors = [json.dumps(dict(p.errors), ensure_ascii=False) for p in profiles]
    ids, said_here = dataset.ids[rows], names[answers]
    numbers = [np.repeat(np.arange(len(p.rows)), p.batch) for p in profiles]
    measured = {
        name: np.concatenate([np.repeat(getattr(p, name), p.batch) for p in profiles])
        for name in COLUMNS
    }
    write_parquet(
        path,
        {
            **said,
            **once,
            **seen,
            "errors": np.repeat(np.array(errors, dtype=object), sizes),
            "request": np.concatenate(numbers),
            **measured,
            "id": hider.ids(dataset.name, ids) if hider else ids,
            "answer": hider.answers(dataset.name, ids, said_here) if hider else said_here,
            "correct": answers == dataset.labels[rows],
        },
    )


def _repeated(values: Sequence[float | None], sizes: Sequence[int]) -> np.ndarray:
    return np.repeat(np.array([np.nan if v is None else float(v) for v in values]), sizes)
