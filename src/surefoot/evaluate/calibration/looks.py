"""Keeps what was seen of probabilities, so that a run that goes on does not look again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surefoot import stats
from surefoot.core.confidence import Bin, Kept, Reliability
from surefoot.core.estimate import Estimate
from surefoot.core.hashing import hash_arrays
from surefoot.evaluate.calibration.reliability import Rows, Seen, look
from surefoot.store import Store

FILE = "seen.json"


def looked(rows: Rows, temperature: float, store: Store) -> Seen:
    """What `look` finds of rows at a temperature; what the store holds is not looked at again.

    Args:
        rows: Probabilities as they came, labels and groups.
        temperature: What their logits are divided by; 1 leaves them as they are.
        store: Where looks are kept.
    """
    key = {
        name: None if part is None else hash_arrays(part)
        for name in ("scores", "labels", "groups", "strangers", "their_groups")
        for part in [getattr(rows, name)]
    } | {"temperature": temperature}
    found = store.kept("calibration", key, _read)
    return found or _read(store.make("calibration", key, partial(_write, rows, temperature)))


def _write(rows: Rows, temperature: float, folder: Path) -> None:
    seen = look(rows if temperature == 1 else rows.at(temperature))
    error = seen.error
    columns = {
        "reliability": asdict(seen.reliability),
        "error": error
        and {name: np.asarray(part).tolist() for name, part in asdict(error).items()},
    }
    (folder / FILE).write_text(json.dumps(columns))


def _read(folder: Path) -> Seen:
    columns = json.loads((folder / FILE).read_text())
    found, error = columns["reliability"], columns["error"]
    return Seen(
        reliability=Reliability(
            figures={name: Estimate(**one) for name, one in found["figures"].items()},
            bins=tuple(Bin(**one) for one in found["bins"]),
            curve=tuple(_kept(one) for one in found["curve"]),
        ),
        error=error
        and stats.Resampled(**{name: np.array(part, np.float64) for name, part in error.items()}),
    )


def _kept(one: Mapping[str, Any]) -> Kept:
    return Kept(**{**one, "accuracy": Estimate(**one["accuracy"])})
