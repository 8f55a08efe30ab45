"""Asks an endpoint the calibration rows: what a promise before it can rest on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from surefoot.core.dataset import Dataset
from surefoot.core.errors import ModelError, RemoteError
from surefoot.core.evidence import Cell
from surefoot.core.hashing import hash_arrays
from surefoot.core.plan import ServePlan
from surefoot.core.progress import Progress
from surefoot.core.serving import ENDPOINT
from surefoot.evaluate.remote.protocols import PROMPT
from surefoot.evaluate.remote.remote import Remote, open_remote
from surefoot.store import Store

PIECE = 32
"""Rows whose answers are kept together: so many at most are asked again after an interruption."""
LANES = 4
"""Requests under way at once; each holds one row, so that its time is that of a request."""
KIND, ANSWERS = "endpoint", "answers.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAnswers:
    """What an endpoint says of the calibration rows."""

    cell: Cell
    """Its answers; `predicted` is -1 where it named no class."""
    confidence: np.ndarray
    """(n,) of each; NaN where nobody knows it."""
    wall_ms: np.ndarray
    """(n,) milliseconds that each request took."""


def ask_endpoint(
    plan: ServePlan, rows: Dataset, classes: Sequence[str], store: Store, progress: Progress
) -> EndpointAnswers:
    """Ask the fallback of a plan its calibration rows; what an earlier run was answered is kept.

    Args:
        plan: What is promised; its fallback is an address.
        rows: The calibration rows.
        classes: The names of the classes, in the order of its scores.
        store: Where answers are kept.
        progress: Told of every piece.

    Returns:
        An answer for each row.

    Raises:
        ModelError: It gives none for some row.
    """
    # What it answers depends on no library of ours.
    kept, starts = Store(store.root, KIND), range(0, len(rows), PIECE)
    pieces = [rows.rows(np.arange(start, min(start + PIECE, len(rows)))) for start in starts]
    progress.start(f"asking {plan.fallback}", len(rows))
    found = asyncio.run(_all(plan, pieces, classes, kept, progress))
    predicted, confidence, wall_ms = (np.concatenate([one[i] for one in found]) for i in range(3))
    cell = Cell(
        candidate=ENDPOINT,
        dataset=rows.name,
        ids=rows.ids,
        labels=rows.labels,
        predicted=predicted,
        scores=np.zeros((len(rows), len(classes)), np.float32),
    )
    return EndpointAnswers(cell=cell, confidence=confidence, wall_ms=wall_ms)


_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Predicted, confidence and milliseconds of each row."""


async def _all(
    plan: ServePlan, pieces: Sequence[Dataset], classes: Sequence[str], kept: Store, watch: Progress
) -> list[_Piece]:
    found, how = [], plan.endpoint
    asked = {
        "url": plan.fallback,
        "protocol": how.protocol,
        "model": how.model,
        "classes": list(classes),
        "prompt": (how.prompt or PROMPT) if how.protocol == "openai" else None,
        "logprobs": how.logprobs,
    }
    async with open_remote(plan, classes) as remote:
        for piece in pieces:
            inputs = {**asked, "rows": hash_arrays(piece.ids, piece.inputs)}
            known = kept.kept(KIND, inputs, _read)
            if known is None:
                answers = await _piece(remote, piece)
                known = _read(kept.make(KIND, inputs, partial(_write, answers)))
            found.append(known)
            watch.advance(len(piece))
    return found


async def _piece(remote: Remote, piece: Dataset) -> _Piece:
    lanes = asyncio.Semaphore(LANES)

    async def one(i: int) -> tuple[int, float, float]:
        async with lanes:
            began = time.perf_counter()
            said = await remote(piece.inputs[i : i + 1])
            took = 1000 * (time.perf_counter() - began)
        return int(said.predicted[0]), float(said.confidence[0]), took

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(i)) for i in range(len(piece))]
    except ExceptionGroup as errors:
        first = errors.exceptions[0]
        if not isinstance(first, RemoteError):
            raise first from None
        raise ModelError(
            f"the fallback was asked a calibration row and {first.what}",
            where=remote.url,
            fix="see that it runs, then run the plan again: what it has answered is kept",
        ) from None
    predicted, confidence, took = zip(*(task.result() for task in tasks), strict=True)
    return np.array(predicted, np.int64), np.array(confidence), np.array(took)


def _write(answers: _Piece, folder: Path) -> None:
    predicted, confidence, wall_ms = answers
    np.savez(folder / ANSWERS, predicted=predicted, confidence=confidence, wall_ms=wall_ms)


def _read(folder: Path) -> _Piece:
    with np.load(folder / ANSWERS, allow_pickle=False) as kept:
        return kept["predicted"], kept["confidence"], kept["wall_ms"]
