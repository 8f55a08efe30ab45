"""Writes what happened under load, request by request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Task
from surefoot.core.load import ServedProfile
from surefoot.data.columns import write_parquet

COLUMNS = ("arrival_ms", "wall_ms", "service_ms", "lateness_ms", "cpu_ms")


def write_served(path: Path, profiles: Sequence[ServedProfile], task: Task) -> None:
    """Write one line for each row of each request; nothing where there was no load.

    Args:
        path: The Parquet file.
        profiles: What was measured, on rows of the first test set.
        task: Its data.
    """
    if not profiles:
        return
    dataset = next(iter(task.test.values()))
    names = np.array([*task.classes, ""], dtype=object)  # -1, no answer, takes the last
    sizes = [profile.rows.size for profile in profiles]
    rows = np.concatenate([profile.rows.ravel() for profile in profiles])
    answers = np.concatenate([profile.answers.ravel() for profile in profiles])
    said = {
        name: np.repeat(np.array([getattr(p, name) for p in profiles], dtype=object), sizes)
        for name in ("load", "candidate", "scenario")
    }
    numbers = [np.repeat(np.arange(len(p.rows)), p.batch) for p in profiles]
    measured = {
        name: np.concatenate([np.repeat(getattr(p, name), p.batch) for p in profiles])
        for name in COLUMNS
    }
    write_parquet(
        path,
        {
            **said,
            "request": np.concatenate(numbers),
            **measured,
            "id": dataset.ids[rows],
            "answer": names[answers],
            "correct": answers == dataset.labels[rows],
        },
    )
